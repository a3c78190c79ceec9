"""Every method of the hooks, and every command, with planted credentials, numbers and texts: in peace and under every fault.

Runs in a process of its own, which writes down what it found::

    python -m torture.planted_paths FOLDER FIRST EVERY
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_smscancel.__main__ import main as command_line
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.by_connection import hook_of
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.hooks.esendex import EsendexHook
from airflow_provider_smscancel.sandbox.server import SandboxServer
from torture.echoing import ECHOES, EchoingGateway
from torture.needles import Search
from torture.planted_values import (
    API_ID,
    CLICKATELL_NUMBER,
    CREDENTIALS,
    FOUND,
    LICENCE_KEY,
    NEEDLES,
    PASSWORD,
    PROXY_PASSWORD,
    SERVICES,
    TEXT,
    TOKEN,
    USER,
    Service,
    session_needle,
)
from torture.witness import Witness, environment

CONN_ID = "planted"
VARIABLE = "AIRFLOW_CONN_PLANTED"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
FAULTS = (
    "429",
    "429-garbage",
    "500",
    "502",
    "bare-404",
    "html-200",
    "truncated",
    "cut-body",
    "wrong-id",
    "act-then-drop",
    "stray-401",
    "empty-401",
    "session-expiry",
    "odd-error",
)
TRIED_S = 0.15
"""How long the engine tries under each fault."""
COMMANDS_EVERY = 3
"""Commands are tried with one scenario in so many: they wait."""
COMMAND_S = 0.3
"""After how long Ctrl-C is pressed."""
IDS = {"clickatell": "a" * 32, "esendex": "1627aea5-8e0a-4371-9022-9b504344e724"}


def attack_paths(search: Search, folder: Path, *, first: int = 0, every: int = 1) -> int:
    """Go every way that needs no running Airflow, and have searched what is seen.

    :param folder: for reports.
    :param first: of the scenarios, begin with this one,
    :param every: and go on with the one so many further.
    :return: how many scenarios were tried.
    """
    no_proxies = dict.fromkeys((*PROXIES, *map(str.lower, PROXIES)))
    tried = 0
    with (
        Witness(search) as witness,
        environment(**no_proxies, **{VARIABLE: None}),
        SandboxServer(seed=5, credentials=CREDENTIALS) as sandbox,
        EchoingGateway() as gateway,
    ):
        paths = _Paths(search, witness, folder, sandbox, gateway)
        for scenario in itertools.islice(paths.scenarios(), first, None, every):
            scenario()
            tried += 1
    return tried


Scenario = Callable[[], None]


class _Paths:
    def __init__(
        self, search: Search, witness: Witness, folder: Path, sandbox: SandboxServer, gateway: EchoingGateway
    ) -> None:
        self._search = search
        self._witness = witness
        self._folder = folder
        self._sandbox = sandbox
        self._echoing = gateway
        self._count = 0

    def scenarios(self) -> Iterator[Scenario]:
        """Yield everything that is tried."""
        yield from self._with_sandbox()
        yield from self._with_echoes()
        yield from self._through_proxies()
        yield from self._where_nobody_answers()
        yield from self._with_wrong_connections()

    # -- who answers, and how -------------------------------------------------------------------------------------

    def _with_sandbox(self) -> Iterator[Scenario]:
        for service in SERVICES:
            yield partial(self._at_sandbox, service, None)
            wrong = replace(service, fields={**service.fields, "password": service.wrong})
            yield partial(self._at_sandbox, service, None, wrong)
            for fault in FAULTS:
                yield partial(self._at_sandbox, service, fault)

    def _at_sandbox(self, service: Service, fault: str | None, wrong: Service | None = None) -> None:
        sandbox = self._sandbox
        sandbox.state.faults.configure(profile="none")
        message = sandbox.state.add(service.gateway, service.number, scheduled_at=_tomorrow().timestamp())
        if fault is not None:
            sandbox.state.faults.configure(share=1, kinds=[fault])
        name = f"{service.name}, {'wrong credentials' if wrong else fault or 'no fault'}"
        with self._connected(wrong or service, sandbox.url):
            self._use_everything(wrong or service, message.id)
        self._search.add(
            session_needle(session)
            for session in sandbox.state.sessions_so_far()
            if session not in {needle.text for needle in self._search.needles}
        )
        self._witness.tell(name)

    def _with_echoes(self) -> Iterator[Scenario]:
        for service in SERVICES:
            for echo in ECHOES:
                yield partial(self._at_echo, service, echo)

    def _at_echo(self, service: Service, echo: Any) -> None:
        self._echoing.echo = echo
        with self._connected(service, self._echoing.url):
            self._use_everything(service, IDS[service.gateway])
        self._witness.tell(f"{service.name}, an echo: {echo}")

    def _through_proxies(self) -> Iterator[Scenario]:
        port = self._echoing.url.rpartition(":")[2]
        login = f"proxy-user:{quote(PROXY_PASSWORD, safe='')}"
        proxies = {
            "that echoes": f"http://{login}@127.0.0.1:{port}",
            "that is down": f"http://{login}@127.0.0.1:{closed_port()}",
            "without a scheme": f"{login}@127.0.0.1:{closed_port()}",
            "with a raw password": f"http://proxy-user:{PROXY_PASSWORD}@127.0.0.1:{port}",
            "with a bracket": f"http://{login}@[127.0.0.1:{port}",
            "with a bad port": f"http://proxy-user@127.0.0.1:{PROXY_PASSWORD}",
            "by SOCKS": f"socks5://{login}@127.0.0.1:{port}",
            "of an unknown kind": f"ftp://{login}@127.0.0.1:{port}",
            "by TLS": f"https://{login}@127.0.0.1:{port}",
            "of a bad name": f"http://{login}@{'x' * 70}.invalid:80",
        }
        for service in SERVICES[::2]:
            for name, proxy in proxies.items():
                for url in ("http://127.0.0.1:9", "https://gateway.invalid"):
                    yield partial(self._through, service, name, proxy, url)

    def _through(self, service: Service, name: str, proxy: str, url: str) -> None:
        with (
            environment(HTTP_PROXY=proxy, HTTPS_PROXY=proxy, http_proxy=proxy),
            self._connected(service, url),
        ):
            self._use_everything(service, IDS[service.gateway])
        self._witness.tell(f"{service.name}, {url.partition(':')[0]} through a proxy {name}")

    def _where_nobody_answers(self) -> Iterator[Scenario]:
        def silent(service: Service) -> None:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                slow = replace(
                    service, fields={**service.fields, "extra": {**service.fields["extra"], "timeout": 0.1}}
                )
                self._at(slow, url, "a gateway that says nothing")

        def untrusted(service: Service) -> None:
            self._at(service, self._echoing.url.replace("http:", "https:"), "no TLS")

        for service in SERVICES:
            yield partial(self._at, service, f"http://127.0.0.1:{closed_port()}", "a closed port")
            yield partial(self._at, service, "https://gateway.invalid", "an unknown host")
            yield partial(silent, service)
            yield partial(untrusted, service)

    def _at(self, service: Service, url: str, name: str) -> None:
        with self._connected(service, url):
            self._use_everything(service, IDS[service.gateway])
        self._witness.tell(f"{service.name}, {name}")

    def _with_wrong_connections(self) -> Iterator[Scenario]:
        for name, connection in wrong_connections():
            yield partial(self._wrongly_connected, name, connection)

    def _wrongly_connected(self, name: str, connection: str) -> None:
        with environment(**{VARIABLE: connection}):
            for hook_class in (ClickatellHook, EsendexHook):
                self._use_methods(hook_class(CONN_ID), IDS["clickatell"], CLICKATELL_NUMBER)
            self._use_commands(IDS["clickatell"], always=True)
        self._witness.tell(f"a connection with {name}")

    @contextlib.contextmanager
    def _connected(self, service: Service, url: str) -> Iterator[None]:
        with environment(**{VARIABLE: json.dumps({**service.fields, "host": url})}):
            yield

    # -- what is done ---------------------------------------------------------------------------------------------

    def _use_everything(self, service: Service, message_id: str) -> None:
        self._use_methods(hook_of(CONN_ID), message_id, service.number)
        self._use_commands(message_id)

    def _use_methods(self, hook: SmsGatewayHook, message_id: str, number: str) -> None:
        hook.__dict__["_log"] = self._witness.log  # the usual one writes where nobody sees it
        with contextlib.suppress(Exception):  # a connection that is wrong is told by each method
            _hurry(hook)
        call = self._witness.call
        call(lambda: [hook, hook.settings, hook.gateway, hook._caller, hook._transport])  # noqa: SLF001
        call(lambda: [hook.service(), hook.gateway.stop(message_id, next(iter(hook.gateway.id_types)))])
        call(hook.get_conn)
        call(lambda: hook.cancel_message(message_id))
        call(lambda: list(hook.cancel_messages([message_id, f"+{number}"], deadline=TRIED_S)))
        call(lambda: list(hook.cancel_messages(message_id)))
        call(lambda: hook.get_message_status(message_id))
        call(lambda: hook.cancel_message(f"+{number}"))
        call(lambda: hook.get_message_status(f"+{number}"))
        call(hook.test_connection)
        for to in (number, [number, f"+{number}"], f"{number}x", [], [f"{number} " * 9]):
            call(partial(hook.send_message, to, TEXT, scheduled_at=_tomorrow()))
        call(lambda: hook.send_message(number, TEXT, scheduled_at=datetime(2031, 1, 1)))  # noqa: DTZ001 - a mistake
        call(lambda: hook.send_message(number, TEXT, scheduled_at=TEXT))  # type: ignore[arg-type]
        call(lambda: hook.send_message(number, TEXT, client_message_id=f"{number} {TEXT}"))
        call(lambda: hook.send_message(int(number), TEXT))  # type: ignore[arg-type]
        call(lambda: hook.send_message(number, TEXT.encode()))  # type: ignore[arg-type]
        if isinstance(hook, ClickatellHook):
            call(hook.get_balance)
        if isinstance(hook, EsendexHook):
            call(lambda: hook.cancel_all_messages(confirm_last_four=TOKEN))
            call(lambda: hook.cancel_all_messages(confirm_last_four=LICENCE_KEY[-4:]))

    def _use_commands(self, message_id: str, *, always: bool = False) -> None:
        self._count += 1
        if not always and self._count % COMMANDS_EVERY:
            return
        report = self._folder / f"report-{self._count}"
        pace = ["--give-up-after", "0.1", "--requests-per-second", "100"]
        common = ["--conn-id", CONN_ID, "--id", message_id, f"+{CLICKATELL_NUMBER}", *pace]
        for arguments in (
            ["check", "--conn-id", CONN_ID],
            ["status", *common, "--output", "json", "--verbose"],
            ["cancel", *common, "--yes", "--verbose", "--report", str(report)],
            ["cancel", *common, "--dry-run"],
            ["cancel-all", "--conn-id", CONN_ID],
        ):
            self._witness.call(partial(interrupted, partial(command_line, arguments)))


def wrong_connections() -> Iterator[tuple[str, str]]:
    """Yield what people get wrong with a secret at hand, and the variable that comes of it.

    Not those that Airflow itself can't read and logs with their text: a secret where a port belongs.
    """
    rest, user = {"conn_type": "clickatell", "password": TOKEN}, quote(PASSWORD, safe="")
    in_wrong_field: dict[str, dict[str, Any]] = {
        "the password in the user name": {"conn_type": "clickatell", "login": TOKEN},
        "the password in the user name of the HTTP API": {
            "conn_type": "clickatell",
            "login": PASSWORD,
            "extra": {"api": "http", "api_id": API_ID},
        },
        "a host with user name and password": {**rest, "host": f"https://{USER}:{TOKEN}@gateway.invalid"},
        "a host with a quoted password": {**rest, "host": f"https://{USER}:{user}@gateway.invalid"},
        "a host with a query": {**rest, "host": f"https://gateway.invalid/?token={TOKEN}"},
        "a host with a fragment": {**rest, "host": f"https://gateway.invalid/#{TOKEN}"},
        "a host that is the password": {**rest, "host": TOKEN},
        "a host by FTP": {**rest, "host": f"ftp://{TOKEN}@gateway.invalid"},
        "the password as API": {**rest, "extra": {"api": TOKEN}},
        "the password as response format": {**rest, "extra": {"response_format": TOKEN}},
        "the password as timeout": {**rest, "extra": {"timeout": TOKEN}},
        "a short password as timeout": {**rest, "extra": {"timeout": "Kq7vTz93LmRw"}},
        "the number as timeout": {**rest, "extra": {"timeout": CLICKATELL_NUMBER}},
        "the password as a list": {**rest, "extra": {"timeout": [TOKEN]}},
        "the password as a key of extra": {**rest, "extra": {TOKEN: 1}},
        "the password under an unknown key of extra": {**rest, "extra": {"token": TOKEN}},
        "the password in place of extra": {**rest, "extra": TOKEN},
        "the password as a JSON string in extra": {**rest, "extra": json.dumps(TOKEN)},
        "the password as schema": {**rest, "host": "gateway.invalid", "schema": TOKEN},
        "line breaks in the password": {**rest, "password": f"{TOKEN}\r\nX-Evil: {TOKEN}"},
        "a NUL in the password": {**rest, "password": f"{TOKEN}\0"},
        "letters beyond ASCII in the token": {**rest, "password": PASSWORD},
        "no API id": {
            "conn_type": "clickatell",
            "login": USER,
            "password": PASSWORD,
            "extra": {"api": "http"},
        },
        "half a surrogate": {**rest, "password": f"{TOKEN}\udcff"},
        "a licence key that is none": {"conn_type": "esendex", "password": PASSWORD},
        "another type": {"conn_type": "http", "password": TOKEN, "login": PASSWORD},
    }
    for name, fields in in_wrong_field.items():
        yield name, json.dumps(fields)
    yield "a URI with a raw password", f"clickatell://{USER}:{TOKEN}@gateway.invalid"
    yield "a URI with a bracket", f"clickatell://:{quote(TOKEN, safe='')}@[gateway"
    yield "a URI with the token as user", f"clickatell://{quote(TOKEN, safe='')}@gateway.invalid"
    yield "a URI with extra that is none", f"clickatell://gateway.invalid/?__extra__={quote(TOKEN, safe='')}"
    yield "a URI with the token as query", f"clickatell://gateway.invalid/?timeout={quote(TOKEN, safe='')}"
    yield "a URI with a question mark in the password", "clickatell://:123?Kq7vTz93LmRw+/=x@gateway.invalid"
    yield "JSON that is cut", json.dumps(rest)[:-1]
    yield "JSON that is a list", json.dumps([TOKEN])
    yield "JSON with a field that does not exist", json.dumps({"conn_type": "clickatell", "pasword": TOKEN})
    yield "nothing but the password", TOKEN


def interrupted(command: Callable[[], None]) -> None:
    """Run a command, and press Ctrl-C when it takes long: under a fault that lasts it would go on for minutes."""
    timer = threading.Timer(COMMAND_S, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        command()
    finally:
        timer.cancel()


def _hurry(hook: SmsGatewayHook) -> None:
    """Let single calls repeat without waiting."""
    hook.__dict__["_caller"] = replace(hook._caller, sleep=lambda _seconds: None)  # noqa: SLF001


def _tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main(arguments: Sequence[str]) -> None:
    """Try a share of the scenarios, and write down what was found."""
    folder, first, every = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    search = Search(NEEDLES)
    ways = attack_paths(search, folder, first=first, every=every)
    sessions = [needle.text for needle in search.needles if needle.name == session_needle("").name]
    found = {
        "ways": ways,
        "places": search.places,
        "tried": search.tried,
        "hits": [dataclasses.astuple(hit) for hit in search.hits],
        "sessions": sessions,
    }
    (folder / FOUND).write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
