"""The vocabulary that every gateway speaks, and the interface that a new one implements.

A gateway is *sans-IO*: it turns (verb, message) into a :class:`Request` and (status, headers, body) into a
:class:`Verdict`. Whoever sends the request, synchronously or not, with or without retries, is no concern of it.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar


class IdType(enum.StrEnum):
    """Whose id names a message."""

    MESSAGE_ID = "message_id"
    """The id that the gateway gave out when the message was sent."""
    CLIENT_MESSAGE_ID = "client_message_id"
    """The id that the sender chose (Clickatell's ``climsgid``, on its HTTP API only)."""


class Finding(enum.Enum):
    """What one answer says about one message. What follows from it is decided elsewhere (``campaigns.settlement``)."""

    CANCELLED = "cancelled"
    """The gateway's own word about this very message: it is cancelled."""
    PENDING = "pending"
    """Still waiting to be sent."""
    SENT = "sent"
    """It has left, or can no longer be stopped."""
    DEAD = "dead"
    """It will not go out, though not because it was cancelled by us."""
    UNKNOWN_ID = "unknown id"
    """The gateway's own word that it does not know the id."""
    UNSURE = "unsure"
    """Clickatell's status 001, "unknown or reporting delayed": proves nothing by itself."""
    NOT_STOPPED = "not stopped"
    """Esendex's ``false``: this stop stopped nothing, for a reason that is not told."""
    REFUSED = "refused"
    """The gateway refuses this one request for good."""
    ACCOUNT = "account"
    """The gateway refuses the account (or the session could not be opened), not the message."""
    SESSION = "session"
    """The session has expired: open a new one and ask again."""
    BUSY = "busy"
    """The gateway asks to slow down. It did not act on the request."""
    FAULT = "fault"
    """A passing fault of the gateway, or of something before it. It may have acted on the request."""
    UNREADABLE = "unreadable"
    """Not an answer of this gateway about this message. It may have acted on the request."""
    ACCEPTED = "accepted"
    """The call that checks an account succeeded."""


class MessageState(enum.StrEnum):
    """Where a message is, as :class:`MessageStatus` tells it."""

    PENDING = "pending"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNKNOWN = "unknown"


STATE_OF_FINDING: Mapping[Finding, MessageState] = {
    Finding.PENDING: MessageState.PENDING,
    Finding.SENT: MessageState.SENT,
    Finding.CANCELLED: MessageState.CANCELLED,
    Finding.DEAD: MessageState.FAILED,
    Finding.UNKNOWN_ID: MessageState.UNKNOWN,
    Finding.UNSURE: MessageState.UNKNOWN,
}
"""The findings of a status query that settle where a message is. Any other finding is a failure of the query."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete with credentials. Its repr shows the method only: the rest may be secret.

    :param method: ``GET``, ``POST`` or ``DELETE``.
    :param url: absolute, already quoted: it must be sent as it is.
    :param headers: complete but for ``Host``, ``Content-Length`` and ``User-Agent``.
    :param body: bytes to send, or ``None``.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole.

    :param status: the HTTP status.
    :param headers: looked up without regard to case (``requests``' and ``aiohttp``'s own mappings do that).
    :param body: at most 256 KiB: the transports refuse more.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    :param finding: see :class:`Finding`.
    :param code: the gateway's raw code (``"006"``, ``"507"``, ``"true"``), or ``None``.
    :param detail: one line for a person. Never holds a secret, a phone number, a message's text or raw bytes of the answer.
    :param retry_after: the ``Retry-After`` header as it came, or ``None``.
    :param http_status: the HTTP status of the answer.
    :param noise: the body is none of this gateway's answers: a proxy's page, say. What the gateway itself says, though it
        proves nothing about the message (it names another one, say), is no noise.
    """

    finding: Finding
    code: str | None = None
    detail: str = ""
    retry_after: str | None = None
    http_status: int | None = None
    noise: bool = False


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """Where one message is, as the gateway tells it.

    :param message_id: the id that was asked for.
    :param state: ``pending``, ``sent``, ``cancelled``, ``failed`` or ``unknown`` (also for an id that the gateway does not know).
    :param code: the gateway's raw code, or ``None``.
    :param description: one line for a person.
    """

    message_id: str
    state: MessageState
    code: str | None
    description: str


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What became of one recipient of a send.

    :param message_id: the id to cancel it by, or ``None`` when this recipient was refused.
    :param error: why it was refused, or ``None``.
    :param to: the recipient's number; hidden in the repr, and left out where a task returns this: XComs are shown to many.
    """

    message_id: str | None
    error: str | None = None
    to: str = field(default="", repr=False)

    def serialize(self) -> dict[str, str | None]:
        """Say what may be written down of it. Airflow asks for that before it looks at the fields."""
        return {"message_id": self.message_id, "error": self.error}


class Gateway(abc.ABC):
    """What the transports and the canceller need to know of a gateway. One instance serves one connection.

    Instances hold credentials, are immutable, and are shared between threads.
    """

    name: ClassVar[str]
    """The connection type: ``clickatell``."""
    label: ClassVar[str]
    """The name that a person knows: ``Clickatell``."""
    id_types: frozenset[IdType] = frozenset({IdType.MESSAGE_ID})
    """The kinds of ids that this gateway stops messages by."""
    uses_session: bool = False
    """Whether a session is worth opening for many calls. If so, ``login``, ``read_login``, ``ping`` and ``read_ping`` work."""
    has_full_status: bool = False
    """Whether ``status(full=True)`` is another, more telling call than ``status()``."""
    sends_early_s: float = 0
    """How many seconds before its time a message may leave."""

    @property
    @abc.abstractmethod
    def base_url(self) -> str:
        """Scheme, host and port, without a trailing slash: identifies the service in reports."""

    @property
    @abc.abstractmethod
    def secrets(self) -> Sequence[str]:
        """Every credential that must never be seen. Empty strings are left out."""

    @abc.abstractmethod
    def id_error(self, message_id: str, id_type: IdType) -> str | None:
        """Say what is wrong with an id, without echoing it, or ``None`` when it may be sent."""

    @abc.abstractmethod
    def canonical_id(self, message_id: str, id_type: IdType) -> str:
        """Return the form by which two spellings of one id are the same string."""

    @abc.abstractmethod
    def stop(self, message_id: str, id_type: IdType, session: str | None = None) -> Request:
        """Build the request that stops one message.

        :param session: an open session to use in place of the credentials, where the gateway knows such.
        """

    @abc.abstractmethod
    def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`stop`. Survives anything: noise is ``UNREADABLE``."""

    @abc.abstractmethod
    def status(
        self, message_id: str, id_type: IdType, session: str | None = None, *, full: bool = False
    ) -> Request:
        """Build the request that asks where one message is.

        :param full: use the more telling call where there are two (it may need a credential in the URL).
        """

    @abc.abstractmethod
    def read_status(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`status`, of either kind."""

    @abc.abstractmethod
    def account_check(self) -> Request | None:
        """Build the harmless call that proves the credentials, or ``None`` when the connection lacks what it needs."""

    @abc.abstractmethod
    def read_account_check(self, answer: Answer) -> Verdict:
        """Read its answer: ``ACCEPTED``, ``ACCOUNT`` with the reason, or why it proves neither."""

    @abc.abstractmethod
    def send(
        self, to: Sequence[str], text: str, *, scheduled_at: datetime | None, client_message_id: str | None
    ) -> Request:
        """Build the request that sends (or schedules) one text to some numbers.

        :raises ValueError: when the gateway would not take it: too many recipients, a bad client id, a missing key.
        """

    @abc.abstractmethod
    def read_send(self, to: Sequence[str], answer: Answer) -> list[SentMessage] | Verdict:
        """Read its answer: one entry per recipient in the order given, or why the whole request failed."""

    def login(self) -> Request:
        """Build the request that opens a session."""
        raise NotImplementedError(f"{self.label} has no sessions")

    def read_login(self, answer: Answer) -> str | Verdict:
        """Read its answer: the session id, or why there is none."""
        raise NotImplementedError(f"{self.label} has no sessions")

    def ping(self, session: str) -> Request:
        """Build the request that keeps a session alive."""
        raise NotImplementedError(f"{self.label} has no sessions")

    def read_ping(self, answer: Answer) -> bool:
        """Read its answer: whether the session is alive."""
        raise NotImplementedError(f"{self.label} has no sessions")
