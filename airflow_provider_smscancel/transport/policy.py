"""Whether to repeat a request, and how long to wait first. Pure: clock and randomness are passed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_smscancel.gateways.base import Finding
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure

if TYPE_CHECKING:
    from collections.abc import Callable

# ASCII digits only: float() would also take "nan", "1e400", "1_0" and the digits of other scripts.
_SECONDS = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")

_PASSING_KINDS = frozenset(
    {
        FailureKind.UNKNOWN_HOST,  # a resolver's hiccup looks the same as a wrong name
        FailureKind.REFUSED,
        FailureKind.CONNECT_TIMEOUT,
        FailureKind.TIMEOUT,
        FailureKind.BROKEN,
        FailureKind.PROXY,
    }
)
_PASSING_FINDINGS = frozenset({Finding.BUSY, Finding.FAULT})


def retry_after_seconds(value: str | None, *, now: datetime, cap: float = 120.0) -> float | None:
    """Read a ``Retry-After`` header: seconds, or an HTTP date (RFC 9110, 10.2.3).

    :param value: the header as it came, or ``None``.
    :param now: the current time, with a zone.
    :param cap: the longest wait to return, in seconds: nobody waits ten years because a header says so.
    :return: seconds between 0 and ``cap``, or ``None`` when there is no header or it cannot be read.
    """
    if value is None or not value.isascii():
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return max(0.0, min(cap, float(text)))
    try:
        when = parsedate_to_datetime(text)
        # An HTTP date is in GMT, also when its zone is missing.
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, min(cap, seconds.total_seconds()))


def backoff_seconds(
    attempt: int, random: Callable[[], float], *, base: float = 0.5, cap: float = 30.0
) -> float:
    """Say how long to wait before a repeat: exponential, with full jitter.

    The jitter keeps clients from coming back in step.

    :param attempt: how many attempts were repeats so far: 0 before the first repeat.
    :param random: returns a number from 0 to 1, such as ``random.random``.
    :param base: the longest wait before the first repeat, in seconds.
    :param cap: the longest wait ever, in seconds.
    """
    # Beyond 64 doublings any base has met any cap, and a float would overflow soon after.
    return random() * min(cap, base * 2.0 ** max(0, min(attempt, 64)))


def is_worth_retrying(what: TransportFailure | Finding) -> bool:
    """Say whether a repeat of a stop or a status query may go better. Never use it for a send.

    :param what: why there was no answer, or what the answer said.
    :return: ``False`` for what a repeat cannot mend: an untrusted certificate, a page in place of an answer,
        a refusal.
    """
    if isinstance(what, TransportFailure):
        return what.kind in _PASSING_KINDS
    return what in _PASSING_FINDINGS


def worth_repeating_send(what: TransportFailure | Finding) -> bool:
    """Say whether a send may be repeated without a risk of sending twice.

    :param what: why there was no answer, or what the answer said.
    :return: ``True`` only when the request provably never left, or when the gateway asked to slow down and
        did not act.
    """
    if isinstance(what, TransportFailure):
        return what.never_left
    return what is Finding.BUSY
