"""Hosts that only look like the gateway's, redirects, cookies, and TLS that is not to be trusted: who is told a secret."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support.tls import DAY, Authority, Witness, answer

from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.hooks.esendex import EsendexHook
from airflow_provider_smscancel.provider_info import CLICKATELL
from airflow_provider_smscancel.transport.settings import SettingsError, read_settings
from torture.plan import Plan, Row

HTTP_API = {"api": "http", "api_id": "api-id-of-nobody"}
FORMATS: dict[str, tuple[type[SmsGatewayHook], dict[str, Any]]] = {
    "clickatell rest": (ClickatellHook, {}),
    "clickatell http": (ClickatellHook, {"extra": HTTP_API, "login": "user-of-nobody"}),
    **{
        f"esendex {name}": (EsendexHook, {"extra": {"request_format": name}})
        for name in ("json", "xml", "get", "soap")
    },
}
GUID = "1627aea5-8e0a-4371-9022-9b504344e724"
HEX_ID = "1627aea58e0a437190229b504344e724"
SECRET = "0bad5ec2-0000-4000-8000-0bad5ec20000"  # noqa: S105 - of nobody
OTHER_SECRET = "07e25ec2-0000-4000-8000-07e25ec20000"  # noqa: S105 - the same

REFUSED = (
    "ftp://gateway.example",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "javascript://gateway.example/%0aalert(1)",
    "data:text/html,x",
    "unix:///run/x.sock",
    "http+unix://%2Frun%2Fx.sock",
    "https:/gateway.example",
    "//gateway.example",
    "https://api.clickatell.com@evil.example",
    "https://user:word@gateway.example",
    "https://api.clickatell.com\\@evil.example",
    "https://api.clickatell.com\x7f.evil.example",
    "https://api.clickatell.com\n.evil.example",
    "https://api.clickatell.com\u2028.evil.example",
    "https://api.clickatell.com\u202e.evil.example",
    "https://api.clickatell.com/<script>alert(1)</script>",
    "https://api.clickatell.com/\x1b[31m",
    "https://api.clickatell.com/../x",
    "https://api.clickatell.com?x",
    "https://api.clickatell.com#x",
    "https://api.clickatell.com,evil.example",
    "https://api.clickatell.com;evil.example",
    "https://\u0430pi.clickatell.com",
    "https://api\u3002clickatell.com",
    "https://api.clickatell.com..",
    "https://gateway.example:0",
    "https://gateway.example:65536",
    "https://gateway.example:-1",
    "https://gateway.example:80:80",
    "https://[::1]evil.example",
    "http://[::1].evil.example",
    "http://[::1%25lo]",
    "http://[fe80::1%lo]",
    "http://[::]",
    "http://[64:ff9b::7f00:1]",
    "http://0.0.0.0",
    "http://0",
    "http://2130706433",
    "http://0x7f.1",
    "http://127.1",
    "http://0177.0.0.1",
    "http://127.0.0.1.",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1#@evil.example",
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://localhost:80@evil.example",
    "http://evil.example/localhost",
    "http://\uff11\uff12\uff17.0.0.1",
    "http://10.0.0.1",
)
SCHEMES = (
    "ftp",
    "javascript",
    "unix",
    "https://evil.example/",
    "http://127.0.0.1/",
    "https:",
    "https://127.0.0.1#",
)
LOCATIONS = (
    "http://{other}/", "http://x:y@{other}/", "//{other}/", "http://{here}@{other}/", "/\\{other}/",
    "https://{other}/", "http:{other}",
)  # fmt: skip
REDIRECTS = ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")
VARIABLES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)


@contextlib.contextmanager
def plain_environment(**values: str) -> Iterator[None]:
    """Keep this machine's own proxies and certificates out, and put some variables in."""
    names = {*VARIABLES, *map(str.lower, VARIABLES), *values}
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


_numbers = itertools.count()


def hook_to(
    url: str, format_name: str = "clickatell rest", *, secret: str = SECRET, timeout: float = 2
) -> Any:
    """Make the hook of a new connection."""
    kind, fields = FORMATS[format_name]
    extra = {**fields.get("extra", {}), "timeout": timeout}
    conn_id = f"hostile_{next(_numbers)}"
    connection = {"conn_type": kind.conn_type, "host": url, "password": secret, **fields, "extra": extra}
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
    return kind(conn_id)  # type: ignore[call-arg]


