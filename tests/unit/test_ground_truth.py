"""What outcomes are held against finds what is wrong with them."""

from __future__ import annotations

import pytest
from support.ground_truth import compare, contradicts


def row(state: str, *, asked: bool = True) -> dict[str, str | None]:
    return {"state": state, "first_stop_at": "2030-01-01T09:00:00Z" if asked else None}


@pytest.mark.parametrize(
    ("gateway", "before", "outcome", "came_to"),
    [
        ("clickatell", "scheduled", "cancelled", "sent"),
        ("clickatell", "scheduled", "cancelled", "scheduled"),
        ("clickatell", "scheduled", "already_cancelled", "cancelled"),
        ("clickatell", "scheduled", "too_late", "scheduled"),
        ("clickatell", "queued", "too_late", "queued"),
        ("esendex", "scheduled", "not_found", "cancelled"),
        ("esendex", "failed", "rejected", "failed"),
    ],
)
def test_an_outcome_that_contradicts_the_record_is_found(
    gateway: str, before: str, outcome: str, came_to: str
) -> None:
    found = compare(gateway, {"one": before}, {"one": outcome}, {"one": row(came_to)})
    assert (found.wrong, found.lost) == (["one"], 1)


def test_what_agrees_and_what_claims_nothing_is_not_lost() -> None:
    began_as = {"a": "scheduled", "b": "sent", "c": "cancelled", "d": None, "e": "queued", "f": "failed"}
    outcomes = {"a": "cancelled", "b": "too_late", "c": "already_cancelled", "d": "not_found"}
    outcomes |= {"e": "unconfirmed", "f": "will_not_send"}
    record = {
        "a": row("cancelled"),
        "b": row("sent"),
        "c": row("cancelled"),
        "e": row("sent"),
        "f": row("failed"),
    }
    found = compare("clickatell", began_as, outcomes, record)
    assert (found.messages, found.lost, found.open) == (6, 0, ["e"])


def test_a_message_without_an_outcome_and_one_that_was_never_asked_are_found() -> None:
    began_as = {"a": "scheduled", "b": "scheduled", "c": "sent"}
    record = {"a": row("cancelled"), "b": row("scheduled", asked=False), "c": row("sent", asked=False)}
    found = compare("esendex", began_as, {"b": "not_attempted", "c": "too_late"}, record)
    assert (found.missing, found.never_asked, found.lost) == (["a"], ["b"], 2)


def test_a_queued_message_is_out_of_reach_at_esendex_only() -> None:
    assert not contradicts("esendex", "too_late", "queued")
    assert contradicts("clickatell", "too_late", "queued")
