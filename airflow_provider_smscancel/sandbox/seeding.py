"""Puts messages into the sandbox without sending them: thousands at once, in any state, with any id."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_smscancel.sandbox import CLICKATELL, GATEWAYS
from airflow_provider_smscancel.sandbox.state import Phase, SandboxState
from airflow_provider_smscancel.sandbox.wire import moment_of

MAX_COUNT = 2_000_000
DAY_S = 86_400.0

_BATCH_KEYS = frozenset({"gateway", "count", "scheduled_at", "state", "code", "prefix"})
_ITEM_KEYS = frozenset({"gateway", "id", "client_message_id", "to", "scheduled_at", "state", "code"})


class SeedError(ValueError):
    """What to put in makes no sense; the text says why. Nothing of it was put in."""


def seed_messages(state: SandboxState, order: Any) -> list[str]:
    """Put messages in and return their ids, in order.

    :param order: either ``{"gateway", "count", "scheduled_at"?, "state"?, "code"?, "prefix"?}``, where a
        message's client id is the prefix and its number from 0; or a list of ``{"gateway", "id"?,
        "client_message_id"?, "to"?, "scheduled_at"?, "state"?, "code"?}``. ``state`` is ``scheduled`` unless
        told otherwise, ``scheduled_at`` (ISO 8601 with a zone) is then a day ahead, and ``code`` is the
        status code to show in place of the usual one.
    :raises SeedError: for anything else, and for an id that is already there.
    """
    if isinstance(order, dict):
        items = _batch(order)
    elif isinstance(order, list):
        items = order
        for item in items:
            _check_keys(item, _ITEM_KEYS)
    else:
        raise SeedError("give a JSON object with a count, or a JSON list of messages")
    checked = [_checked(item) for item in items]
    _check_ids(state, checked)
    return [_put_in(state, item) for item in checked]


def _batch(order: dict[str, Any]) -> list[dict[str, Any]]:
    _check_keys(order, _BATCH_KEYS)
    count, prefix = order.get("count"), order.get("prefix")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_COUNT:
        raise SeedError(f"count must be a whole number from 0 to {MAX_COUNT}")
    if prefix is not None and not isinstance(prefix, str):
        raise SeedError("prefix must be a text")
    common = {name: value for name, value in order.items() if name not in ("count", "prefix")}
    _checked(common)
    return [
        common if prefix is None else {**common, "client_message_id": f"{prefix}{number}"}
        for number in range(count)
    ]


def _check_keys(item: Any, known: frozenset[str]) -> None:
    if not isinstance(item, dict):
        raise SeedError("a message must be a JSON object")
    unknown = sorted(set(item) - known)
    if unknown:
        raise SeedError(f"unknown key {unknown[0]!r}: valid are {', '.join(sorted(known))}")


def _checked(item: dict[str, Any]) -> dict[str, Any]:
    gateway, phase = item.get("gateway"), item.get("state", Phase.SCHEDULED)
    if gateway not in GATEWAYS:
        raise SeedError(f"gateway must be one of {', '.join(GATEWAYS)}")
    if phase not in list(Phase):
        raise SeedError(f"state must be one of {', '.join(Phase)}")
    for name in ("id", "client_message_id", "to", "code", "scheduled_at"):
        if item.get(name) is not None and not isinstance(item[name], str):
            raise SeedError(f"{name} must be a text")
    code = item.get("code")
    if code is not None and not re.fullmatch(r"[0-9]{1,3}", code):
        raise SeedError("code must be one to three digits")
    scheduled_at = item.get("scheduled_at")
    moment = None if scheduled_at is None else moment_of(scheduled_at)
    return {**item, "state": Phase(phase), "scheduled_at": moment}


def _check_ids(state: SandboxState, items: list[dict[str, Any]]) -> None:
    seen: set[tuple[str, str]] = set()
    for item in items:
        message_id = item.get("id")
        if message_id is None:
            continue
        key = (item["gateway"], message_id.lower())
        if key in seen or state.find(*key) is not None:
            raise SeedError("an id is there already, or twice in the list")
        seen.add(key)


def _put_in(state: SandboxState, item: dict[str, Any]) -> str:
    now = state.now()
    phase, scheduled_at = item["state"], item["scheduled_at"]
    message = state.add(
        item["gateway"],
        item.get("to") or ("27999000001" if item["gateway"] == CLICKATELL else "7575559999"),
        message_id=item.get("id"),
        client_message_id=item.get("client_message_id"),
        scheduled_at=now + DAY_S if scheduled_at is None else scheduled_at,
    )
    message.code = item.get("code")
    if phase is Phase.QUEUED:
        message.queued_at = min(now, message.scheduled_at or now)
    elif phase is Phase.SENT:
        message.sent_at = min(now, message.scheduled_at or now)
    elif phase is Phase.CANCELLED:
        message.sent_at, message.cancelled_at = None, now
    elif phase is Phase.FAILED:
        message.sent_at, message.failed = None, True
    return message.id
