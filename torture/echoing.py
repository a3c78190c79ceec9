"""A gateway that repeats what was sent to it: every answer holds the request's credentials, number and text, somewhere.

Services in debug mode do that, and so do proxies that explain what they refuse. Each :class:`Echo` is a place in an answer
where it can happen.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import unquote_plus

TLS_HELLO = b"\x16"
"""How a handshake begins."""
NUMBER = re.compile(r"\b[0-9]{10,11}\b")


@dataclass(frozen=True)
class Heard:
    """A request.

    :param line: method, path and version.
    :param head: its headers.
    :param body: as it came.
    """

    line: str
    head: str
    body: str

    @property
    def told(self) -> str:
        """All of it in one line, as it came and unquoted."""
        plain = f"{self.line} {self.head} {self.body}"
        return " ".join(f"{plain} {unquote_plus(plain)}".split())

    @property
    def number(self) -> str:
        """The phone number that it is about, or any."""
        found = NUMBER.search(unquote_plus(self.body))
        return found[0] if found else "27836194072"


@dataclass(frozen=True)
class Echo:
    """A way to answer.

    :param name: what is repeated where.
    :param answer: the whole answer, as it goes onto the wire.
    """

    name: str
    answer: Callable[[Heard], bytes]

    def __str__(self) -> str:
        return self.name


def _http(status: str, body: str, *headers: str) -> bytes:
    data = body.encode(errors="replace")
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(head).encode(errors="replace") + b"\r\n\r\n" + data


def _page(status: str) -> Echo:
    return Echo(
        f"{status}, a page",
        lambda heard: _http(
            status, f"<html><body><pre>{heard.told}</pre></body></html>", "Content-Type: text/html"
        ),
    )


def _json(status: str) -> Echo:
    def answer(heard: Heard) -> bytes:
        error = {"code": "101", "description": heard.told, "documentation": heard.told}
        return _http(status, json.dumps({"error": error}), "Content-Type: application/json")

    return Echo(f"{status}, an error in JSON", answer)


def _xml(status: str) -> Echo:
    def answer(heard: Heard) -> bytes:
        told = html.escape(heard.told)
        body = f"<response><error><code>101</code><description>{told}</description></error></response>"
        return _http(status, body, "Content-Type: application/xml")

    return Echo(f"{status}, an error in XML", answer)


def _fields(name: str, told: Callable[[Heard], str]) -> Echo:
    """Answer in each gateway's own shape, with what was told in every field: in codes, in ids, in names."""

    def answer(heard: Heard) -> bytes:
        what = told(heard)
        if "/http/" in heard.line:
            return _http("200 OK", f"ID: {what} To: {what} Status: {what}\n")
        entry = {"apiMessageId": what, "messageStatus": what, "accepted": True, "to": what, "error": None}
        esendex = dict.fromkeys(("MessageID", "MessageStatus", "SMSError", "ReturnCode", "To"), what)
        data = {**entry, "balance": None, "message": [entry], "code": what}
        document = esendex if "Messaging.svc" in heard.line else {"data": data}
        return _http("200 OK", json.dumps(document), "Content-Type: application/json")

    return Echo(f"200, {name}", answer)


def _lines(name: str, line: str) -> Echo:
    return Echo(
        f"200, {name}",
        lambda heard: _http("200 OK", line.format(told=heard.told, number=heard.number)),
    )


def _header(name: str, *lines: str) -> Echo:
    def answer(heard: Heard) -> bytes:
        told = heard.told.encode("ascii", "backslashreplace").decode()
        return _http("503 Busy", "{}", *(line.format(told=told) for line in lines))

    return Echo(f"503, {name}", answer)


def _fault(heard: Heard) -> bytes:
    told = html.escape(heard.told)
    soap = "http://www.w3.org/2003/05/soap-envelope"
    body = (
        f'<s:Envelope xmlns:s="{soap}"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code>'
        f'<s:Reason><s:Text xml:lang="en">{told}</s:Text></s:Reason><s:Detail>{told}</s:Detail></s:Fault></s:Body></s:Envelope>'
    )
    return _http("500 Internal Server Error", body, "Content-Type: application/soap+xml")


def _redirect(heard: Heard) -> bytes:
    path = heard.line.split()[1]
    where = f"Location: https://gateway.invalid{path}{'&' if '?' in path else '?'}{heard.number}"
    return _http("302 Found", heard.told, where, f"X-Echo: {heard.head!r}")


ECHOES = (
    _page("200 OK"),
    _page("400 Bad Request"),
    _page("401 Unauthorized"),
    _page("404 Not Found"),
    _page("500 Internal Server Error"),
    _json("200 OK"),
    _json("401 Unauthorized"),
    _json("429 Too Many Requests"),
    _json("500 Internal Server Error"),
    _xml("400 Bad Request"),
    _fields("everything in every field", lambda heard: heard.told),
    _fields("the number in every field", lambda heard: heard.number),
    _lines("an error in a line", "ERR: 101, {told}"),
    _lines("the number as a code", "ERR: {number}"),
    _lines("the number as an id", "ID: {number}"),
    _lines("the number as an id, a recipient and a status", "ID: {number} To: {number} Status: {number}"),
    _lines("a session that is everything", "OK: {told}"),
    Echo("500, a SOAP fault", _fault),
    Echo("302, a redirect", _redirect),
    _header("in Retry-After", "Retry-After: {told}"),
    _header("in a cookie, a date and a type", "Set-Cookie: {told}", "Date: {told}", "Content-Type: {told}"),
    _header("in a header that is none", "{told}"),
    _header("in the encoding", "Content-Encoding: {told}", "Transfer-Encoding: {told}"),
    Echo("no HTTP, but the request itself", lambda heard: f"{heard.told}\r\n\r\n{heard.told}".encode()),
    Echo("in the status line", lambda heard: f"HTTP/1.1 400 {heard.told}\r\n\r\n".encode()),
    Echo("cut in the middle", lambda heard: _http("200 OK", heard.told)[:-20]),
    Echo(
        "a chunk of odd length",
        lambda heard: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{heard.told}".encode(),
    ),
)
"""Every place in which an answer can repeat a request."""


class EchoingGateway:
    """A context manager around a server on loopback that answers by an :class:`Echo`, and closes after each answer.

    :param in_turn: whether each answer is another echo; otherwise all are ``echo``.
    """

    def __init__(self, *, in_turn: bool = False) -> None:
        self.echo = ECHOES[0]
        self.heard = 0
        gateway = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self._serve()

            def _serve(self) -> None:
                if self.connection.recv(1, socket.MSG_PEEK) == TLS_HELLO:
                    self.wfile.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
                    return
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = self.rfile.readline(65_536)
                    if not line:
                        return
                    head += line
                first, _, rest = head.decode("latin-1").partition("\r\n")
                length = re.search(r"content-length: *([0-9]+)", rest, re.IGNORECASE)
                body = self.rfile.read(int(length[1]) if length else 0).decode(errors="replace")
                gateway.heard += 1
                echo = ECHOES[gateway.heard % len(ECHOES)] if in_turn else gateway.echo
                self.wfile.write(echo.answer(Heard(first, rest, body)))
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_WR)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler, bind_and_activate=True)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
