"""What the gateways speak, and what an outcome must agree with: the sandbox's own record of what really happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_smscancel.gateways.base import Gateway
from airflow_provider_smscancel.gateways.clickatell_http import ClickatellHttp
from airflow_provider_smscancel.gateways.clickatell_rest import ClickatellRest
from airflow_provider_smscancel.gateways.esendex import EsendexUs
from airflow_provider_smscancel.sandbox import (
    CLICKATELL_API_ID,
    CLICKATELL_PASSWORD,
    CLICKATELL_TOKEN,
    CLICKATELL_USER,
    ESENDEX_LICENSE_KEY,
)

FORMATS: dict[str, Callable[[str], Gateway]] = {
    "Clickatell REST in JSON": lambda url: ClickatellRest(base_url=url, token=CLICKATELL_TOKEN),
    "Clickatell REST in XML": lambda url: ClickatellRest(
        base_url=url, token=CLICKATELL_TOKEN, response_format="xml"
    ),
    "Clickatell HTTP": lambda url: ClickatellHttp(
        base_url=url, user=CLICKATELL_USER, password=CLICKATELL_PASSWORD, api_id=CLICKATELL_API_ID
    ),
    **{
        f"Esendex {name}": lambda url, name=name: EsendexUs(  # type: ignore[misc]
            base_url=url, licence_key=ESENDEX_LICENSE_KEY, request_format=name
        )
        for name in ("json", "xml", "get", "soap")
    },
}
"""Every gateway in every format, at a sandbox's URL."""

AGREES = {
    "cancelled": {"cancelled"},
    "already_cancelled": {"cancelled"},
    "too_late": {"sent"},
    "will_not_send": {"failed"},
    "not_found": {None},
    "rejected": set[str | None](),
}
"""Which states in the gateway's own record an outcome agrees with."""
OPEN = {"unconfirmed", "not_attempted"}
"""Outcomes that claim nothing."""
OUT_OF_REACH = {"esendex": {"queued"}, "clickatell": set[str]()}
"""What is too late to be stopped though it is not sent: Esendex's queued messages, by the vendor's page."""


_AS_TOLD = {
    "scheduled": "pending",
    "queued": "pending",
    "sent": "sent",
    "cancelled": "cancelled",
    "failed": "failed",
}


def state_as_told(gateway: str, state: str | None) -> str:
    """Say what a status query must tell of a message.

    :param state: where it is by the gateway's own record; ``None``: it is in none.
    """
    if state is None:
        return "unknown"
    return "sent" if state in OUT_OF_REACH[gateway] else _AS_TOLD[state]


def contradicts(gateway: str, outcome: str, state: str | None) -> bool:
    """Say whether an outcome claims what the gateway's own record denies.

    :param state: where the message is by that record; ``None``: it is in none.
    """
    if outcome in OPEN:
        return False
    if outcome == "too_late" and state in OUT_OF_REACH[gateway]:
        return False
    return state not in AGREES[outcome]


@dataclass
class Comparison:
    """A run's outcomes beside the gateway's own record, in ids.

    :param messages: how many there were.
    :param wrong: whose outcome contradicts the record.
    :param missing: that have no outcome at all.
    :param never_asked: that could have been stopped when the run began, and no stop of which ever arrived.
    :param open: whose outcome claims nothing.
    """

    messages: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    never_asked: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __iadd__(self, other: Comparison) -> Self:
        self.messages += other.messages
        self.wrong += other.wrong
        self.missing += other.missing
        self.never_asked += other.never_asked
        self.open += other.open
        return self

    @property
    def lost(self) -> int:
        """How much went wrong, in one way or another."""
        return len(self.wrong) + len(self.missing) + len(self.never_asked)

    def __str__(self) -> str:
        return (
            f"{len(self.wrong)} contradictions, {len(self.missing)} without an outcome, "
            f"{len(self.never_asked)} cancellable and never asked; {len(self.open)} left open"
        )


def compare(
    gateway: str,
    began_as: Mapping[str, str | None],
    outcomes: Mapping[str, str],
    record: Mapping[str, Mapping[str, Any]],
) -> Comparison:
    """Hold the outcomes of a run against what really happened.

    :param began_as: every message that the run was told to stop, with its state before: ``None`` for an unknown id.
    :param outcomes: by message, as the report or the hook told them.
    :param record: the sandbox's rows, by id.
    """
    found = Comparison(len(began_as))
    for message_id, before in began_as.items():
        row = record.get(message_id)
        outcome = outcomes.get(message_id)
        if outcome is None:
            found.missing.append(message_id)
        elif contradicts(gateway, outcome, row and row["state"]) or _claims_anothers_deed(outcome, before):
            found.wrong.append(message_id)
        elif outcome in OPEN:
            found.open.append(message_id)
        if row and before in _cancellable(gateway) and row["first_stop_at"] is None:
            found.never_asked.append(message_id)
    return found


def _claims_anothers_deed(outcome: str, before: str | None) -> bool:
    """Tell whether "cancelled before this run asked" is said of a message that was not."""
    return outcome == "already_cancelled" and before != "cancelled"


def _cancellable(gateway: str) -> Iterable[str]:
    return {"scheduled", "queued"} - OUT_OF_REACH[gateway]
