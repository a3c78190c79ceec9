"""What can go wrong between a gateway and its caller, drawn from a seeded series.

A fault never lies about a message in a way that no caller could see through: where an answer does not name
its message (Esendex's bare ``true``), there is no ``wrong-id``; a success that is none comes with another status than
a success's; what is answered twice comes in one piece, before the caller can ask anything else on that connection; and
account checks are spared stray refusals, since they are what tells a stray refusal from a true one.
"""

from __future__ import annotations

import email.utils
import enum
import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from airflow_provider_smscancel.sandbox import CLICKATELL, ESENDEX
from airflow_provider_smscancel.sandbox.wire import HTML, JSON, TEXT, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

PROFILES = {"none": 0.0, "light": 0.05, "heavy": 0.30}
"""The share of a gateway's calls that go wrong."""

SLOW_S = 2.0
"""How late a ``slow`` answer is unless told otherwise."""

KINDS = {
    "429": "asks to slow down, Retry-After: 1",
    "429-date": "asks to slow down, Retry-After as a date two seconds ahead",
    "429-garbage": "asks to slow down, with a Retry-After that means nothing",
    "429-ten-years": "asks to come back in ten years; once, unless asked for by name",
    "500": "fails before acting",
    "502": "a proxy's page: the gateway was not reached",
    "503": "out of service, without acting",
    "bare-404": "a 404 without a word, without acting",
    "empty-200": "a 200 without a body; half of them have acted",
    "html-200": "a 200 with a page of somebody else's; half of them have acted",
    "truncated": "acts, then answers with half a body",
    "truncated-end": "acts, then answers without the last byte of the body",
    "cut-head": "acts, then closes the connection in the middle of the headers",
    "cut-body": "acts, then closes the connection in the middle of the body",
    "answer-twice": "acts, then gives the whole answer twice in one go, for one request",
    "body-twice": "acts, then answers with the body twice",
    "wrong-charset": "acts, then answers in UTF-16 under the name of another charset",
    "gzip-bomb": "a 200 with 32 KB that unpack to 32 MB; half of them have acted",
    "odd-date": "acts, then answers with a Date that is garbage, missing, or off by a year or by centuries",
    "redirect": "a 307 to another host on the body of a success, without acting",
    "error-on-success": "a 403, 404, 500 or 502 on the body of a success, without acting",
    "wrong-id": "answers about another message; half of them have acted on ours",
    "act-then-error": "acts, then answers 500",
    "act-then-drop": "acts, then closes the connection without an answer",
    "act-then-reset": "acts, then resets the connection without an answer",
    "drop-before": "closes the connection without acting",
    "close-after": "acts and answers, then closes the connection that it has promised to keep",
    "slow": "acts, then answers late",
    "drip": "acts, then answers byte by byte, as late as a `slow` answer in the end",
    "stray-401": "refuses valid credentials, once",
    "empty-401": "refuses valid credentials without a body",
    "session-expiry": "ends the session that the call uses (HTTP API)",
    "integer-code": "a passing error whose code is a number (Clickatell REST)",
    "odd-error": "a passing error in one of the spellings seen in the wild (HTTP API)",
    "bom": "acts, then answers with a byte-order mark in front (Esendex)",
}
"""Every kind of fault, with what it does."""

ACCOUNT_CHECKS = frozenset({"rest.balance", "http.getbalance", "GetPostbackSettingsForLicenseKey"})
NAMES_ITS_MESSAGE = frozenset(
    {"rest.stop", "rest.status", "http.delmsg", "http.querymsg", "ReadMessageStatus", "GetMessageStatus"}
)

_HTML_PAGE = b"<html><head><title>Welcome</title></head><body><h1>Please sign in</h1></body></html>"
_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_GARBAGE = (b"soon", b"-1", b"1e400", b"", b"Thu, 99 Foo 2020 00:00:00 GMT")
_ODD_ERRORS = (b"ERR: 901", b"ERR:901, Internal error, please retry: later\n", b"ERR: Internal error")
_TEN_YEARS_S = b"315360000"
_ERROR_STATUSES = (403, 404, 500, 502)
_YEAR_S = 31_557_600.0
_BOMB_BYTES = 32 << 20


class Manner(enum.Enum):
    """How an answer gets to its caller."""

    WHOLE = "whole"
    HALF_A_BODY = "the connection is closed in the middle of the body"
    HALF_A_HEAD = "the connection is closed in the middle of the headers"
    TWICE = "twice, in one go"
    DRIPPING = "byte by byte"
    THE_LAST = "the connection is closed behind it"
    NOT_AT_ALL = "the connection is closed instead"
    RESET = "the connection is reset instead"


@dataclass(slots=True)
class Incident:
    """How a call ends.

    :param reply: the answer; ``None`` where there is none.
    :param delay_s: how late the answer is, or how long it takes when it drips.
    :param manner: how it gets to the caller.
    """

    reply: Reply | None
    delay_s: float = 0.0
    manner: Manner = Manner.WHOLE


class FaultError(ValueError):
    """The settings of the faults make no sense; the text says why."""


