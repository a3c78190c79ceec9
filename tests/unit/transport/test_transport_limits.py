"""Where requests go, what they carry, and what they leave behind."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import threading
import traceback

import pytest
import requests
from support.both_transports import Client, RawServer, answering, get, http_answer

from airflow_provider_smscancel import __version__
from airflow_provider_smscancel.gateways.base import Request
from airflow_provider_smscancel.transport.aio import AsyncTransport
from airflow_provider_smscancel.transport.endpoint import Endpoint
from airflow_provider_smscancel.transport.failure import FailureKind
from airflow_provider_smscancel.transport.sync import GatewaySession, SyncTransport


def test_a_request_arrives_as_it_was_built(client, serve):
    server = serve(answering(http_answer(b'{"a":1}', "X-One: 1", status="207 Multi-Status")))
    url = f"{server.url}/rest/a%2Fb%7e?x=1%20&y=%C3%A9"
    request = Request("POST", url, {"Accept": "text/x", "X-Version": "1", "Content-Type": "text/y"}, b"body")
    answer = client.answer(server.url, request)
    assert (answer.status, answer.body, answer.headers["x-one"]) == (207, b'{"a":1}', "1")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    # urllib3 writes the hexadecimal digits in capitals, which means the same.
    assert first.replace(b"%7E", b"%7e") == b"POST /rest/a%2Fb%7e?x=1%20&y=%C3%A9 HTTP/1.1"
    assert body == b"body"
    headers.pop(b"connection", None)
    assert headers == {
        b"host": f"127.0.0.1:{server.port}".encode(),
        b"accept": b"text/x",
        b"accept-encoding": b"identity",
        b"content-type": b"text/y",
        b"content-length": b"4",
        b"user-agent": f"airflow-provider-smscancel/{__version__}".encode(),
        b"x-version": b"1",
    }


def test_connections_are_kept_open(client, serve):
    server = serve(answering(http_answer()))
    client.send(server.url, *[get(server.url)] * 5)
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_a_redirect_is_an_answer_and_nobody_else_hears_of_it(client, serve, status):
    other = serve(answering(http_answer()))
    server = serve(answering(http_answer(b"", f"Location: {other.url}/", status=status)))
    assert client.answer(server.url).status == int(status[:3])
    assert other.connections == 0
    assert len(server.requests) == 1


def test_cookies_are_not_kept(client, serve):
    server = serve(answering(http_answer(b"{}", "Set-Cookie: a=b; Path=/")))
    client.send(server.url, get(server.url), get(server.url))
    assert b"cookie" not in server.requests[1].lower()


ELSEWHERE = [
    "https://gateway.invalid.evil.invalid/s3cret",
    "https://gateway.invalid@evil.invalid/s3cret",
    "https://s3cret@gateway.invalid/",
    "https://gateway.invalid:8443/s3cret",
    "http://gateway.invalid/s3cret",
    "https://gateway.invalid\\@evil.invalid/s3cret",
    "//evil.invalid/s3cret",
    "ftp://gateway.invalid/s3cret",
    "https://gateway.invalid/s3cret with blanks",
    "https://gateway.invalid/s3cret\r\nX-Injected: 1",
    "https://gateway.invalid/s3crét",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_request_to_another_service_is_refused_without_telling_the_secret(client, url):
    with pytest.raises(ValueError, match="Refused to send") as caught:
        client.send("https://gateway.invalid", Request("GET", url, {}))
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("value", ["s3cret\n", "s3cret\r\nX: y", "s3crét", "s3cret\0"])
def test_a_header_that_http_does_not_allow_is_named_without_its_value(client, value):
    with pytest.raises(ValueError, match="Authorization header") as caught:
        client.send("http://127.0.0.1:1", Request("GET", "http://127.0.0.1:1/", {"Authorization": value}))
    assert "s3cr" not in str(caught.value)


def test_headers_are_checked_again_when_they_are_not_the_same_as_before():
    endpoint = Endpoint("http://127.0.0.1:1")
    fine, wrong = {"X-One": "1"}, {"X-One": "1\n"}
    for headers in (fine, fine):
        endpoint.check(Request("GET", "http://127.0.0.1:1/", headers))
    for _ in range(2):
        with pytest.raises(ValueError, match="X-One header"):
            endpoint.check(Request("GET", "http://127.0.0.1:1/", wrong))


@pytest.mark.parametrize(
    "url",
    ["", "gateway.invalid", "ftp://gateway.invalid", "https://", "https://s3cret@h", "https://h/?s3cret"],
)
def test_a_base_url_must_be_plain(url):
    with pytest.raises(ValueError, match="base URL") as caught:
        Endpoint(url)
    assert "s3cret" not in str(caught.value)


# --- the environment ---


def test_netrc_is_never_read(client, serve, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(answering(http_answer()))
    requests.get(server.url, timeout=5).close()
    assert b"authorization" in server.requests[0].lower(), "the file works, or this test proves nothing"
    client.answer(server.url)
    assert b"authorization" not in server.requests[1].lower()


@pytest.mark.parametrize("where", ["127.0.0.1:99999", "a b:3128", "[::1", "", "127.0.0.1:port"])
def test_a_proxy_that_is_no_url_is_a_failure_which_does_not_tell_its_password(client, monkeypatch, where):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p4ssw0rd@{where}")
    found = client.failure("http://gateway.invalid")
    assert found.kind is FailureKind.PROXY
    assert "p4ssw0rd" not in f"{found!r}{found.__cause__!r}{found.__context__!r}"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(client, serve, monkeypatch, name):
    proxy = serve(answering(http_answer(b"from the proxy")))
    monkeypatch.setenv(name, f"http://user:p%40ss@127.0.0.1:{proxy.port}")
    assert client.answer("http://gateway.invalid", get("http://gateway.invalid")).body == b"from the proxy"
    assert proxy.requests[0].startswith(b"GET http://gateway.invalid/rest/message/1 HTTP/1.1\r\n")
    expected = b"proxy-authorization: basic " + base64.b64encode(b"user:p@ss").lower()
    assert expected in proxy.requests[0].lower()


@pytest.mark.parametrize("exception", ["127.0.0.1", "127.0.0.0/8", "*"])
def test_no_proxy_is_honoured(client, serve, monkeypatch, exception):
    proxy = serve(answering(http_answer(b"from the proxy")))
    server = serve(answering(http_answer(b"direct")))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", exception)
    assert client.answer(server.url).body == b"direct"
    assert proxy.connections == 0


def tunnel_to(target: RawServer):
    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def behave(server: RawServer, connection: socket.socket) -> None:
        server.read_request(connection)
        with socket.create_connection(("127.0.0.1", target.port)) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            pump(connection, onward)
            back.join(5)

    return behave


def test_https_goes_through_a_tunnel_and_the_gateway_never_sees_the_proxys_password(
    client, serve, certificate, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    gateway = serve(answering(http_answer(b"[]")), tls=certificate.context)
    proxy = serve(tunnel_to(gateway))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:word@127.0.0.1:{proxy.port}")
    base_url = f"https://gateway.invalid:{gateway.port}"
    request = Request("DELETE", f"{base_url}/1", {"Authorization": "Bearer s3cret"})
    first, second = client.send(base_url, request, request)
    assert (first.body, second.body) == (b"[]", b"[]")
    assert len(proxy.requests) == 1
    assert proxy.requests[0].startswith(f"CONNECT gateway.invalid:{gateway.port} ".encode())
    assert b"proxy-authorization: basic" in proxy.requests[0].lower()
    assert b"s3cret" not in proxy.requests[0]
    assert b"proxy-authorization" not in gateway.requests[0].lower()


def untrusted_tunnel(serve, certificate):
    return tunnel_to(serve(answering(http_answer()), tls=certificate.context))


def test_an_untrusted_certificate_behind_a_tunnel_is_a_tls_failure(client, serve, certificate, monkeypatch):
    proxy = serve(untrusted_tunnel(serve, certificate))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert client.failure("https://gateway.invalid").kind is FailureKind.TLS


def refuse_tunnel(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(b"", status="407 Proxy Authentication Required"))


def close_at_connect(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)


def nonsense_at_connect(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"220 mail.invalid ESMTP\r\n\r\n")


@pytest.mark.parametrize("behaviour", [refuse_tunnel, close_at_connect, nonsense_at_connect])
def test_a_proxy_that_does_not_open_the_way_is_told_apart(client, serve, monkeypatch, behaviour):
    proxy = serve(behaviour)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    found = client.failure("https://gateway.invalid", timeout=5)
    assert found.kind is FailureKind.PROXY, str(found)
    assert found.never_left


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_reached_is_told_apart(client, monkeypatch, scheme):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://user:s3cret@127.0.0.1:{port}")
    found = client.failure(f"{scheme}://gateway.invalid")
    assert found.kind is FailureKind.PROXY
    assert found.never_left
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:s3cret+/%<@127.0.0.1:3128",
        "http://user:s3cret?@127.0.0.1:3128",
        "user:s3cret/@127.0.0.1:3128",
        "http://127.0.0.1:s3cret",
        "http://user:s3cret@[127.0.0.1:3128",
        "http://user:s3cret@:3128",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_password_of_a_proxy_whose_url_cannot_be_read_is_not_told(client, monkeypatch, scheme, proxy):
    """As where somebody has written a password's slash into HTTPS_PROXY as it is: the parsers' own errors quote it."""
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy)
    found = client.failure(f"{scheme}://gateway.invalid")
    assert found.kind is FailureKind.PROXY
    assert found.never_left
    assert "must be written as %25" in str(found)
    shown = traceback.TracebackException.from_exception(found, capture_locals=True)
    assert found.__context__ is None
    frames = [frame for frame in shown.stack if "/tests/" not in frame.filename]
    assert "s3cret" not in str(found) + "".join(str(frame.locals) for frame in frames)


def test_a_proxy_whose_name_cannot_be_resolved_is_told_apart(client, monkeypatch):
    def no_such_name(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    assert client.failure("http://gateway.invalid").kind is FailureKind.PROXY


def test_a_proxy_that_is_silent_at_connect_is_a_connect_timeout(client, serve, monkeypatch):
    proxy = serve(lambda server, connection: server.stopping.wait(20))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    found = client.failure("https://gateway.invalid", timeout=0.4)
    assert found.kind is FailureKind.CONNECT_TIMEOUT
    assert found.never_left


# --- logs ---


@pytest.mark.parametrize("kind", ["sync", "async", "async debug"])
@pytest.mark.parametrize("answers", [(http_answer(),), (http_answer(), b"nonsense\r\n\r\n")])
def test_no_log_record_of_any_library_holds_a_secret(serve, caplog, kind, answers):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    server = serve(answering(*answers))
    request = Request(
        "POST",
        f"{server.url}/s3cret?key=s3cret",
        {"Authorization": "Bearer s3cret", "X-S": "s3cret"},
        b"s3cret",
    )
    Client(kind).send(server.url, request, request)
    written = "".join(f"{record.getMessage()}{record.__dict__}" for record in caplog.records)
    assert "s3cret" not in written
    # The same libraries, used by somebody else, still write their records.
    requests.get(f"{server.url}/theirs", timeout=5).close()
    assert "/theirs" in caplog.text


# --- the session that get_conn() hands out ---


def test_the_session_takes_paths_and_sends_the_default_headers(serve):
    server = serve(answering(http_answer(b"[1]")))
    with SyncTransport(server.url, timeout=5, default_headers={"Authorization": "Bearer x"}) as transport:
        assert transport.session.get("/rest/account/balance", params={"a": "b"}).json() == [1]
    assert server.requests[0].startswith(b"GET /rest/account/balance?a=b HTTP/1.1")
    assert b"authorization: bearer x" in server.requests[0].lower()


def test_the_session_follows_no_redirect_even_when_asked_to(serve):
    other = serve(answering(http_answer()))
    server = serve(answering(http_answer(b"", f"Location: {other.url}/", status="302 Found")))
    with GatewaySession(server.url, timeout=5) as session:
        answer = session.get("/", allow_redirects=True)
        assert answer.next is None, "a request to elsewhere is not even prepared"
        prepared = session.prepare_request(requests.Request("GET", server.url + "/"))
        assert session.send(prepared, allow_redirects=True).status_code == answer.status_code == 302
    assert other.connections == 0


@pytest.mark.parametrize("url", [url for url in ELSEWHERE[:8] if "\\" not in url])
def test_the_session_talks_to_one_service_only(url):
    with GatewaySession("https://gateway.invalid", timeout=5) as session:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - requests has its own for some of them
            session.get(url)
        with pytest.raises(ValueError, match="Refused to send"):
            session.send(requests.Request("GET", "https://evil.invalid/").prepare())
    assert isinstance(caught.value, ValueError)


def test_the_session_has_a_time_limit_unless_told_otherwise(serve):
    server = serve(lambda server, connection: server.stopping.wait(20))
    with GatewaySession(server.url, timeout=0.2) as session, pytest.raises(requests.exceptions.ReadTimeout):
        session.get("/")


# --- many at once ---


def test_the_asynchronous_transport_is_used_within_its_block():
    async def run() -> None:
        transport = AsyncTransport("http://127.0.0.1:1", timeout=1)
        await transport.send(get("http://127.0.0.1:1"))

    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(run())


def test_a_cancelled_call_closes_its_connection_and_does_not_disturb_the_next(serve):
    def behave(server: RawServer, connection: socket.socket) -> None:
        request = server.read_request(connection)
        if request.startswith(b"GET /slow"):
            if connection.recv(1) == b"":
                server.client_gone.set()
        else:
            connection.sendall(http_answer(b"[2]"))

    server = serve(behave)

    async def run() -> bytes:
        async with AsyncTransport(server.url, timeout=20) as transport:
            slow = asyncio.create_task(transport.send(get(server.url, "/slow")))
            while not server.requests:
                await asyncio.sleep(0.01)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            return (await transport.send(get(server.url))).body

    assert asyncio.run(run()) == b"[2]"
    assert server.client_gone.wait(5)
