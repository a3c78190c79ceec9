"""Tells a person about a campaign: what there is to know before it is stopped, and what came of it. Short lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_smscancel.campaigns.job import duration
from airflow_provider_smscancel.campaigns.outcome import DONE, HARMLESS, Outcome
from airflow_provider_smscancel.gateways.base import MessageState
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

IDS_SHOWN = 10
NO_REPORT = (
    "No list of all messages was kept ([smscancel] report_folder is not set): "
    "the log of task cancel has the ids that are not stopped."
)

STATES = {
    MessageState.PENDING: "waiting: can be stopped",
    MessageState.SENT: "sent: too late",
    MessageState.CANCELLED: "cancelled already",
    MessageState.FAILED: "failed or expired: will not go out anyway",
    MessageState.UNKNOWN: "unknown to the gateway",
}
OUTCOMES = {
    Outcome.CANCELLED: "stopped",
    Outcome.ALREADY_CANCELLED: "stopped before this run",
    Outcome.TOO_LATE: "NOT stopped: gone before the stop came",
    Outcome.WILL_NOT_SEND: "will not go out, for another reason",
    Outcome.NOT_FOUND: "NOT stopped: unknown to the gateway. Right connection, right list?",
    Outcome.REJECTED: "NOT stopped: no id of this gateway, or refused by it. Look at the list",
    Outcome.UNCONFIRMED: "nobody can tell: no clear answer came. Clear the task to ask again",
    Outcome.NOT_ATTEMPTED: "NOT asked for yet: clear the task to go on",
}


def tell_sample(sample: Mapping[str, Any]) -> str:
    """Say what there is to know before a campaign is stopped.

    :param sample: the summary of a :class:`~airflow_provider_smscancel.campaigns.sampling.SampleJob`.
    :return: Markdown: how many messages, what the gateway says about the sample, how long stopping takes.
    """
    return "\n".join(_sample_lines(sample))


def _sample_lines(sample: Mapping[str, Any]) -> Iterator[str]:
    forecast, rejected, answered = sample["forecast"], sample["rejected"], sample["answered"]
    messages = sample["total"] - rejected
    label = CONNECTION_TYPES[sample["gateway"]].label
    takes = f"**{duration(forecast['seconds'])}**, at {forecast['requests_per_second']:g} a second"
    yield f"**{_messages(messages)}** at {label}. To cancel takes about {takes}."
    yield ""
    if answered == messages:
        yield "The gateway says:"
    else:
        yield f"The gateway says about a sample (asked about {sample['asked']:,}, {answered:,} answered in time):"
    yield ""
    states = {state: sample["states"][state] for state in MessageState}
    yield from (f"- **{count:,}** {STATES[state]}" for state, count in states.items() if count)
    if not answered:
        yield "- nothing: **it did not answer.** Cancelling keeps trying, for up to 10 minutes a try"
    yield ""
    if answered and states[MessageState.UNKNOWN] == answered:
        yield "**Not one of these is known there. Is it the right connection, and the right list?**"
        yield ""
    yield from _late_lines(forecast, label)
    if rejected:
        first = "; ".join(sample["rejected_first"]) + (
            " …" if rejected > len(sample["rejected_first"]) else ""
        )
        yield f"Rows that name no message, and are left out: **{rejected:,}** ({first})."
    if sample["incomplete"]:
        yield f"**The list is not complete:** the {sample['incomplete']}."
    if sample["duplicates"]:
        yield f"Duplicates, asked for once: {sample['duplicates']:,}."


def _late_lines(forecast: Mapping[str, Any], label: str) -> Iterator[str]:
    if forecast["too_late"]:
        yield (
            f"**About {forecast['too_late']:,} will leave before their turn.** To save more of them, raise *Requests per second* "
            "in the connection (if the gateway allows more), and trigger again."
        )
    elif forecast["too_late_at_worst"]:
        yield (
            f"{label} may send up to {forecast['sends_early_s'] / 60:g} minutes early: at worst, "
            f"{forecast['too_late_at_worst']:,} will leave before their turn."
        )


def tell_ending(summary: Mapping[str, Any], not_stopped: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what came of stopping a campaign.

    :param summary: of :class:`~airflow_provider_smscancel.operators.cancel_message.CancelMessageOperator`.
    :param not_stopped: its XCom of that name.
    :return: lines: how many were stopped, how many were not and why, and where the list is.
    """
    counts = {outcome: summary["outcomes"][outcome] for outcome in Outcome}
    lines = [_headline(summary, counts)]
    width = max(len(f"{count:,}") for count in counts.values())
    lines += [
        f"  {count:>{width},} {OUTCOMES[outcome]} ({outcome})" for outcome, count in counts.items() if count
    ]
    if not_stopped:
        shown = not_stopped[:IDS_SHOWN]
        more = sum(count for outcome, count in counts.items() if outcome not in HARMLESS) - len(shown)
        lines.append("Not stopped:")
        lines += [f"  {row['message_id']} ({row['outcome']})" for row in shown]
        lines += [f"  and {more:,} more"] if more else []
    lines += (
        ["The list of all messages is in", f"  {summary['report']}"] if summary["report"] else [NO_REPORT]
    )
    if summary["report_error"]:
        lines.append(f"That list is not complete: {summary['report_error']}")
    return lines


def _headline(summary: Mapping[str, Any], counts: Mapping[Outcome, int]) -> str:
    name = f"Campaign {summary['campaign']!r}" if summary["campaign"] else "The campaign"
    stopped = sum(counts[outcome] for outcome in DONE)
    text = f"{name} at {CONNECTION_TYPES[summary['gateway']].label}: {stopped:,} of {_messages(summary['total'])} stopped"
    if harmless := counts[Outcome.WILL_NOT_SEND]:
        text += f", {harmless:,} will not go out anyway"
    if late := counts[Outcome.TOO_LATE] + counts[Outcome.NOT_FOUND] + counts[Outcome.REJECTED]:
        text += f", {late:,} NOT stopped"
    if unconfirmed := counts[Outcome.UNCONFIRMED]:
        text += f", {unconfirmed:,} NOT KNOWN"
    if not_attempted := counts[Outcome.NOT_ATTEMPTED]:
        text += f", {not_attempted:,} NOT asked"
    return f"{text}."


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"