class Faults:
    """Which calls go wrong, and how.

    :param seed: decides the series.
    :param profile: the profile to start with.
    :raises FaultError: for an unknown profile.
    """

    def __init__(self, *, seed: int, profile: str = "none") -> None:
        self._random = Random(f"{seed}:faults")  # noqa: S311 - reproducible on purpose
        self.configure(profile=profile)

    def configure(
        self,
        *,
        profile: str | None = None,
        share: float | None = None,
        kinds: Iterable[str] | None = None,
        calls: Iterable[str] | None = None,
        times: int | None = None,
        slow_seconds: float = SLOW_S,
    ) -> None:
        """Set what goes wrong from now on.

        :param profile: a name in :data:`PROFILES`; it sets the share.
        :param share: the share of calls, 0 to 1, in place of the profile's.
        :param kinds: names in :data:`KINDS`; ``None`` or empty for all of them.
        :param calls: operations to confine the faults to, as ``GET /_sandbox/requests`` names them; ``None``
            or empty for all of them.
        :param times: how many faults there are before they stop; ``None`` for no end.
        :param slow_seconds: how late a ``slow`` answer is.
        :raises FaultError: for an unknown name or a number out of range; nothing has changed then.
        """
        wanted = list(kinds or ())
        _refuse_unknown("profile", [] if profile is None else [profile], PROFILES)
        _refuse_unknown("kind", wanted, KINDS)
        if share is None:
            if profile is None:
                raise FaultError(f"give a profile ({', '.join(PROFILES)}) or a share from 0 to 1")
            share = PROFILES[profile]
        if not 0 <= share <= 1:
            raise FaultError("share must be a number from 0 to 1")
        if times is not None and times < 0:
            raise FaultError("times must not be negative")
        if not 0 <= slow_seconds <= 3600:
            raise FaultError("slow_seconds must be a number from 0 to 3600")
        self.share = share
        self.kinds = wanted or list(KINDS)
        self.slow_seconds = slow_seconds
        self._calls = frozenset(calls or ())
        self._left = times
        self._spent: set[str] = set()
        self._once = {"stray-401"} if wanted else {"stray-401", "429-ten-years"}
        self._pools: dict[tuple[str, str, bool], list[str]] = {}

    def draw(self, gateway: str, operation: str, *, has_session: bool) -> str | None:
        """Say which fault befalls this call, or ``None`` when it goes well.

        :param has_session: whether the call uses a session of Clickatell's HTTP API.
        """
        if self.share <= 0 or self._left == 0 or self._random.random() >= self.share:
            return None
        pool = self._pool(gateway, operation, has_session)
        if not pool:
            return None
        kind = pool[self._random.randrange(len(pool))]
        if kind in self._once:
            self._spent.add(kind)
            self._pools.clear()
        if self._left is not None:
            self._left -= 1
        return kind

    def _pool(self, gateway: str, operation: str, has_session: bool) -> list[str]:
        key = (gateway, operation, has_session)
        if key not in self._pools:
            self._pools[key] = [
                kind
                for kind in self.kinds
                if kind not in self._spent
                and (not self._calls or operation in self._calls)
                and _applies(kind, gateway, operation, has_session)
            ]
        return self._pools[key]

    def befall(
        self,
        kind: str,
        operation: str,
        act: Callable[[], Reply],
        *,
        rehearsal: Callable[[], AbstractContextManager[None]],
        another_id: Callable[[str, Random], str],
        elsewhere: bytes,
        now: float,
    ) -> Incident:
        """Play a fault.

        :param act: handles the call as usual.
        :param rehearsal: a context after which what ``act`` did in it is undone.
        :param another_id: returns the id of another message of that gateway.
        :param elsewhere: a URL at another host.
        :param now: the sandbox's time in seconds since 1970.
        """
        instead = self._instead(kind, operation, now)
        if instead is not None:
            return Incident(instead)
        if kind == "drop-before":
            return Incident(None, manner=Manner.NOT_AT_ALL)
        if kind == "wrong-id":
            return Incident(self._about_another(act, rehearsal, another_id))
        if kind in ("redirect", "error-on-success"):
            with rehearsal():
                reply = act()
            return Incident(self._no_success(kind, reply, elsewhere))
        if kind in _NO_WORD_OF_THE_GATEWAY:
            if self._random.random() < 0.5:
                act()
            return Incident(_NO_WORD_OF_THE_GATEWAY[kind]())
        return self._afterwards(kind, act(), now)

    def _instead(self, kind: str, operation: str, now: float) -> Reply | None:
        """Return the answer of a fault that strikes before anything is done."""
        if kind.startswith("429"):
            return Reply(429, b"Too many requests", headers=((b"retry-after", self._retry_after(kind, now)),))
        if kind == "stray-401":
            return _refusal(operation)
        if kind == "odd-error":
            return Reply(200, _ODD_ERRORS[self._random.randrange(len(_ODD_ERRORS))])
        return {
            "500": Reply(500, b"Internal Server Error"),
            "502": Reply(502, _BAD_GATEWAY, HTML),
            "503": Reply(503, b"Service Unavailable"),
            "bare-404": Reply(404, b"", b""),
            "empty-401": Reply(401, b"", b""),
            "session-expiry": Reply(200, b"ERR: 003, Session ID expired"),
            "integer-code": Reply(503, b'{"error":{"code":901,"description":"Internal error"}}', JSON),
        }.get(kind)

    def _retry_after(self, kind: str, now: float) -> bytes:
        if kind == "429-date":
            return email.utils.formatdate(now + 2, usegmt=True).encode("ascii")
        if kind == "429-garbage":
            return _GARBAGE[self._random.randrange(len(_GARBAGE))]
        return _TEN_YEARS_S if kind == "429-ten-years" else b"1"

    def _about_another(
        self,
        act: Callable[[], Reply],
        rehearsal: Callable[[], AbstractContextManager[None]],
        another_id: Callable[[str, Random], str],
    ) -> Reply:
        with rehearsal():
            reply = act()
        if reply.message_id is None or self._random.random() < 0.5:
            # An answer that names no message must be true, so the call is handled after all.
            reply = act()
        if reply.message_id is not None:
            other = another_id(reply.message_id, self._random)
            reply.body = reply.body.replace(reply.message_id.encode("ascii"), other.encode("ascii"))
        return reply

    def _no_success(self, kind: str, reply: Reply, elsewhere: bytes) -> Reply:
        """Return an answer whose status denies what its body says."""
        if kind == "redirect":
            reply.status, reply.headers = 307, ((b"location", elsewhere),)
        else:
            reply.status = _ERROR_STATUSES[self._random.randrange(len(_ERROR_STATUSES))]
        return reply

    def _afterwards(self, kind: str, reply: Reply, now: float) -> Incident:
        """Spoil the answer to a call that was acted upon, or the way that it takes."""
        if kind in ("slow", "drip"):
            return Incident(reply, self.slow_seconds, Manner.DRIPPING if kind == "drip" else Manner.WHOLE)
        if kind in _MANNERS:
            return Incident(reply, manner=_MANNERS[kind])
        if kind == "act-then-error":
            return Incident(Reply(500, b"Internal Server Error"))
        if kind == "odd-date":
            reply.date = self._odd_date(now)
        else:
            reply.body = _SPOILT[kind](reply.body)
        return Incident(reply)

    def _odd_date(self, now: float) -> bytes:
        dates = (
            b"",
            b"yesterday",
            b"Thu, 99 Foo 2020 99:99:99 GMT",
            b"Mon, 01 Jan 0001 00:00:00 +1400",
            b"Fri, 31 Dec 9999 23:59:59 -1200",
            email.utils.formatdate(now + _YEAR_S, usegmt=True).encode("ascii"),
            email.utils.formatdate(now - _YEAR_S, usegmt=True).encode("ascii"),
        )
        return dates[self._random.randrange(len(dates))]