def ways(hook: Any, *, deadline: float = 1.0) -> dict[str, Callable[[], str]]:
    """Name every way to the gateway, each of which returns what a person is told."""
    message_id = GUID if isinstance(hook, EsendexHook) else HEX_ID
    return {
        "the Test button": lambda: str(hook.test_connection()[1]),
        "a single call": lambda: _told(hook.cancel_message(message_id)),
        "a status": lambda: str(hook.get_message_status(message_id)),
        "a send": lambda: str(hook.send_message("27999000001", "text")),
        "the bulk engine": lambda: " ".join(
            map(_told, hook.cancel_messages([message_id], deadline=deadline))
        ),
    }


def _told(result: Any) -> str:
    return f"{result.outcome.value}: {result.detail}"


def said_by(way: Callable[[], str]) -> str:
    """Call, and return what a person is told, by an error too."""
    try:
        return way()
    except Exception as error:  # whatever it is: it is what a person sees
        return f"{type(error).__name__}: {error}"


def attack_hosts(_plan: Plan) -> Row:
    """Fill the connection's host with what only looks like one."""
    accepted = [host for host in REFUSED if not _refuses(host, None)]
    accepted += [scheme for scheme in SCHEMES if not _refuses("api.clickatell.com", scheme)]
    tried = len(REFUSED) + len(SCHEMES)
    return Row(
        "a host that is none, or only looks like loopback or the gateway",
        tried, "hosts", len(accepted), f"{len(accepted)} accepted {accepted or ''}".strip(),
    )  # fmt: skip


def _refuses(host: str, schema: str | None) -> bool:
    fields = {"port": None, "schema": schema, "login": None, "password": SECRET}
    try:
        read_settings(CLICKATELL, host=host, extra={}, **fields)  # type: ignore[arg-type]
    except SettingsError as error:
        return str(error).isprintable() and "evil" not in str(error) and SECRET not in str(error)
    return False


def attack_redirects(_plan: Plan) -> Row:
    """Answer every call with a redirect to another server, which records what it hears."""
    formats = list(FORMATS)
    with Witness(lambda _: answer()) as other, plain_environment():
        jobs = list(itertools.product(formats, REDIRECTS))
        with ThreadPoolExecutor(8) as pool:
            calls = sum(pool.map(lambda job: _redirected(*job, other), jobs))
    return Row(
        "a redirect to another host, with and without userinfo, to https and from there",
        calls, "answers", other.connections,
        f"{other.connections} connections to the other host",
    )  # fmt: skip


def _redirected(format_name: str, status: str, other: Witness) -> int:
    turn = itertools.count()

    def say(_: bytes) -> bytes:
        location = LOCATIONS[next(turn) % len(LOCATIONS)]
        target = location.format(other=f"127.0.0.1:{other.port}", here="api.clickatell.com")
        return answer(b"", f"Location: {target}", "Refresh: 0; url=" + target, status=status)

    with Witness(say) as here:
        hook = hook_to(f"http://127.0.0.1:{here.port}", format_name, timeout=1)
        for _ in LOCATIONS:
            hook.test_connection()
        for name in ("a send", "the bulk engine"):
            said_by(ways(hook, deadline=0.5)[name])
        return len(here.requests)


