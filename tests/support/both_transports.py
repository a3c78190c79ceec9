"""A server that breaks things on purpose, and both transports behind one interface."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from airflow_provider_smscancel.gateways.base import Answer, Request
from airflow_provider_smscancel.transport.aio import AsyncTransport
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.sync import SyncTransport

if TYPE_CHECKING:
    from pathlib import Path

Behaviour = Callable[["RawServer", socket.socket], None]


class RawServer:
    """Listens on loopback and leaves every connection to a function. Counts what it sees."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None, backlog: int = 50) -> None:
        self.behaviour = behaviour
        self.tls = tls
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self.client_gone = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = self._listener.getsockname()[1]
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with contextlib.suppress(OSError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                self.behaviour(self, connection)
        connection.close()

    def read_request(self, connection: socket.socket) -> bytes:
        """Read one request, body and all; ``b""`` when the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def drip(self, connection: socket.socket, data: bytes) -> None:
        """Send one byte every 20 ms, until all is sent or the client has gone."""
        try:
            for byte in data:
                connection.sendall(bytes([byte]))
                if self.stopping.wait(0.02):
                    return
        except OSError:
            self.client_gone.set()

    def stop(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepter.join(5)
        for thread in self._threads:
            thread.join(0.5)


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def http_answer(
    body: bytes = b"{}", *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Behaviour:
    """Answer the requests of a connection in turn, keep-alive; the last answer serves all that follow."""

    def behave(server: RawServer, connection: socket.socket) -> None:
        count = 0
        while server.read_request(connection):
            connection.sendall(answers[min(count, len(answers) - 1)])
            count += 1

    return behave


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's own proxies and certificates out of the tests."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in (*names, *map(str.lower, names), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    with contextlib.ExitStack() as stack:

        def start(behaviour: Behaviour, **options: object) -> RawServer:
            server = RawServer(behaviour, **options)  # type: ignore[arg-type]
            stack.callback(server.stop)
            return server

        yield start


class Client:
    """One of the transports, with results and failures in one list."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def send(
        self,
        base_url: str,
        *requests: Request,
        timeout: float = 5.0,
        between: Callable[[], object] = lambda: None,
    ) -> list[Answer | TransportFailure]:
        if self.kind == "sync":
            found: list[Answer | TransportFailure] = []
            with SyncTransport(base_url, timeout=timeout) as transport:
                for request in requests:
                    if found:
                        between()
                    found.append(self._try(lambda request=request: transport.send(request)))
            return found
        return asyncio.run(self._send(base_url, requests, timeout, between), debug=self.kind == "async debug")

    async def _send(
        self, base_url: str, requests: Sequence[Request], timeout: float, between: Callable[[], object]
    ) -> list[Answer | TransportFailure]:
        found: list[Answer | TransportFailure] = []
        try:
            async with AsyncTransport(base_url, timeout=timeout) as transport:
                for request in requests:
                    if found:
                        await asyncio.to_thread(between)
                    try:
                        found.append(await transport.send(request))
                    except TransportFailure as error:
                        found.append(error)
        except TransportFailure as error:
            found.append(error)
        return found

    @staticmethod
    def _try(call: Callable[[], Answer]) -> Answer | TransportFailure:
        try:
            return call()
        except TransportFailure as error:
            return error

    def answer(self, base_url: str, request: Request | None = None, timeout: float = 5.0) -> Answer:
        (found,) = self.send(base_url, request or get(base_url), timeout=timeout)
        assert isinstance(found, Answer), found
        return found

    def failure(
        self, base_url: str, request: Request | None = None, timeout: float = 5.0
    ) -> TransportFailure:
        (found,) = self.send(base_url, request or get(base_url), timeout=timeout)
        assert isinstance(found, TransportFailure), found
        assert found.__cause__ is None
        assert found.__context__ is None
        return found


def get(base_url: str, path: str = "/rest/message/1") -> Request:
    return Request("GET", base_url + path, {"Accept": "application/json"})


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


class Certificate:
    def __init__(self, folder: Path) -> None:
        x509 = pytest.importorskip(
            "cryptography.x509",
            reason="a self-signed certificate is made with cryptography, which is not installed",
        )
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test gateway")])
        now = dt.datetime.now(dt.UTC)
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("gateway.invalid")]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.path = folder / "certificate.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = folder / "key.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.path, private)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))
