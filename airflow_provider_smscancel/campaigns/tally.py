"""Counts what became of the messages, and keeps the few that a person must see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow_provider_smscancel.campaigns.id_list import IdList
from airflow_provider_smscancel.campaigns.outcome import DONE, HARMLESS, OPEN, CancelResult, Outcome

NOT_STOPPED_SHOWN = 100


class Tally:
    """What became of the messages of a campaign so far."""

    def __init__(self) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.carried: Counter[Outcome] = Counter()
        """What of the counts an earlier try has settled."""
        self._open: list[CancelResult] = []
        self._final: list[CancelResult] = []
        self.not_done = IdList()
        """The ids of all that are not stopped, to be logged where there is no report."""

    def add(self, result: CancelResult) -> None:
        """Count one message."""
        outcome = result.outcome
        self.counts[outcome] += 1
        if outcome in DONE:
            return
        self.not_done.add(result.message_id, result.message_id)
        if outcome in HARMLESS:
            return
        shown = self._open if outcome in OPEN else self._final
        if len(shown) < NOT_STOPPED_SHOWN:
            shown.append(result)

    @property
    def total(self) -> int:
        """How many messages were counted."""
        return self.counts.total()

    def add_carried(self, result: CancelResult) -> None:
        """Count one message that an earlier try has settled for good."""
        self.counts[result.outcome] += 1
        self.carried[result.outcome] += 1
        if result.outcome not in HARMLESS and len(self._final) < NOT_STOPPED_SHOWN:
            self._final.append(result)

    def outcomes(self) -> dict[str, int]:
        """Every outcome with its count, zero included."""
        return {outcome.value: self.counts[outcome] for outcome in Outcome}

    def not_stopped(self) -> list[dict[str, Any]]:
        """At most 100 messages that were not stopped and are not harmless, the open ones first."""
        return [
            {
                "message_id": result.message_id,
                "outcome": result.outcome.value,
                "gateway_status": result.gateway_status,
            }
            for result in (self._open + self._final)[:NOT_STOPPED_SHOWN]
        ]

    def said(self) -> str:
        """Say the counts that are not zero, in one line."""
        return said(self.counts)


def said(counts: Mapping[Outcome, int]) -> str:
    """Say the counts that are not zero, in one line."""
    return (
        ", ".join(f"{outcome.value} {counts[outcome]}" for outcome in Outcome if counts.get(outcome))
        or "nothing"
    )
