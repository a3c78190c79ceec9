"""Clickatell's status codes, common to its two APIs, and which of them a message shows."""

from __future__ import annotations

import re
from datetime import timedelta

from airflow_provider_smscancel.sandbox.state import Message, Phase

STATUS_TEXTS = {
    "001": "Message unknown",
    "002": "Message queued",
    "003": "Delivered to gateway",
    "004": "Received by recipient",
    "005": "Error with message",
    "006": "User cancelled message delivery",
    "007": "Error delivering message",
    "008": "OK",
    "009": "Routing error",
    "010": "Message expired",
    "011": "Message queued for later delivery",
    "012": "Out of credit",
    "013": "Clickatell cancelled message delivery",
    "014": "Maximum MT limit exceeded",
}

HORIZON_S = timedelta(days=7).total_seconds()
"""How far ahead a message can be scheduled."""

RECEIVED_AFTER_S = 5.0
"""When 003 (handed to the carrier) becomes 004 (received). No page says; both are met this way."""

MESSAGE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

_CODES = {Phase.SCHEDULED: "011", Phase.QUEUED: "002", Phase.CANCELLED: "006", Phase.FAILED: "005"}


def code_of(message: Message, now: float) -> str:
    """Return the status code that a message shows."""
    phase = message.phase(now)
    if message.code is not None:
        return message.code
    if phase is Phase.SENT:
        return "004" if message.sent_at is not None and now - message.sent_at >= RECEIVED_AFTER_S else "003"
    return _CODES[phase]


def number_error(number: str) -> tuple[str, str] | None:
    """Say why a recipient is refused: (code, description), or ``None``.

    Inferred: 105 for what is no number of 7 to 15 digits; 114 for a leading zero, since no country code has
    one.
    """
    if not re.fullmatch(r"\+?[0-9]{7,15}", number):
        return "105", "Invalid destination address"
    if number.startswith(("0", "+0")):
        return "114", "Cannot route message"
    return None
