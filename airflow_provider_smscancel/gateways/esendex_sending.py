"""What is particular about sending through Esendex: recipients, dates, and which record of an answer is whose."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_smscancel.gateways.base import Finding, SentMessage
from airflow_provider_smscancel.gateways.esendex_answers import (
    GUID,
    MESSAGE_STATUS,
    message_status,
    names_nobody,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_NUMBER_SEPARATORS = re.compile(r"[ ().\-]")
_NOT_A_DIGIT = re.compile(r"[^0-9]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def recipients_of(to: Sequence[str]) -> list[str]:
    """Return numbers as the service reads them.

    :raises ValueError: when one of them is none, or there is none at all. The text does not hold the number.
    """
    numbers = [_NUMBER_SEPARATORS.sub("", number) for number in to]
    if not numbers:
        raise ValueError("no recipient is given")
    for position, number in enumerate(numbers, 1):
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"recipient {position} is not a phone number: digits, optionally led by +")
    return numbers


def wire_date(when: datetime) -> str:
    """Return a time as the service reads it: in UTC, as an offset would make it local time (error 405)."""
    if when.utcoffset() is None:
        raise ValueError("scheduled_at has no timezone: Esendex needs UTC, so say which time is meant")
    return f"/Date({(when - _EPOCH) // timedelta(milliseconds=1)})/"


def _number_key(number: object) -> str:
    """Return what two spellings of one phone number have in common, or ``""``."""
    digits = _NOT_A_DIGIT.sub("", number) if isinstance(number, str) else ""
    # North American numbers are sent with or without their country code, and may come back the other way;
    # so may others with that region's prefix for calls abroad. Both inferred.
    if len(digits) > 11:
        digits = digits.removeprefix("011")
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def match_recipients(
    to: Sequence[str], records: Iterable[Mapping[str, object]]
) -> list[Mapping[str, object] | None] | None:
    """Return each recipient's record, or ``None`` in place of all when they can't be told apart."""
    matched: list[Mapping[str, object] | None] = [None] * len(to)
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for position, number in enumerate(to):
        waiting[_number_key(number)].append(position)
    nameless = []
    for record in records:
        key = _number_key(record.get("To"))
        if not key:
            nameless.append(record)
        elif waiting.get(key):
            matched[waiting[key].popleft()] = record
        else:
            return None
    if nameless:
        free = [position for position, record in enumerate(matched) if record is None]
        if len(free) != len(nameless):
            return None
        for position, record in zip(free, nameless, strict=True):
            matched[position] = record
    return matched


def sent_message(to: str, record: Mapping[str, object] | None) -> SentMessage:
    """Say what became of one recipient, by its record, if the answer has one."""
    if record is None:
        return SentMessage(None, "the answer does not mention this recipient: it may have been sent", to)
    number = message_status(record)
    # Only what is documented as a refusal counts as one: an id is worth more than a status that nobody knows.
    if number is not None and MESSAGE_STATUS[number][0] not in (Finding.PENDING, Finding.SENT):
        return SentMessage(None, f"refused: MessageStatus {number} {MESSAGE_STATUS[number][1]}", to)
    if names_nobody(record):
        return SentMessage(None, "refused without a reason: Esendex gave no message id", to)
    message_id = record.get("MessageID")
    if not isinstance(message_id, str) or not GUID.fullmatch(message_id.strip()):
        return SentMessage(None, "the answer holds no readable message id: it may have been sent", to)
    return SentMessage(message_id.strip(), None, to)
