"""Servers on loopback with good and bad certificates, which remember every byte that a client let them read."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = dt.timedelta(days=1)
HERE = ("localhost", "127.0.0.1")


class Authority:
    """Signs certificates, its own for a start.

    :param folder: where the files are written.
    """

    def __init__(self, folder: Path, name: str = "an authority of the tests") -> None:
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._count = 0
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        own = self._sign(self._name, self._key.public_key(), (), (-DAY, DAY), is_authority=True)
        self.path.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(
        self,
        names: Sequence[str] = HERE,
        *,
        subject: str = "a gateway of the tests",
        valid: tuple[dt.timedelta, dt.timedelta] = (-DAY, DAY),
    ) -> ssl.SSLContext:
        """Make a server's side with a certificate of this authority.

        :param names: for which it is valid, host names and addresses; none leaves the subject's name only.
        :param valid: from when to when, seen from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return self._context(
            key, self._sign(_named(subject), key.public_key(), names, valid, is_authority=False)
        )

    def own_server(self) -> ssl.SSLContext:
        """Make a server's side with a certificate that vouches for itself."""
        return self._context(
            self._key, self._sign(self._name, self._key.public_key(), HERE, (-DAY, DAY), is_authority=True)
        )

    def _context(self, key: ec.EllipticCurvePrivateKey, signed: x509.Certificate) -> ssl.SSLContext:
        self._count += 1
        path = self.path.with_name(f"{self.path.stem}-{self._count}.pem")
        path.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def old_server(self) -> ssl.SSLContext:
        """Make a server's side that knows TLS 1.0 and 1.1 only."""
        context = self.server()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old is what it is meant to be
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    def asking_server(self, newest: ssl.TLSVersion) -> ssl.SSLContext:
        """Make a server's side that wants a certificate of its client."""
        context = self.server()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.path)
        context.maximum_version = newest
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[str],
        valid: tuple[dt.timedelta, dt.timedelta],
        *,
        is_authority: bool,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + valid[0])
            .not_valid_after(now + valid[1])
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            # Without these, Python 3.13 and newer refuse any certificate.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(_usage(is_authority=is_authority), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


Say = Callable[[bytes], bytes]


class Witness:
    """Reads requests, remembers them, and answers each.

    :param say: makes the answer to a request; ``b""`` closes the connection.
    :param tls: the server's side of TLS, or ``None`` for plain HTTP.
    :param silent: says nothing to anybody, not even a handshake.
    """

    def __init__(self, say: Say, tls: ssl.SSLContext | None = None, *, silent: bool = False) -> None:
        self._say = say
        self._tls = tls
        self._silent = silent
        self._open: list[socket.socket] = []
        self.connections = 0
        self.requests: list[bytes] = []
        """Each as it came, decrypted, head and body."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            if not self._silent:
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with contextlib.suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while request := _read(connection):
                    self.requests.append(request)
                    answer = self._say(request)
                    if not answer:
                        return
                    connection.sendall(answer)


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data  # also what is no HTTP is remembered
        data += part
        if not data[:1].isalpha():
            return data
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    while len(body) < length and (part := connection.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """Put an answer together."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
