"""The counts, and the few messages that a person must see."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.tally import NOT_STOPPED_SHOWN, Tally


def result(outcome: Outcome, message_id: str = "id", code: str | None = None) -> CancelResult:
    return CancelResult(message_id, outcome, code, "text", 1, datetime(2026, 11, 23, tzinfo=UTC))


def test_every_outcome_is_counted_and_none_is_left_out() -> None:
    tally = Tally()
    for number, outcome in enumerate(Outcome):
        for _ in range(number):
            tally.add(result(outcome))
    assert tally.outcomes() == {outcome.value: number for number, outcome in enumerate(Outcome)}
    assert tally.total == sum(range(len(Outcome)))


def test_what_was_not_stopped_is_shown_with_the_open_ones_first_and_without_the_harmless() -> None:
    tally = Tally()
    tally.add(result(Outcome.TOO_LATE, "late", "004"))
    for harmless in (Outcome.CANCELLED, Outcome.ALREADY_CANCELLED, Outcome.WILL_NOT_SEND):
        tally.add(result(harmless))
    tally.add(result(Outcome.UNCONFIRMED, "open"))
    assert tally.not_stopped() == [
        {"message_id": "open", "outcome": "unconfirmed", "gateway_status": None},
        {"message_id": "late", "outcome": "too_late", "gateway_status": "004"},
    ]


def test_no_more_than_a_hundred_are_shown_and_open_ones_displace_others() -> None:
    tally = Tally()
    for number in range(300):
        tally.add(result(Outcome.TOO_LATE, f"late {number}"))
    for number in range(60):
        tally.add(result(Outcome.NOT_ATTEMPTED, f"open {number}"))
    shown = tally.not_stopped()
    assert len(shown) == NOT_STOPPED_SHOWN == 100
    assert [row["message_id"] for row in shown[:60]] == [f"open {number}" for number in range(60)]
    assert shown[60]["message_id"] == "late 0"


def test_every_id_that_is_not_done_is_kept_for_the_log() -> None:
    tally = Tally()
    for outcome in Outcome:
        tally.add(result(outcome, outcome.value))
    assert tally.not_done == [
        "too_late",
        "will_not_send",
        "not_found",
        "rejected",
        "unconfirmed",
        "not_attempted",
    ]


def test_what_an_earlier_try_settled_counts_but_needs_no_log() -> None:
    tally = Tally()
    tally.add_carried(result(Outcome.CANCELLED))
    tally.add_carried(result(Outcome.TOO_LATE, "late"))
    assert tally.total == 2
    assert tally.not_done == []
    assert [row["message_id"] for row in tally.not_stopped()] == ["late"]


def test_the_counts_are_said_in_one_line() -> None:
    tally = Tally()
    assert tally.said() == "nothing"
    tally.add(result(Outcome.TOO_LATE))
    tally.add(result(Outcome.CANCELLED))
    tally.add(result(Outcome.CANCELLED))
    assert tally.said() == "cancelled 2, too_late 1"
