"""What became of a message, and what follows from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Outcome(enum.StrEnum):
    """What became of one message. Only ``cancelled`` and ``already_cancelled`` say that it was stopped."""

    CANCELLED = "cancelled"
    """The gateway confirmed that this message is cancelled."""
    ALREADY_CANCELLED = "already_cancelled"
    """The first answer to the first stop, followed by a status, says that it was cancelled before we asked."""
    TOO_LATE = "too_late"
    """It has left: sent, delivered, or handed to the carrier."""
    WILL_NOT_SEND = "will_not_send"
    """It will not go out, but not because of us: expired, failed, cancelled by the gateway's staff, …"""
    NOT_FOUND = "not_found"
    """The gateway itself says that it does not know the id."""
    REJECTED = "rejected"
    """The id is malformed, or the gateway refuses this one request for good."""
    UNCONFIRMED = "unconfirmed"
    """It was asked for, and nobody can tell: no answer, an unreadable one, or pending after the stop."""
    NOT_ATTEMPTED = "not_attempted"
    """It was never asked for, or the account was refused: the run ended first."""


DONE = frozenset({Outcome.CANCELLED, Outcome.ALREADY_CANCELLED})
"""Stopped, on the gateway's own word."""
OPEN = frozenset({Outcome.UNCONFIRMED, Outcome.NOT_ATTEMPTED})
"""Nobody knows yet: another try takes these up."""
HARMLESS = DONE | {Outcome.WILL_NOT_SEND}
"""Will not reach anybody."""
CARRIED_OVER = HARMLESS | {Outcome.TOO_LATE}
"""Can not change any more: a later try does not ask again. ``not_found`` and ``rejected`` are asked again, since
the cause may have been the wrong connection."""


@dataclass(frozen=True, slots=True)
class CancelResult:
    """What became of one message.

    :param message_id: the id as it was given; for one that is malformed its position (``line 17``), since its text
        may be a phone number.
    :param outcome: see :class:`Outcome`.
    :param gateway_status: the gateway's raw code (``"006"``, ``"false"``), or ``None`` when it gave none.
    :param detail: one line for a person.
    :param attempts: how many stop requests were made for this message.
    :param finished_at: when this was settled, in UTC.
    """

    message_id: str
    outcome: Outcome
    gateway_status: str | None
    detail: str
    attempts: int
    finished_at: datetime
