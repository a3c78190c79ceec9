"""Which messages: one list in which each message stands once, with the time at which it leaves."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from airflow_provider_smscancel.campaigns.id_list import IdList
from airflow_provider_smscancel.gateways.base import IdType
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

MOST_REJECTED = 2_000_000
"""How many rows may name no message. Each is kept, to be told of: without an end, a small packed file could fill the memory."""
MOST_DUPLICATES = 10_000_000
"""How many rows may name a message once more. Without an end, a small packed file could keep a worker busy for days."""

UNDATED = -math.inf
"""The due time of a message without a date. It sorts before every date: what may leave at any moment is first."""


_EARLIEST = datetime.min.replace(tzinfo=UTC).timestamp()
_LATEST = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()
"""What a calendar can express in UTC: beyond that a date could not be written down again."""


@dataclass(frozen=True, slots=True)
class MessageRef:
    """One message to stop.

    :param message_id: its id, of the kind that ``id_type`` names.
    :param scheduled_at: when it leaves, timezone-aware; ``None`` when that is not known.
    """

    message_id: str
    scheduled_at: datetime | None = None


class NoList(ValueError):
    """What was given is no list of messages, by its sheer size. Nothing must be sent: look at where it comes from."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that names no message.

    :param position: where it stands: ``line 17``, ``item 3``.
    :param reason: what is wrong with it, without its text: that may be a phone number.
    """

    position: str
    reason: str


class IdRules(Protocol):
    """What a list needs to know of a gateway."""

    @property
    def name(self) -> str:
        """The connection type."""

    def id_error(self, message_id: str, id_type: IdType) -> str | None:
        """Say what is wrong with an id, or ``None``."""

    def canonical_id(self, message_id: str, id_type: IdType) -> str:
        """Return the form by which two spellings of one id are the same string."""


@dataclass(slots=True)
class Campaign:
    """The distinct messages of one campaign, in the order given.

    :param gateway: who checks the ids.
    :param id_type: what kind of ids they are.
    """

    gateway: IdRules
    id_type: IdType = IdType.MESSAGE_ID
    ids: IdList = field(default_factory=IdList)
    due: array[float] = field(default_factory=lambda: array("d"))
    """When each leaves, in seconds since 1970; :data:`UNDATED` when not known."""
    rejected: list[RejectedRow] = field(default_factory=list)
    duplicates: int = 0
    incomplete: str | None = None
    """Why the source was not read to its end though reading it again may get further, or ``None``."""
    look_alikes: Counter[str] = field(default_factory=Counter)
    """How many of the malformed ids have the form of another gateway's, by its label."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def total(self) -> int:
        """Distinct ids and rejected rows: what the outcomes add up to."""
        return len(self.ids) + len(self.rejected)

    @property
    def undated(self) -> int:
        """How many messages have no usable date."""
        return self.due.count(UNDATED)

    def add(self, message_id: object, scheduled_at: object, position: str) -> None:
        """Take up one row.

        A row that names no message is kept as rejected; a date that can't be read counts as none.

        :param message_id: should be a string, or a UUID.
        :param scheduled_at: a timezone-aware datetime, an ISO 8601 text with a zone, or nothing.
        :param position: where the row stands, for a person.
        :raises NoList: more than :data:`MOST_DUPLICATES` name a message once more.
        """
        if isinstance(message_id, UUID):  # as PostgreSQL's own type for Esendex's ids is read
            message_id = str(message_id)
        if not isinstance(message_id, str):
            self.reject(position, _not_text(message_id))
            return
        message_id = message_id.strip()
        error = self.gateway.id_error(message_id, self.id_type)
        if error is not None:
            self.reject(position, error)
            self._note_shape(message_id)
            return
        due = due_time(scheduled_at)
        index, is_new = self.ids.add(message_id, self.gateway.canonical_id(message_id, self.id_type))
        if is_new:
            self.due.append(due)
        else:
            self.duplicates += 1
            if self.duplicates > MOST_DUPLICATES:
                raise NoList(
                    f"More than {MOST_DUPLICATES:,} rows name a message that an earlier row has named, up to {position}: "
                    "that is no list of messages."
                )
            self.due[index] = _earlier(self.due[index], due)

    def add_dated(self, message_id: str, due: float) -> None:
        """Take up a message that was checked before.

        :param due: when it leaves, in seconds since 1970, or :data:`UNDATED`.
        """
        self.ids.add(message_id, self.gateway.canonical_id(message_id, self.id_type))
        self.due.append(due)

    def reject(self, position: str, reason: str) -> None:
        """Take up a row that names no message.

        :raises NoList: there are more than :data:`MOST_REJECTED`.
        """
        if len(self.rejected) >= MOST_REJECTED:
            first = self.rejected[0]
            raise NoList(
                f"More than {MOST_REJECTED:,} rows name no message ({first.position}: {first.reason}), up to {position}: that is "
                "no list of messages."
            )
        self.rejected.append(RejectedRow(position, reason))

    def _note_shape(self, message_id: str) -> None:
        for kind in CONNECTION_TYPES.values():
            if kind.name != self.gateway.name and kind.id_shape and re.fullmatch(kind.id_shape, message_id):
                self.look_alikes[kind.label] += 1

    def index_of(self, message_id: str) -> int | None:
        """Find a message by any spelling of its id."""
        return self.ids.find(self.gateway.canonical_id(message_id, self.id_type))

    def fingerprint(self, host: str) -> str:
        """Name this set of messages at this gateway, whatever their order.

        :param host: the gateway's base URL.
        :return: 32 hexadecimal characters.
        """
        # A sum of digests does not depend on the order and needs no sorted copy of a million ids.
        total = sum(
            int.from_bytes(blake2b(key.encode(), digest_size=16).digest()) for key in self.ids.canonical()
        )
        head = f"{self.gateway.name}\0{host}\0{self.id_type}\0{total:x}"
        return blake2b(head.encode(), digest_size=16).hexdigest()

    def add_item(self, item: object, position: str) -> None:
        """Take up one item as people pass it: an id, a mapping with ``message_id``, or a :class:`MessageRef`."""
        if isinstance(item, MessageRef):
            self.add(item.message_id, item.scheduled_at, position)
        elif isinstance(item, Mapping):
            if "message_id" in item:
                self.add(item["message_id"], item.get("scheduled_at"), position)
            else:
                self.reject(position, "the mapping has no key message_id")
        else:
            self.add(item, None, position)


def _not_text(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "the id is a number: quote it (native rendering and spreadsheets turn ids into numbers)"
    if value is None:
        return "the id is empty"
    return f"the id is of type {type(value).__name__}, not text"


def _earlier(known: float, other: float) -> float:
    # A date beats none: of two rows about one message the one that knows more counts.
    if UNDATED in (known, other):
        return max(known, other)
    return min(known, other)


def due_time(scheduled_at: object) -> float:
    """Read a date.

    :return: seconds since 1970, or :data:`UNDATED` when there is none, it can't be read, has no zone, or leaves the
        calendar in UTC.
    """
    if isinstance(scheduled_at, str):
        try:
            scheduled_at = datetime.fromisoformat(scheduled_at.strip())
        except ValueError:
            return UNDATED
    if not isinstance(scheduled_at, datetime):
        return UNDATED
    try:
        # pandas' NaT is a datetime as well, and knows neither of the two.
        due = UNDATED if scheduled_at.utcoffset() is None else scheduled_at.timestamp()
    except (OverflowError, ValueError):
        return UNDATED
    return due if _EARLIEST <= due <= _LATEST else UNDATED
