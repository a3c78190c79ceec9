"""Hooks over a real socket: the sandbox with its ground truth, connections from the environment, and odd neighbours."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.hooks.esendex import EsendexHook
from airflow_provider_smscancel.sandbox.server import SandboxServer

TOKEN = "sandbox-token"
PASSWORD = "sandbox-password"
LICENCE_KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"
WRONG_KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5affff"

HOOKS: dict[str, type[SmsGatewayHook]] = {"clickatell": ClickatellHook, "esendex": EsendexHook}
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Service:
    """One way to talk to a gateway.

    :param fields: of the connection, as Airflow's JSON form has them, without the host.
    :param wrong: the same fields with credentials that the gateway refuses.
    :param operations: what the sandbox calls the stop and the plain status query of this way.
    """

    name: str
    gateway: str
    fields: Row
    wrong: Row
    operations: tuple[str, str]
    id_type: str = "message_id"

    def __str__(self) -> str:
        return self.name


def _clickatell(name: str, operations: tuple[str, str], id_type: str = "message_id", **extra: str) -> Service:
    login = "sandbox" if extra.get("api") == "http" else None
    secret = PASSWORD if login else TOKEN
    fields = {"login": login, "password": secret, "extra": extra}
    return Service(name, "clickatell", fields, {**fields, "password": "wrong-password"}, operations, id_type)


def _esendex(request_format: str) -> Service:
    fields = {"password": LICENCE_KEY, "extra": {"request_format": request_format}}
    operations = ("soap" if request_format == "soap" else "CancelMessage", "GetMessageStatus")
    return Service(
        f"esendex {request_format}", "esendex", fields, {**fields, "password": WRONG_KEY}, operations
    )


_REST = ("rest.stop", "rest.status")
_HTTP = ("http.delmsg", "http.querymsg")

REST_JSON = _clickatell("rest json", _REST, api="rest", response_format="json")
REST_XML = _clickatell("rest xml", _REST, api="rest", response_format="xml")
HTTP_API = _clickatell("http by message id", _HTTP, api="http", api_id="sandbox-api")
HTTP_BY_CLIENT_ID = _clickatell(
    "http by client id", _HTTP, "client_message_id", api="http", api_id="sandbox-api"
)
ESENDEX_JSON = _esendex("json")
CLICKATELL_SERVICES = (REST_JSON, REST_XML, HTTP_API, HTTP_BY_CLIENT_ID)
ESENDEX_SERVICES = (ESENDEX_JSON, _esendex("xml"), _esendex("get"), _esendex("soap"))
SERVICES = (*CLICKATELL_SERVICES, *ESENDEX_SERVICES)


@dataclass
class World:
    """The sandbox as a test uses it: messages are put in and faults set as any user of it would."""

    server: SandboxServer
    monkeypatch: pytest.MonkeyPatch
    session: requests.Session
    waits: list[float] = field(default_factory=list)
    """What hooks with a patched sleep were told to wait."""

    @property
    def url(self) -> str:
        return self.server.url

    def post(self, path: str, order: Any) -> Any:
        answer = self.session.post(f"{self.url}/_sandbox/{path}", json=order)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put_in(self, gateway: str, **members: Any) -> str:
        """Put one message in; it is scheduled for tomorrow unless told otherwise. Return its id."""
        return str(self.post("messages", [{"gateway": gateway, **members}])["ids"][0])

    def put_in_many(self, gateway: str, count: int) -> list[str]:
        return list(self.post("messages", {"gateway": gateway, "count": count})["ids"])

    def break_things(self, *kinds: str, calls: list[str] | None = None, times: int | None = None) -> None:
        """Make every call fail, or the next ``times`` of some operations."""
        self.post("faults", {"share": 1, "kinds": list(kinds), "calls": calls, "times": times})

    def truth(self) -> dict[str, Row]:
        """The sandbox's own record, by id."""
        text = self.session.get(f"{self.url}/_sandbox/messages").text
        return {row["id"]: row for row in map(json.loads, text.splitlines())}

    def state_of(self, message_id: str) -> str:
        return str(self.truth()[message_id]["state"])

    def calls(self, gateway: str = "") -> dict[str, int]:
        """How many calls of each operation arrived."""
        summary = self.session.get(f"{self.url}/_sandbox/requests").json()
        return {
            operation: sum(outcomes.values())
            for name, seen in summary.items()
            if gateway in ("", name)
            for operation, outcomes in seen["calls"].items()
        }

    def hook(self, service: Service, *, url: str | None = None, quick: bool = True, **fields: Any) -> Any:
        """A hook of a connection in the environment, which leads to the sandbox unless ``url`` says otherwise.

        :param quick: whether single calls repeat without really waiting.
        :param fields: of the connection, in place of the service's; ``extra`` is merged.
        """
        extra = {**service.fields["extra"], **fields.pop("extra", {})}
        return self.connected(
            service.gateway,
            {"host": url or self.url, **service.fields, **fields, "extra": extra},
            quick=quick,
        )

    def connected(self, conn_type: str, fields: Row, *, quick: bool = True) -> Any:
        """A hook of a connection that is just these fields."""
        connection = json.dumps({"conn_type": conn_type, **fields})
        self.monkeypatch.setenv("AIRFLOW_CONN_GATEWAY_UNDER_TEST", connection)
        hook = HOOKS[conn_type]("gateway_under_test")
        return self.hurried(hook) if quick else hook

    def hurried(self, hook: Any) -> Any:
        """Let a hook note its waits instead of waiting. (A connection that is wrong stays so.)"""
        with contextlib.suppress(ValueError):
            hook.__dict__["_caller"] = replace(
                hook._caller,
                sleep=self.waits.append,
                clock=lambda: time.monotonic() + sum(self.waits),
            )
        return hook


@contextlib.contextmanager
def running_server() -> Iterator[SandboxServer]:
    with SandboxServer(seed=11) as server:
        yield server


@contextlib.contextmanager
def fresh_world(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The sandbox, empty, and an environment without this machine's proxies and certificates."""
    for name in (*PROXY_VARIABLES, *map(str.lower, PROXY_VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    server.state.reset()
    server.state.latency = 0.0
    server.state.rate_limit = None
    with requests.Session() as session:
        session.trust_env = False
        yield World(server, monkeypatch, session)


@dataclass(frozen=True)
class Said:
    """What a neighbour answers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Neighbour:
    """Something on loopback that is no sandbox: answers each request as a function of "METHOD path" says.

    :param answer: what it says; ``None`` closes the connection without an answer.
    """

    def __init__(self, answer: Callable[[str], Said | None]) -> None:
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []
        neighbour = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one piece, or each answer waits for an acknowledgement of the head.
            wbufsize = -1

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()

            def _serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = f"{self.command} {self.path}"
                neighbour.seen.append(call)
                neighbour.headers.append(dict(self.headers.items()))
                said = answer(call)
                if said is None:
                    self.close_connection = True
                    return
                self.send_response(said.status)
                for name, value in {"Content-Length": str(len(said.body)), **said.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said.body)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the names that the library calls

            def log_message(self, *_: object) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
