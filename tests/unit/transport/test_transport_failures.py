"""Every way in which a request can fail, on a real socket, for both transports."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import signal
import socket
import ssl
import threading
import tracemalloc
import zlib

import pytest
from support.both_transports import Client, RawServer, answering, get, http_answer, reset
from support.tls import Authority

from airflow_provider_smscancel.gateways.base import Answer, Request
from airflow_provider_smscancel.transport.body import plain_body
from airflow_provider_smscancel.transport.failure import (
    NEVER_LEFT_KINDS,
    FailureKind,
    TransportFailure,
    failure,
)
from airflow_provider_smscancel.transport.sync import SyncTransport, _AbandonedError, _Exchange

LARGE = b"x" * (300 * 1024)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def check(found: TransportFailure, kind: FailureKind) -> None:
    assert found.kind is kind, str(found)
    assert found.never_left is (kind in NEVER_LEFT_KINDS)
    assert ("Nothing was sent" in str(found)) is found.never_left


# --- what breaks after the request was written ---


def accept_and_close(server: RawServer, connection: socket.socket) -> None:
    connection.close()


def accept_and_reset(server: RawServer, connection: socket.socket) -> None:
    reset(connection)


def reset_after_request(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    reset(connection)


def close_after_request(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)


def half_a_head(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")


def a_head_without_end(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\n")


def half_a_body(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(b'{"data":', length=200))


def reset_in_body(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(b'{"data":', length=200))
    reset(connection)


def half_a_chunk(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc")


def chunks_without_end(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")


def bad_chunk(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")


def not_http(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def endless_header(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n")


def damaged_gzip(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(b"no gzip at all", "Content-Encoding: gzip"))


def cut_gzip(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(gzip.compress(b"{}" * 50)[:-12], "Content-Encoding: gzip"))


@pytest.mark.parametrize(
    "behaviour",
    [
        accept_and_close,
        reset_after_request,
        close_after_request,
        half_a_head,
        a_head_without_end,
        half_a_body,
        reset_in_body,
        half_a_chunk,
        chunks_without_end,
        bad_chunk,
        not_http,
        endless_header,
        damaged_gzip,
        cut_gzip,
    ],
)
def test_what_breaks_after_the_request_was_written_may_have_been_acted_on(client, serve, behaviour):
    server = serve(behaviour)
    check(client.failure(server.url), FailureKind.BROKEN)
    assert server.connections == 1
    assert len(server.requests) <= 1


def test_a_reset_before_the_request_is_read_is_never_taken_for_nothing_sent_without_proof(client, serve):
    found = client.failure(serve(accept_and_reset).url)
    # The reset may come while the connection is still being opened, before anything is written, or right after.
    assert found.kind in {FailureKind.BROKEN, FailureKind.REFUSED}
    check(found, found.kind)


def silence(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    server.stopping.wait(20)


def dripping_head(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    server.drip(connection, b"y" * 5000)


def dripping_body(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(b"", length=5000))
    server.drip(connection, b"y" * 5000)


def dripping_last_body(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    server.drip(connection, b"y" * 5000)


@pytest.mark.parametrize("behaviour", [silence, dripping_head, dripping_body, dripping_last_body])
def test_the_limit_on_a_whole_call_holds_against_silence_and_drips(client, serve, behaviour):
    server = serve(behaviour)
    found = client.failure(server.url, timeout=0.4)
    check(found, FailureKind.TIMEOUT)
    assert "0.4 s" in str(found)
    if behaviour is not silence:
        assert server.client_gone.wait(5), "the connection of a call that was given up must be closed"


def over_the_limit_with_length(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(LARGE))


def over_the_limit_in_chunks(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        for _ in range(300):
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")


def over_the_limit_until_close(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + LARGE)


def gzip_bomb(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(http_answer(gzip.compress(b"\0" * 50_000_000), "Content-Encoding: gzip"))


@pytest.mark.parametrize(
    "behaviour",
    [over_the_limit_with_length, over_the_limit_in_chunks, over_the_limit_until_close, gzip_bomb],
)
def test_an_answer_over_the_limit_is_refused_also_after_decompression(client, serve, behaviour):
    check(client.failure(serve(behaviour).url), FailureKind.TOO_LARGE)


def test_a_gzip_bomb_is_not_unpacked_to_find_out_how_large_it_is():
    bomb = gzip.compress(b"\0" * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TransportFailure) as caught:
            plain_body(bomb, "gzip", "https://gateway.invalid")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    check(caught.value, FailureKind.TOO_LARGE)
    assert peak < 2_000_000


def test_an_answer_at_the_limit_is_read(client, serve):
    body = b"x" * (256 * 1024)
    assert client.answer(serve(answering(http_answer(body))).url).body == body


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(b'{"a":1}')), ("deflate", zlib.compress(b'{"a":1}')), ("br", b'{"a":1}')],
)
def test_a_compressed_answer_that_nobody_asked_for_is_read(client, serve, encoding, packed):
    server = serve(answering(http_answer(packed, f"Content-Encoding: {encoding}")))
    assert client.answer(server.url).body == b'{"a":1}'
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


# --- what fails before the request is written ---


def test_a_closed_port_is_refused(client):
    port = closed_port()
    found = client.failure(f"http://127.0.0.1:{port}")
    check(found, FailureKind.REFUSED)
    assert f"127.0.0.1:{port}" in str(found)
    assert "Connection refused" in str(found)


@pytest.mark.parametrize("host", ["nonexistent.invalid", "a" * 70 + ".invalid"])
def test_a_name_that_cannot_be_resolved_is_an_unknown_host(client, monkeypatch, host):
    def no_such_name(name, *args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    check(client.failure(f"http://{host}"), FailureKind.UNKNOWN_HOST)


def test_a_connection_that_nobody_accepts_is_a_connect_timeout(client):
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(4):  # fills the queue, so that the kernel drops what comes next
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        check(client.failure(f"http://127.0.0.1:{address[1]}", timeout=0.4), FailureKind.CONNECT_TIMEOUT)


def test_a_handshake_that_does_not_end_is_a_connect_timeout(client, serve):
    server = serve(lambda server, connection: server.stopping.wait(20))
    found = client.failure(server.url.replace("http:", "https:"), timeout=0.4)
    check(found, FailureKind.CONNECT_TIMEOUT)


def test_a_certificate_that_nobody_vouches_for_is_a_tls_failure(client, serve, certificate):
    server = serve(answering(http_answer()), tls=certificate.context)
    found = client.failure(server.url)
    check(found, FailureKind.TLS)
    assert "self-signed certificate" in str(found)
    assert server.requests == []


def test_a_certificate_for_another_name_is_a_tls_failure(client, serve, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    server = serve(answering(http_answer()), tls=certificate.context)
    check(client.failure(f"https://localhost:{server.port}"), FailureKind.TLS)


def answer_anything(server: RawServer, connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(http_answer(b"", status="400 Bad Request"))


def close_in_handshake(server: RawServer, connection: socket.socket) -> None:
    connection.recv(65536)


def reset_in_handshake(server: RawServer, connection: socket.socket) -> None:
    # Only once the client's hello is here: a reset before it makes CPython's own ssl module leak a socket.
    connection.recv(65536)
    reset(connection)


@pytest.mark.parametrize("behaviour", [answer_anything, close_in_handshake, reset_in_handshake])
def test_a_port_that_does_not_speak_tls_is_a_tls_failure(client, serve, behaviour):
    server = serve(behaviour)
    check(client.failure(server.url.replace("http:", "https:")), FailureKind.TLS)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_ca_bundle_of_the_environment_is_trusted(client, serve, certificate, monkeypatch, name):
    monkeypatch.setenv(name, str(certificate.path))
    server = serve(answering(http_answer(b"[]")), tls=certificate.context)
    assert client.answer(server.url).body == b"[]"


def test_a_missing_ca_bundle_is_named(client, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    found = client.failure("https://127.0.0.1:1")
    check(found, FailureKind.TLS)
    assert "REQUESTS_CA_BUNDLE" in str(found)


def test_a_ca_bundle_without_certificates_is_a_tls_failure(client, serve, certificate, monkeypatch, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("nothing")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    server = serve(answering(http_answer()), tls=certificate.context)
    check(client.failure(server.url), FailureKind.TLS)


# --- nothing is repeated ---


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_request_is_never_silently_repeated(client, serve, method):
    def answer_once(server: RawServer, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(http_answer(b"[]"))
        server.read_request(connection)  # and close without a word, as a gateway may after having acted

    server = serve(answer_once)
    request = Request(method, f"{server.url}/1", {}, b"x" if method == "POST" else None)
    first, second = client.send(server.url, request, request)
    assert first.body == b"[]"
    check(second, FailureKind.BROKEN)
    assert len(server.requests) == 2
    assert server.connections == 1, "the connection is kept alive, or this test proves nothing"


# --- no answer is taken for another's ---


@pytest.mark.parametrize("at_once", [True, False], ids=["in one go", "later"])
@pytest.mark.parametrize("again", [http_answer(b"one"), http_answer(b"one")[:30]], ids=["whole", "in part"])
def test_an_answer_that_comes_twice_is_never_taken_for_that_to_the_next_request(
    client, serve, at_once, again
):
    first_is_read, again_is_sent = threading.Event(), threading.Event()

    def answer_twice(server: RawServer, connection: socket.socket) -> None:
        count = len(server.requests)
        while server.read_request(connection):
            if count:
                connection.sendall(http_answer(b"two"))
            elif at_once:
                connection.sendall(http_answer(b"one") + again)
            else:
                connection.sendall(http_answer(b"one"))
                first_is_read.wait(10)
                connection.sendall(again)
            again_is_sent.set()
            count += 1

    def meanwhile() -> None:
        first_is_read.set()
        again_is_sent.wait(10)

    server = serve(answer_twice)
    first, second = client.send(server.url, get(server.url), get(server.url), between=meanwhile)
    assert first.body == b"one"
    assert second.body == b"two"


# --- the thread behind the single call ---


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 Whatever"])
def test_an_interim_answer_is_not_taken_for_the_answer(client, serve, status):
    """What came behind a 102 passed for the answer to the next request: a message was called cancelled that was not."""

    def answer_late(server: RawServer, connection: socket.socket) -> None:
        for body in (b"true", b"false"):
            if server.read_request(connection):
                connection.sendall(f"HTTP/1.1 {status}\r\nLink: </style>\r\n\r\n".encode() * 2)
                server.stopping.wait(0.1)
                connection.sendall(http_answer(body))

    server = serve(answer_late)
    found = client.send(server.url, get(server.url), get(server.url))
    assert [(one.status, one.body) for one in found] == [(200, b"true"), (200, b"false")]
    assert server.connections == 1


def test_a_connection_that_switches_protocols_is_not_used_again(client, serve):
    def switch(server: RawServer, connection: socket.socket) -> None:
        if server.read_request(connection) and server.connections == 1:
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            server.stopping.wait(0.2)
            with contextlib.suppress(OSError):
                connection.sendall(http_answer(b"true"))
        else:
            connection.sendall(http_answer(b"false"))

    server = serve(switch)
    switched, second = client.send(server.url, get(server.url), get(server.url))
    assert not isinstance(switched, Answer) or switched.status == 101
    assert (second.status, second.body) == (200, b"false")


def test_a_signal_interrupts_a_call_and_ends_its_connection(serve):
    class TimeLimit(BaseException):
        pass

    def raise_it(*_):
        raise TimeLimit

    server = serve(dripping_body)
    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        with SyncTransport(server.url, timeout=30) as transport:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(TimeLimit):
                transport.send(get(server.url))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert server.client_gone.wait(5)


def test_a_call_that_was_given_up_while_connecting_is_never_written(serve, monkeypatch):
    server = serve(answering(http_answer()))
    resolve = socket.getaddrinfo
    given_up = threading.Event()

    def slow_resolver(*args, **kwargs):
        given_up.wait(20)
        return resolve(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow_resolver)
    with SyncTransport(server.url, timeout=0.2) as transport:
        with pytest.raises(TransportFailure) as caught:
            transport.send(get(server.url))
        given_up.set()
        for thread in threading.enumerate():
            if thread.name == "sms-gateway-request":
                thread.join(5)
    check(caught.value, FailureKind.CONNECT_TIMEOUT)
    assert server.requests == []


def test_what_was_told_about_a_call_stays_true():
    exchange = _Exchange()
    assert exchange.abandon() is False
    with pytest.raises(_AbandonedError):
        exchange.writing(None)
    assert exchange.left is False


# --- the failure itself ---


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_kind_has_a_text_that_says_whether_anything_was_sent(kind):
    check(TransportFailure(kind), kind)
    check(failure(kind, "https://gateway.invalid", "the reason"), kind)
    assert "the reason" in str(failure(kind, "https://gateway.invalid", "the reason"))


def test_a_failure_survives_the_border_of_a_process():
    found = pickle.loads(pickle.dumps(TransportFailure(FailureKind.BROKEN, "text", never_left=True)))
    assert (found.kind, found.never_left, str(found)) == (FailureKind.BROKEN, True, "text")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("behaviour", [reset_after_request, half_a_body, not_http, silence])
def test_no_failure_tells_a_secret(serve, kind, behaviour):
    server = serve(behaviour)
    request = Request("POST", f"{server.url}/path?key=s3cret", {"Authorization": "s3cret"}, b"s3cret")
    found = Client(kind).failure(server.url, request, timeout=0.4)
    assert "s3cret" not in f"{found}{found!r}{found.args}"


@pytest.mark.parametrize("rest", [gzip.compress(b"\nID: 2 Status: 004"), b"\0", b"anything"])
def test_what_follows_a_packed_body_is_not_left_out_unseen(rest):
    # Of lines about several messages, some would seem to be all.
    packed = gzip.compress(b"ID: 1 Status: 006")
    assert plain_body(packed, "gzip", "https://gateway.invalid") == b"ID: 1 Status: 006"
    with pytest.raises(TransportFailure) as caught:
        plain_body(packed + rest, "gzip", "https://gateway.invalid")
    assert caught.value.kind is FailureKind.BROKEN
    assert not caught.value.never_left


# --- certificates of every kind ---


def test_a_name_that_is_only_in_the_subject_of_a_certificate_counts_for_neither_transport(
    client, serve, tmp_path, monkeypatch
):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    server = serve(answering(http_answer()), tls=authority.server((), subject="localhost"))
    found = client.failure(f"https://localhost:{server.port}")
    check(found, FailureKind.TLS)
    assert server.requests == []


def test_what_is_wrong_with_tls_is_told_in_words(client, serve, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    old = serve(answering(http_answer()), tls=authority.old_server())
    assert "the server knows no TLS newer than 1.1" in str(client.failure(f"https://localhost:{old.port}"))
    plain = serve(answer_anything)
    assert "what answers there does not speak TLS" in str(client.failure(f"https://localhost:{plain.port}"))
    asking = serve(answering(http_answer()), tls=authority.asking_server(ssl.TLSVersion.TLSv1_2))
    assert "it wants a client certificate" in str(client.failure(f"https://localhost:{asking.port}"))
