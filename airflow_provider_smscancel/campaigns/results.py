"""What became of a message, in the terms of the public result."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.run import SettledMessage


def cancel_result(campaign: Campaign, message: SettledMessage) -> CancelResult:
    """Say what became of one message in the terms of the public result."""
    return CancelResult(
        campaign.ids[message.index],
        Outcome(message.settled.outcome),
        message.settled.code,
        message.settled.detail,
        message.attempts,
        datetime.fromtimestamp(message.finished_at, UTC),
    )


def rejected_results(campaign: Campaign) -> list[CancelResult]:
    """Say the same of the rows that name no message: they are known by their position, their text is not repeated."""
    now = datetime.now(UTC)
    return [
        CancelResult(row.position, Outcome.REJECTED, None, f"{row.position}: {row.reason}", 0, now)
        for row in campaign.rejected
    ]
