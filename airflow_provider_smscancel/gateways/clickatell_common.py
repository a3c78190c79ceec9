"""What Clickatell's two APIs share: ids, the account check, matching a send's answer to its recipients."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar

from airflow_provider_smscancel.gateways.base import (
    Answer,
    Finding,
    Gateway,
    IdType,
    Request,
    SentMessage,
    Verdict,
)
from airflow_provider_smscancel.gateways.clickatell_codes import GATEWAY
from airflow_provider_smscancel.gateways.reading import verdict_on

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_BASE_URL = "https://api.clickatell.com"

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Wider than the documented 32 hexadecimal characters, so that a campaign does not hang on such a detail."""

_HEX_ID = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")


def canonical_message_id(message_id: str) -> str:
    """Return an id of the gateway as it compares: 32 hexadecimal characters, or a GUID, without regard to case."""
    return message_id.lower() if _HEX_ID.fullmatch(message_id) else message_id


def same_message(one: str, other: str) -> bool:
    """Say whether two ids of the gateway name the same message: without regard to case, if hexadecimal."""
    return one == other or canonical_message_id(one) == canonical_message_id(other)


def read_amount(value: object) -> Decimal | None:
    """Read a balance: a plain decimal number, as text or as a JSON number. ``None`` for anything else."""
    if isinstance(value, int):
        value = str(value)  # a boolean becomes a word, and a word is no amount
    elif isinstance(value, Decimal) and -15 <= value.adjusted() <= 15:
        # Beyond that, spelling it out could take all the memory there is.
        value = f"{value:f}"
    if isinstance(value, str) and _AMOUNT.fullmatch(value.strip()):
        return Decimal(value.strip())
    return None


def wire_numbers(to: Sequence[str]) -> list[str]:
    """Bring recipients to the form that the gateway documents: digits only, with the country code.

    :param to: numbers of digits, each with or without a leading ``+``.
    :raises ValueError: when there is none, when one is something else, or when one comes twice (the answer
        could then not be matched to the recipients). The text names the position, not the number.
    """
    numbers: list[str] = []
    for position, number in enumerate(to, start=1):
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            raise ValueError(
                f"recipient {position} is not a number: digits only, with an optional leading '+'"
            )
        plain = number.removeprefix("+")
        if plain in numbers:
            raise ValueError(f"recipient {position} is the same number as an earlier one")
        numbers.append(plain)
    if not numbers:
        raise ValueError("no recipient to send to")
    return numbers


def checked_text(text: str) -> str:
    """Return the text of a message as it is.

    :raises ValueError: when it is empty or can't be encoded. The text of the error does not hold it.
    """
    if not text:
        raise ValueError("the text of the message is empty")
    if not is_encodable(text):
        raise ValueError("the text of the message holds half a surrogate pair, which no encoding can carry")
    return text


def is_encodable(text: str) -> bool:
    """Say whether a text can be sent at all: half a surrogate pair can't."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def utc_of(scheduled_at: datetime) -> datetime:
    """Bring a moment to UTC, without its fraction of a second.

    :raises ValueError: when it has no zone, or lies outside what a calendar can express in UTC.
    """
    if scheduled_at.utcoffset() is None:
        raise ValueError("scheduled_at has no time zone: give it one, such as datetime.timezone.utc")
    problem = None
    try:
        return scheduled_at.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        problem = "scheduled_at is out of range"
    raise ValueError(problem)


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient's part of an answer to a send: what became of it, and which number it names, if any."""

    message_id: str | None
    error: str | None
    number: str | None


def matched(to: Sequence[str], entries: Sequence[Entry], answer: Answer) -> list[SentMessage] | Verdict:
    """Match a send's answer to its recipients: by number where all are named, by order where not.

    :returns: one entry per recipient in the order of ``to``; ``UNREADABLE`` when any of it would be a guess.
        The messages may well have been sent then.
    """
    numbers = [number.removeprefix("+") for number in to]
    by_number = {entry.number: entry for entry in entries if entry.number is not None}
    in_order: list[Entry | None]
    if len(by_number) == len(entries):
        in_order = [by_number.get(number) for number in numbers]
    else:
        in_order = list(entries)
    complete = len(entries) == len(numbers) and all(
        entry is not None and entry.number in (None, number)
        for entry, number in zip(in_order, numbers, strict=False)
    )
    ids = [entry.message_id for entry in entries if entry.message_id is not None]
    complete = complete and not {*ids} & {
        *numbers
    }  # a number in place of an id is an echo, and ids are written down
    if not complete or len({canonical_message_id(message_id) for message_id in ids}) != len(ids):
        detail = f"a {GATEWAY} answer that does not account for every recipient once: it may have been sent"
        return verdict_on(answer, Finding.UNREADABLE, detail=detail)
    return [
        SentMessage(entry.message_id, entry.error, recipient)
        for entry, recipient in zip(in_order, to, strict=True)
        if entry is not None
    ]


class ClickatellGateway(Gateway):
    """What both of Clickatell's APIs share. See :mod:`airflow_provider_smscancel.gateways.clickatell`."""

    name: ClassVar[str] = "clickatell"
    label: ClassVar[str] = GATEWAY
    # "Scheduled messages may be sent up to five minutes early", by one page of the vendor's (and late, by
    # another).
    sends_early_s: float = 300

    def __init__(self, *, base_url: str = DEFAULT_BASE_URL) -> None:
        self._base_url = base_url.rstrip("/") or DEFAULT_BASE_URL
        if "@" in self._base_url or "?" in self._base_url:
            raise ValueError("the base URL must hold no credentials and no query: scheme, host and port only")

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        return self._base_url

    def id_error(self, message_id: str, id_type: IdType) -> str | None:
        """Say what is wrong with an id, without echoing it, or ``None`` when it may be sent."""
        if id_type not in self.id_types:
            return (
                "Clickatell's REST API stops messages by its own ids only; its HTTP API knows client ids too"
            )
        if not ID_PATTERN.fullmatch(message_id):
            return "not a Clickatell message id: 1 to 64 letters, digits, '-' or '_'"
        return None

    def canonical_id(self, message_id: str, id_type: IdType) -> str:
        """Return the form by which two spellings of one id are the same string. Client ids are exact."""
        return canonical_message_id(message_id) if id_type is IdType.MESSAGE_ID else message_id

    @abstractmethod
    def balance(self) -> Request:
        """Build the call that reads the account's balance: it changes nothing, and proves the credentials."""

    @abstractmethod
    def read_balance(self, answer: Answer) -> Decimal | Verdict:
        """Read its answer: the balance in the account's credits, or why it can't be told."""

    def account_check(self) -> Request | None:
        """Build the harmless call that proves the credentials: the balance."""
        return self.balance()

    def read_account_check(self, answer: Answer) -> Verdict:
        """Read its answer: ``ACCEPTED``, ``ACCOUNT`` with the reason, or why it proves neither."""
        balance = self.read_balance(answer)
        if isinstance(balance, Verdict):
            return balance
        return verdict_on(answer, Finding.ACCEPTED, detail="the account answered with its balance")
