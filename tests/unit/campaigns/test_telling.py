"""What a person is told about a campaign, before it is stopped and afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_smscancel.campaigns import MessageState, Outcome
from airflow_provider_smscancel.campaigns.telling import OUTCOMES, STATES, tell_ending, tell_sample


def sample(**members: Any) -> dict[str, Any]:
    states = dict.fromkeys(map(str, MessageState), 0) | members.pop("states", {"pending": 2})
    forecast = {
        "requests_per_second": 25.0,
        "seconds": 400,
        "too_late": 0,
        "too_late_at_worst": 0,
        "sends_early_s": 300,
    }
    return {
        "gateway": "esendex",
        "total": 10_002,
        "asked": 200,
        "answered": sum(states.values()),
        "states": states,
        "rejected": 0,
        "rejected_first": [],
        "incomplete": None,
        "duplicates": 0,
        "forecast": forecast | members.pop("forecast", {}),
        **members,
    }


def ending(not_stopped: list[dict[str, str]] | None = None, **members: Any) -> list[str]:
    outcomes = dict.fromkeys(map(str, Outcome), 0) | members.pop("outcomes")
    summary = {
        "campaign": "wrong price",
        "gateway": "clickatell",
        "total": sum(outcomes.values()),
        "outcomes": outcomes,
        "report": "s3://bucket/report",
        "report_error": None,
        **members,
    }
    return tell_ending(summary, not_stopped or [])


def test_every_state_and_every_outcome_has_words() -> None:
    assert STATES.keys() == set(MessageState)
    assert OUTCOMES.keys() == set(Outcome)


def test_a_sample_tells_how_many_how_long_and_what_it_was_taken_from() -> None:
    told = tell_sample(sample(states={"pending": 190, "sent": 3}))
    assert "**10,002 messages** at Esendex US" in told
    assert "about **7 min**, at 25 a second" in told
    assert "a sample (asked about 200, 193 answered in time)" in told
    assert "- **190** waiting: can be stopped\n- **3** sent: too late" in told
    assert "unknown" not in told
    assert "leave before their turn" not in told


def test_a_sample_that_is_everything_is_not_called_a_sample() -> None:
    told = tell_sample(sample(total=2, asked=2))
    assert "sample" not in told
    assert "**2 messages**" in told
    assert "**1 message** at" in tell_sample(sample(total=1, asked=1, states={"pending": 1}))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"states": {}}, "it did not answer.** Cancelling keeps trying, for up to 10 minutes a try"),
        ({"states": {"unknown": 200}}, "Not one of these is known there. Is it the right connection"),
        ({"forecast": {"too_late": 1200}}, "**About 1,200 will leave before their turn.**"),
        ({"forecast": {"too_late_at_worst": 40}}, "up to 5 minutes early: at worst, 40 will leave"),
        ({"duplicates": 3}, "Duplicates, asked for once: 3."),
        (
            {"incomplete": "manifest was read to line 7 only"},
            "**The list is not complete:** the manifest was",
        ),
        ({"rejected": 1, "rejected_first": ["line 7: the id is empty"]}, "**1** (line 7: the id is empty)."),
        ({"rejected": 9, "rejected_first": ["line 7: no"]}, "**9** (line 7: no …)."),
    ],
)
def test_a_sample_tells_what_a_person_must_know_before_they_approve(
    members: dict[str, Any], expected: str
) -> None:
    assert expected in tell_sample(sample(**members))
    assert expected not in tell_sample(sample())


def test_an_ending_tells_how_many_were_stopped_how_many_were_not_why_and_where_the_list_is() -> None:
    rows = [{"message_id": f"id{number}", "outcome": "too_late"} for number in range(12)]
    told = ending(rows, outcomes={"cancelled": 1000, "too_late": 12, "will_not_send": 1})
    assert told == [
        "Campaign 'wrong price' at Clickatell: 1,000 of 1,013 messages stopped, 1 will not go out anyway, 12 NOT stopped.",
        "  1,000 stopped (cancelled)",
        "     12 NOT stopped: gone before the stop came (too_late)",
        "      1 will not go out, for another reason (will_not_send)",
        "Not stopped:",
        *(f"  id{number} (too_late)" for number in range(10)),
        "  and 2 more",
        "The list of all messages is in",
        "  s3://bucket/report",
    ]


def test_an_ending_in_which_all_are_stopped_says_nothing_else() -> None:
    told = ending(outcomes={"cancelled": 3, "already_cancelled": 1}, campaign=None)
    assert told[0] == "The campaign at Clickatell: 4 of 4 messages stopped."
    assert "NOT" not in "".join(told)


def test_what_nobody_knows_is_not_called_stopped_nor_left() -> None:
    told = ending(outcomes={"cancelled": 1, "unconfirmed": 2, "not_attempted": 3})
    assert told[0].endswith("1 of 6 messages stopped, 2 NOT KNOWN, 3 NOT asked.")
    assert "NOT KNOWN" not in "".join(ending(outcomes={"not_attempted": 3}))


def test_a_missing_or_an_incomplete_list_is_told() -> None:
    assert "the log of task cancel has the ids" in ending(outcomes={"cancelled": 1}, report=None)[-1]
    assert ending(outcomes={"cancelled": 1}, report_error="full")[-1] == "That list is not complete: full"
