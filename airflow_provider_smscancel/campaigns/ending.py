"""How a run ended: all that is needed to judge it, in a form that fits into a small JSON object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd


@dataclass(frozen=True, slots=True)
class Ending:
    """How stopping a campaign ended.

    :param end: why it ended.
    :param summary: the counts; empty when the run broke down before there were any.
    :param not_stopped: at most 100 of the messages that were not stopped.
    :param account: ``code`` and ``detail`` of the gateway's refusal of the account, or ``None``.
    :param incomplete: why the list was not read to its end though reading it again may get further, or ``None``.
    """

    end: RunEnd
    summary: dict[str, Any]
    not_stopped: list[dict[str, Any]]
    account: dict[str, str | None] | None = None
    incomplete: str | None = None

    @property
    def counts(self) -> Counter[Outcome]:
        """How many messages came to which outcome."""
        return Counter({Outcome(name): count for name, count in self.summary.get("outcomes", {}).items()})

    def to_json(self) -> dict[str, Any]:
        """Make plain JSON of it."""
        return {
            "end": self.end.value,
            "summary": self.summary,
            "not_stopped": self.not_stopped,
            "account": self.account,
            "incomplete": self.incomplete,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` made."""
        return cls(
            RunEnd(value["end"]),
            value["summary"],
            value["not_stopped"],
            value["account"],
            value["incomplete"],
        )
