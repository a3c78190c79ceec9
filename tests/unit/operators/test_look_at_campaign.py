"""Looking at a campaign before it is stopped: all are counted, a few are asked about, none is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.operating import FakeTask, Play, Played, Seed, states

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.operators.look_at_campaign import LookAtCampaignOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

Look = Callable[..., Played]


@pytest.fixture
def look(play: Play) -> Look:
    """Run one try of the operator."""

    def run(**parameters: Any) -> Played:
        return play(operator_class=LookAtCampaignOperator, **parameters)

    return run


def test_a_sample_is_asked_about_and_nothing_is_cancelled(
    look: Look, seed: Seed, sandbox: SandboxServer
) -> None:
    ids = [*seed(270), *seed(30, state="sent")]
    played = look(message_ids=[*ids, ids[0]], sample_size=100, campaign="wrong price")
    assert played.error is None
    assert played.requests == 100
    assert states(sandbox, ids) == {"scheduled": 270, "sent": 30}
    # Spread over the list, so that a tenth at its end is a tenth of the sample.
    assert played.summary["states"] == {"pending": 90, "sent": 10, "cancelled": 0, "failed": 0, "unknown": 0}
    expected = {"campaign": "wrong price", "total": 300, "asked": 100, "answered": 100, "duplicates": 1}
    assert expected.items() <= played.summary.items()
    assert "**300 messages** at Clickatell" in played.ti.xcoms["text"]


def test_a_campaign_smaller_than_the_sample_is_asked_about_as_a_whole(look: Look, seed: Seed) -> None:
    played = look(message_ids=[*seed(3), "not an id", ""])
    assert (played.requests, played.summary["asked"], played.summary["total"]) == (3, 3, 5)
    assert played.summary["rejected"] == 2
    assert "item 4" in played.ti.xcoms["text"]


def test_what_has_not_answered_in_time_is_no_failure(look: Look, seed: Seed, sandbox: SandboxServer) -> None:
    sandbox.state.latency = 30.0
    played = look(message_ids=seed(5), sample_for=timedelta(seconds=0.3))
    assert played.error is None
    assert (played.summary["asked"], played.summary["answered"]) == (5, 0)
    assert set(played.summary["states"].values()) == {0}
    assert "it did not answer" in played.ti.xcoms["text"]


def test_a_gateway_that_is_down_does_not_hold_up_who_wants_to_cancel(look: Look) -> None:
    played = look(sms_conn_id="sms_down", message_ids=["a1"], sample_for=timedelta(seconds=0.3))
    assert played.error is None
    assert played.summary["answered"] == 0


def test_it_forecasts_how_long_and_how_many_would_leave_before_their_turn(look: Look, seed: Seed) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    dated = [{"message_id": each, "scheduled_at": soon} for each in seed(100)]
    played = look(message_ids=dated, requests_per_second=2, sample_size=1)
    forecast = played.summary["forecast"]
    assert forecast["requests_per_second"] == 2
    assert 50 <= forecast["seconds"] < 60
    assert 30 < forecast["too_late"] < 50
    assert forecast["too_late_at_worst"] == 100  # Clickatell may send five minutes early


def test_a_refused_account_fails_for_good(look: Look, seed: Seed) -> None:
    assert "refuses the account" in look(sms_conn_id="sms_wrong_token", message_ids=seed(3)).failed_for_good()


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"message_ids": ""}, "No messages to cancel"),
        ({"message_ids": "a1", "manifest": "/there.csv"}, "Give only one of"),
        ({"message_ids": "a+b c+d"}, "None of the 2 ids"),
        ({"manifest": "there.csv"}, "must be an absolute path"),
        ({"message_ids": "a1", "sample_for": timedelta(seconds=-1)}, "sample_for must be"),
        ({"message_ids": "a1", "give_up_after": timedelta(seconds=-1)}, "give_up_after must be"),
        ({"message_ids": "a1", "report_path": "reports"}, "report_path must be an absolute path"),
        ({"message_ids": "a1", "report_path": "/reports/../x"}, "report_path holds a part that is '..'"),
    ],
)
def test_the_same_mistakes_are_told_as_when_cancelling(
    look: Look, parameters: dict[str, Any], expected: str
) -> None:
    assert expected in look(**parameters).refused_before_anything()


def test_it_never_cancels_whatever_it_is_told(look: Look, seed: Seed, sandbox: SandboxServer) -> None:
    ids = seed(2)
    assert look(message_ids=ids, dry_run=False, ti=FakeTask()).error is None
    assert states(sandbox, ids) == {"scheduled": 2}


def test_a_kill_is_not_taken_for_the_end_of_its_time(look: Look, seed: Seed) -> None:
    def killed(operator: CancelMessageOperator, context: Any) -> Any:
        operator.on_kill()
        return operator.execute(context)

    assert "Nothing was cancelled" in look(message_ids=seed(2), execute=killed).failed_retryably()