@functools.cache
def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    return packer.compress(bytes(_BOMB_BYTES)) + packer.flush()


_NO_WORD_OF_THE_GATEWAY: dict[str, Callable[[], Reply]] = {
    "empty-200": lambda: Reply(200, b""),
    "html-200": lambda: Reply(200, _HTML_PAGE, HTML),
    "gzip-bomb": lambda: Reply(200, _bomb(), JSON, headers=((b"content-encoding", b"gzip"),)),
}
_MANNERS = {
    "act-then-drop": Manner.NOT_AT_ALL,
    "act-then-reset": Manner.RESET,
    "cut-head": Manner.HALF_A_HEAD,
    "cut-body": Manner.HALF_A_BODY,
    "answer-twice": Manner.TWICE,
    "close-after": Manner.THE_LAST,
}
_SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "bom": lambda body: b"\xef\xbb\xbf" + body,
    "truncated": lambda body: body[: len(body) // 2],
    "truncated-end": lambda body: body[:-1],
    "body-twice": lambda body: body + body,
    "wrong-charset": lambda body: body.decode("utf-8").encode("utf-16"),
}


def _applies(kind: str, gateway: str, operation: str, has_session: bool) -> bool:
    if kind == "session-expiry":
        return has_session
    if kind == "integer-code":
        return operation.startswith("rest.")
    if kind == "odd-error":
        return operation.startswith("http.")
    if kind == "bom":
        return gateway == ESENDEX
    if kind == "wrong-id":
        return operation in NAMES_ITS_MESSAGE
    if kind in ("stray-401", "empty-401"):
        return gateway == CLICKATELL and operation not in ACCOUNT_CHECKS
    return True


def _refusal(operation: str) -> Reply:
    if operation.startswith("http."):
        return Reply(200, b"ERR: 001, Authentication failed", TEXT)
    return Reply(401, b'{"error":{"code":"001","description":"Authentication failed"}}', JSON)


def _refuse_unknown(what: str, given: list[str], known: Iterable[str]) -> None:
    valid = list(known)
    for name in given:
        if name not in valid:
            raise FaultError(f"unknown {what} {name!r}: valid are {', '.join(valid)}")