def attack_neighbours(plan: Plan) -> Row:
    """Use two connections side by side in one process, each at a server that sets cookies and asks for credentials."""
    count = max(5, plan.messages // 40)
    cookie = (
        "Set-Cookie: stolen=1; Path=/",
        "Set-Cookie: wide=1; Domain=127.0.0.1",
        "WWW-Authenticate: Basic realm=x",
    )

    def say(request: bytes) -> bytes:
        message_id = request.split(b" ", 2)[1].rpartition(b"/")[2].decode()
        body = {"data": {"apiMessageId": message_id, "messageStatus": "006"}}
        return answer(json.dumps(body).encode(), *cookie)

    with Witness(say) as one, Witness(say) as two, plain_environment():
        pairs = [(one, SECRET), (two, OTHER_SECRET)]
        hooks = [hook_to(f"http://127.0.0.1:{server.port}", secret=secret) for server, secret in pairs]
        threads = [threading.Thread(target=_use, args=(hook, count)) for hook in hooks for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        astray = [
            said_by(lambda: hooks[0].get_conn().get(f"http://127.0.0.1:{two.port}/rest/account/balance"))
        ]
        requests = [(request, secret) for server, secret in pairs for request in server.requests]
    wrong = sum(
        secret.encode() not in request or _other(secret) in request or b"\r\ncookie:" in request.lower()
        for request, secret in requests
    )
    wrong += sum("Refused" not in text for text in astray)
    return Row(
        "two connections in one process: cookies, shared pools, another's URL",
        len(requests), "requests", wrong, f"{wrong} with a cookie, or with the other one's secret",
    )  # fmt: skip


def _other(secret: str) -> bytes:
    return (OTHER_SECRET if secret == SECRET else SECRET).encode()


def _use(hook: Any, count: int) -> None:
    ids = [f"{number:032x}" for number in range(count)]
    for message_id in ids[:5]:
        hook.cancel_message(message_id)
    for _ in hook.cancel_messages(ids):
        pass
    hook.get_conn().get("/rest/account/balance")


def attack_tls(_plan: Plan) -> list[Row]:
    """Offer TLS that must not be trusted, and see what is told, and whether the server heard a request."""
    with tempfile.TemporaryDirectory() as folder:
        good, stranger = Authority(Path(folder)), Authority(Path(folder), "a stranger")
        cases = tls_cases(good, stranger)
        with plain_environment(SSL_CERT_FILE=str(good.path)), ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda case: _distrusts(*case), cases))
        trusted = [_trusts(good, name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")]
    wrong = [text for texts in found for text in texts]
    tried = len(cases) * len(ways(hook_to("http://127.0.0.1:9")))
    return [
        Row(
            "TLS that must not be trusted, by every way to the gateway",
            tried, "calls", len(wrong), "; ".join(wrong[:3]) or "each refused, no request heard, the reason told",
        ),
        Row(
            "a CA bundle of one's own, by every variable and both transports",
            2 * len(trusted), "calls", sum(trusted), "not trusted, though it should be" if any(trusted) else "0 refused",
        ),
    ]  # fmt: skip


Case = tuple[str, ssl.SSLContext | None, Sequence[str]]


def tls_cases(good: Authority, stranger: Authority) -> list[Case]:
    """List what a server may offer, and in which words one of which is to be told what is wrong."""
    hour = dt.timedelta(hours=1)
    wants = ("client certificate", "was cut", "broke")
    return [
        ("expired", good.server(valid=(-2 * DAY, -hour)), ("certificate has expired",)),
        ("not yet valid", good.server(valid=(hour, DAY)), ("certificate is not yet valid",)),
        ("for another name", good.server(("gateway.example",)), ("mismatch",)),
        ("for a look-alike", good.server(("localhost.example", "127.0.0.2")), ("mismatch",)),
        ("a name in the subject only", good.server((), subject="localhost"), ("mismatch",)),
        ("self-signed", stranger.own_server(), ("self-signed", "self signed")),
        ("of an unknown authority", stranger.server(), ("unable to get local issuer certificate",)),
        ("TLS 1.1 at most", good.old_server(), ("no TLS newer than 1.1",)),
        ("a client certificate wanted, TLS 1.2", good.asking_server(ssl.TLSVersion.TLSv1_2), wants),
        ("a client certificate wanted, TLS 1.3", good.asking_server(ssl.TLSVersion.TLSv1_3), wants),
        ("plain HTTP", None, ("does not speak TLS",)),
        ("a handshake that hangs", None, ("in time",)),
    ]


def _distrusts(name: str, tls: ssl.SSLContext | None, words: Sequence[str]) -> list[str]:
    wrong = []
    with Witness(lambda _: answer(), tls, silent=name == "a handshake that hangs") as server:
        for way, call in ways(hook_to(f"https://localhost:{server.port}", timeout=1), deadline=1.5).items():
            told = said_by(call)
            if not any(word in told for word in words) or not told.isprintable() or SECRET in told:
                wrong.append(f"{name}, {way}: {told}")
        if any(SECRET.encode() in request or b" /rest/" in request for request in server.requests):
            wrong.append(f"{name}: a request was heard")
    return wrong


def _trusts(good: Authority, variable: str) -> int:
    """Count the transports that do not trust the authority that a variable names."""

    def say(_: bytes) -> bytes:
        return answer(json.dumps({"data": {"apiMessageId": HEX_ID, "messageStatus": "006"}}).encode())

    with plain_environment(**{variable: str(good.path)}), Witness(say, good.server()) as server:
        calls = ways(hook_to(f"https://localhost:{server.port}"))
        told = [said_by(calls["a single call"]), said_by(calls["the bulk engine"])]
    return sum(not text.startswith("cancelled") for text in told)
