"""What can go wrong between a request and its answer, in one vocabulary for both transports.

The question that matters afterwards is whether the gateway may have acted on the request: ``never_left``
answers it, and is only ``True`` when that is proven.
"""

from __future__ import annotations

import enum
import os
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class FailureKind(enum.StrEnum):
    """Why there is no answer."""

    UNKNOWN_HOST = "unknown host"
    """The gateway's name cannot be resolved."""
    REFUSED = "refused"
    """No connection: refused, or no route to the host."""
    TLS = "tls"
    """The connection could not be secured: certificate, protocol, or a handshake that was cut."""
    CONNECT_TIMEOUT = "connect timeout"
    """The connection was not ready in time."""
    TIMEOUT = "timeout"
    """The answer was not complete in time."""
    BROKEN = "broken"
    """Reset, closed early, or not HTTP."""
    TOO_LARGE = "too large"
    """The answer is longer than the transports read."""
    PROXY = "proxy"
    """The proxy cannot be reached or did not open the way to the gateway."""


NEVER_LEFT_KINDS = frozenset(
    {
        FailureKind.UNKNOWN_HOST,
        FailureKind.REFUSED,
        FailureKind.TLS,
        FailureKind.CONNECT_TIMEOUT,
        FailureKind.PROXY,
    }
)
"""The kinds that happen before a request is written, so that the gateway cannot have acted on it."""

_NOTHING_SENT = "Nothing was sent."
_PERHAPS_DONE = "The gateway may have acted on the request."

_TEXTS = {
    FailureKind.UNKNOWN_HOST: "The name of {where} cannot be resolved: check the host and this machine's DNS",
    FailureKind.REFUSED: "No connection to {where}: check host, port and firewall",
    FailureKind.TLS: "No trusted TLS connection to {where}: check host, port, the clock and the CA bundle",
    FailureKind.CONNECT_TIMEOUT: "No connection to {where} in time: check host, port and firewall",
    FailureKind.TIMEOUT: "No complete answer from {where} in time",
    FailureKind.BROKEN: "The connection to {where} broke, or what answered does not speak HTTP",
    FailureKind.TOO_LARGE: "The answer of {where} is longer than any gateway's: check the connection's host",
    FailureKind.PROXY: "No way to {where} through the environment's proxy: check HTTPS_PROXY and NO_PROXY",
}


_OLD_TLS = "the server knows no TLS newer than 1.1"
_TLS_WORDS = {
    "WRONG_VERSION_NUMBER": "what answers there does not speak TLS",
    "HTTP_REQUEST": "what answers there does not speak TLS",
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server wants a client certificate, and there is none to give",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused: no cipher in common, or it wants a client certificate",
    "UNEXPECTED_EOF_WHILE_READING": "it was cut",
    "SSLEOFError": "it was cut",
}
"""What OpenSSL calls by names that tell a person nothing."""


class TransportFailure(Exception):
    """No usable answer came. Whether a repeat is worth it, and safe, is asked of :mod:`.policy`.

    Both transports raise it without a cause or a context: the exceptions of the libraries below carry URLs,
    and those may carry secrets.

    :param kind: why there is no answer.
    :param message: one line for a person, without the URL's path or query, headers or body; a plain one by
        default.
    :param never_left: ``True`` only when the request provably never reached the gateway; by default what the
        kind says.
    """

    def __init__(self, kind: FailureKind, message: str = "", *, never_left: bool | None = None) -> None:
        self.kind = kind
        self.never_left = kind in NEVER_LEFT_KINDS if never_left is None else never_left
        super().__init__(message or _sentence(kind, "the gateway", "", never_left=self.never_left))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders in Airflow; the default reduction would pass the text as the kind.
        return (type(self), (self.kind, str(self)), {"never_left": self.never_left})


def failure(
    kind: FailureKind, where: str, reason: str = "", *, never_left: bool | None = None
) -> TransportFailure:
    """Build a failure with a text that says what happened, what to check, and whether anything was sent.

    :param kind: why there is no answer.
    :param where: the gateway's scheme, host and port.
    :param reason: a short addition that holds no secret, such as the operating system's word or a time limit.
    :param never_left: as for :class:`TransportFailure`.
    """
    left_nothing = kind in NEVER_LEFT_KINDS if never_left is None else never_left
    return TransportFailure(
        kind, _sentence(kind, where, reason, never_left=left_nothing), never_left=left_nothing
    )


def _sentence(kind: FailureKind, where: str, reason: str, *, never_left: bool) -> str:
    addition = f" ({reason})" if reason else ""
    return f"{_TEXTS[kind].format(where=where)}{addition}. {_NOTHING_SENT if never_left else _PERHAPS_DONE}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and every error below it, once: in causes, contexts, arguments and libraries' fields."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__, *found.args]
        waiting += [getattr(found, name, None) for name in ("reason", "os_error", "certificate_error")]


def short_reason(error: BaseException) -> str:
    """Say in a few words what is at the bottom of an error, in words that cannot hold a part of the request.

    Texts of exceptions are not used, as most hold the URL: only OpenSSL's and the operating system's fixed
    words, else the type's name.
    """
    found = list(causes(error))
    for cause in found:
        # aiohttp's certificate errors inherit from ssl's, without its fields.
        if isinstance(cause, ssl.SSLError) and type(cause).__module__ == "ssl":
            reason = cause.reason or type(cause).__name__
            return str(getattr(cause, "verify_message", "") or _TLS_WORDS.get(reason, reason))
    for cause in found:
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and type(cause).__module__ == "builtins" and cause.errno:
            return os.strerror(cause.errno)
    return type(found[-1]).__name__
