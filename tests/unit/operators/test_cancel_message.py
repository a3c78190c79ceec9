"""What the operator does with a campaign: outcomes, summary, XComs, and when the task fails."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.operating import Play, Seed, states

from airflow_provider_smscancel._airflow import AirflowSkipException
from airflow_provider_smscancel.campaigns import Outcome, cancel_job
from airflow_provider_smscancel.sandbox import ESENDEX
from airflow_provider_smscancel.sandbox.server import SandboxServer

SUMMARY_KEYS = {
    "campaign",
    "gateway",
    "total",
    "outcomes",
    "duplicates",
    "undated",
    "report",
    "report_error",
    "requests",
    "started_at",
    "finished_at",
}


def test_a_scheduled_campaign_is_stopped_and_the_task_succeeds(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(120)
    played = play(message_ids=ids, campaign="spring sale")
    assert played.error is None
    assert states(sandbox, ids) == {"cancelled": 120}
    assert played.outcomes == {"cancelled": 120}
    assert played.not_stopped == []
    assert played.requests == 120


def test_the_connection_type_picks_the_gateway(sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    ids = seed(5, gateway=ESENDEX)
    played = play(sms_conn_id="sms_esendex", message_ids=ids)
    assert played.error is None
    assert played.summary["gateway"] == "esendex"
    assert states(sandbox, ids) == {"cancelled": 5}


def test_client_message_ids_are_cancelled_on_the_http_api(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(4, prefix="mine-")
    played = play(sms_conn_id="sms_http", message_ids="mine-0 mine-1 mine-2", id_type="client_message_id")
    assert played.error is None
    assert played.outcomes == {"cancelled": 3}
    assert states(sandbox, ids) == {"cancelled": 3, "scheduled": 1}


def test_the_summary_has_exactly_the_keys_of_the_contract_and_adds_up(seed: Seed, play: Play) -> None:
    stopped, late, dead = seed(3), seed(2, state="sent"), seed(1, state="failed")
    unknown = ["0123456789abcdef0123456789abcdef"]
    listed = [{"message_id": stopped[0], "scheduled_at": "2030-01-01T00:00:00+00:00"}, *stopped[1:]]
    started = datetime.now(UTC)
    played = play(
        message_ids=[*listed, stopped[1].upper(), *late, *dead, *unknown, "not an id!", 12345],
        campaign="sale",
    )
    summary = played.summary
    assert set(summary) == SUMMARY_KEYS
    assert summary["outcomes"] == {
        "cancelled": 3,
        "already_cancelled": 0,
        "too_late": 2,
        "will_not_send": 1,
        "not_found": 1,
        "rejected": 2,
        "unconfirmed": 0,
        "not_attempted": 0,
    }
    assert list(summary["outcomes"]) == [outcome.value for outcome in Outcome]
    assert summary["total"] == sum(summary["outcomes"].values()) == 9
    assert summary["duplicates"] == 1
    assert summary["undated"] == 6
    assert summary["campaign"] == "sale"
    assert summary["gateway"] == "clickatell"
    assert summary["report"] is None
    assert summary["report_error"] is None
    assert summary["requests"] == played.requests == 7
    begun, ended = (datetime.fromisoformat(summary[name]) for name in ("started_at", "finished_at"))
    assert started <= begun <= ended <= datetime.now(UTC)


def test_the_summary_is_returned_and_pushed(seed: Seed, play: Play) -> None:
    played = play(message_ids=seed(2))
    assert played.returned == played.summary


def test_the_summary_is_pushed_also_when_the_task_fails(seed: Seed, play: Play) -> None:
    late = seed(2, state="sent")
    played = play(message_ids=late)
    played.failed_for_good()
    assert played.summary["outcomes"]["too_late"] == 2
    assert sorted(row["message_id"] for row in played.not_stopped) == sorted(late)


def test_duplicates_are_cancelled_once(seed: Seed, play: Play) -> None:
    (message_id,) = seed(1)
    played = play(message_ids=[message_id, message_id.upper(), message_id])
    assert played.requests == 1
    assert played.summary["duplicates"] == 2
    assert played.summary["total"] == 1


# -- not_stopped ------------------------------------------------------------------------------------------------------


def test_not_stopped_names_at_most_100_messages_the_open_ones_first(
    in_doubt: Seed, seed: Seed, play: Play
) -> None:
    late, doubtful, dead, good = seed(150, state="sent"), in_doubt(3), seed(2, state="failed"), seed(2)
    played = play(message_ids=[*late, *doubtful, *dead, *good])
    assert len(played.not_stopped) == 100
    assert {row["message_id"] for row in played.not_stopped[:3]} == set(doubtful)
    assert {row["outcome"] for row in played.not_stopped[:3]} == {"unconfirmed"}
    assert {row["outcome"] for row in played.not_stopped[3:]} == {"too_late"}
    assert set(played.not_stopped[3]) == {"message_id", "outcome", "gateway_status"}
    assert played.not_stopped[3]["gateway_status"] in ("003", "004")


def test_what_will_not_be_sent_anyway_is_not_among_not_stopped(seed: Seed, play: Play) -> None:
    played = play(message_ids=seed(2, state="failed"))
    assert played.error is None
    assert played.outcomes == {"will_not_send": 2}
    assert played.not_stopped == []


# -- when the task fails ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        pytest.param({"state": "sent"}, "too_late", id="too_late"),
        pytest.param({}, "not_found", id="not_found"),
    ],
)
def test_final_outcomes_fail_the_task_for_good(
    how: dict[str, Any], outcome: str, seed: Seed, play: Play
) -> None:
    lost = seed(1, **how) if how else ["0123456789abcdef0123456789abcdef"]
    played = play(message_ids=[*seed(3), *lost])
    text = played.failed_for_good()
    assert played.outcomes == {"cancelled": 3, outcome: 1}
    assert f"{outcome} 1" in text
    assert "1 of 4 messages were not stopped" in text


def test_a_rejected_row_fails_the_task_for_good_and_does_not_hold_up_the_rest(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(3)
    played = play(message_ids=[ids[0], "+27 82 123 4567", ids[1], 4711, ids[2]])
    played.failed_for_good()
    assert states(sandbox, ids) == {"cancelled": 3}
    assert played.outcomes == {"cancelled": 3, "rejected": 2}
    assert [row["message_id"] for row in played.not_stopped] == ["item 2", "item 4"]
    assert "item 4" in played.told.said("warning")
    assert "quote it" in played.told.said("warning")
    everything = str(played.told) + str(played.ti.xcoms) + str(played.error)
    assert "4567" not in everything
    assert "4711" not in everything


def test_an_open_outcome_fails_the_task_so_that_airflow_retries_it(
    in_doubt: Seed, seed: Seed, play: Play
) -> None:
    played = play(message_ids=[*in_doubt(1), *seed(1, state="sent"), *seed(2)])
    text = played.failed_retryably()
    assert played.outcomes == {"cancelled": 2, "unconfirmed": 1, "too_late": 1}
    assert "A retry takes up what is open." in text


def test_an_account_refusal_fails_the_task_for_good(seed: Seed, play: Play) -> None:
    played = play(sms_conn_id="sms_wrong_token", message_ids=seed(40))
    text = played.failed_for_good()
    assert "sms_wrong_token" in text
    assert "wrong-token" not in text + str(played.told)
    assert played.outcomes == {"not_attempted": 40}
    assert played.requests < 40


def test_fail_on_narrows_what_fails_the_task(seed: Seed, play: Play) -> None:
    late, unknown = seed(1, state="sent"), ["0123456789abcdef0123456789abcdef"]
    assert play(message_ids=[*late, *unknown], fail_on=["rejected"]).error is None
    assert play(message_ids=[*late, *unknown], fail_on=[]).error is None
    assert "too_late 1" in play(message_ids=late, fail_on=["too_late"]).failed_for_good()


def test_fail_on_can_name_outcomes_that_are_harmless_otherwise(seed: Seed, play: Play) -> None:
    played = play(message_ids=seed(1, state="failed"), fail_on=["will_not_send"])
    assert "will_not_send 1" in played.failed_for_good()


def test_an_open_outcome_that_fail_on_leaves_out_lets_the_task_succeed(in_doubt: Seed, play: Play) -> None:
    played = play(message_ids=in_doubt(1), fail_on=["too_late"])
    assert played.error is None
    assert played.outcomes == {"unconfirmed": 1}


@pytest.mark.parametrize(
    "text",
    ["too_late, rejected", '["too_late", "rejected"]', "['too_late', 'rejected']", " too_late\nrejected "],
)
def test_fail_on_takes_the_texts_that_templates_make_of_a_list(text: str, seed: Seed, play: Play) -> None:
    played = play(message_ids=[*seed(1, state="sent"), "0123456789abcdef0123456789abcdef"], fail_on=text)
    played.failed_for_good()
    assert play(message_ids=["0123456789abcdef0123456789abcdef"], fail_on=text).error is None


def test_a_blank_fail_on_means_the_default_and_not_nothing(seed: Seed, play: Play) -> None:
    play(message_ids=seed(1, state="sent"), fail_on=" ").failed_for_good()


# -- no messages, too many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[], "[]", ","])
def test_no_message_fails_the_task_unless_told_otherwise(empty: Any, play: Play) -> None:
    text = play(message_ids=empty).refused_before_anything()
    assert "no message to cancel" in text
    assert "on_empty" in text


def test_no_message_skips_the_task_if_told_so(play: Play) -> None:
    played = play(message_ids=[], on_empty="skip")
    assert isinstance(played.error, AirflowSkipException)
    assert played.requests == 0


def test_no_message_succeeds_with_a_summary_of_nothing_if_told_so(play: Play) -> None:
    played = play(message_ids=[], on_empty="succeed")
    assert played.error is None
    assert played.requests == 0
    assert set(played.returned) == SUMMARY_KEYS
    assert played.returned["total"] == 0
    assert set(played.returned["outcomes"].values()) == {0}


@pytest.mark.parametrize("limit", [2, "2", " 2\n"])
def test_more_than_max_messages_are_refused(
    limit: Any, seed: Seed, play: Play, sandbox: SandboxServer
) -> None:
    ids = seed(3)
    text = play(message_ids=ids, max_messages=limit).refused_before_anything()
    assert "3 messages" in text
    assert "max_messages" in text
    assert states(sandbox, ids) == {"scheduled": 3}


@pytest.mark.parametrize("limit", [3, "3", "", None])
def test_as_many_as_max_messages_are_cancelled(limit: Any, seed: Seed, play: Play) -> None:
    assert play(message_ids=seed(3), max_messages=limit).error is None


def test_duplicates_do_not_count_against_max_messages(seed: Seed, play: Play) -> None:
    assert play(message_ids=seed(2) * 2, max_messages=2).error is None


# -- dry run ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [True, "true", " True\n", "TRUE"])
def test_a_dry_run_asks_for_statuses_and_cancels_nothing(
    flag: Any, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    pending, late, gone, dead = (
        seed(3),
        seed(2, state="sent"),
        seed(1, state="cancelled"),
        seed(1, state="failed"),
    )
    unknown = ["0123456789abcdef0123456789abcdef"]
    played = play(message_ids=[*pending, *late, *gone, *dead, *unknown, "not an id"], dry_run=flag)
    assert played.error is None
    assert states(sandbox, pending) == {"scheduled": 3}
    assert sandbox.state.traffic.count("clickatell", "rest.stop") == 0
    assert set(played.summary) == SUMMARY_KEYS - {"outcomes"} | {"dry_run", "states"}
    assert played.summary["dry_run"] is True
    assert played.summary["states"] == {"pending": 3, "sent": 2, "cancelled": 1, "failed": 1, "unknown": 2}
    assert played.summary["total"] == 9
    assert played.returned == played.summary
    assert "not_stopped" not in played.ti.xcoms


@pytest.mark.parametrize("flag", [False, "false", "False "])
def test_without_dry_run_messages_are_cancelled(
    flag: Any, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(1)
    assert play(message_ids=ids, dry_run=flag).error is None
    assert states(sandbox, ids) == {"cancelled": 1}


@pytest.mark.parametrize("flag", ["", "None", "yes", "0", 0, 1, None, "fals"])
def test_a_dry_run_flag_that_is_neither_true_nor_false_is_refused(flag: Any, seed: Seed, play: Play) -> None:
    assert (
        "dry_run must be true or false" in play(message_ids=seed(1), dry_run=flag).refused_before_anything()
    )


def test_a_dry_run_fails_when_the_account_is_refused(seed: Seed, play: Play) -> None:
    play(sms_conn_id="sms_wrong_token", message_ids=seed(20), dry_run=True).failed_for_good()


def test_a_dry_run_fails_when_the_gateway_can_not_be_reached(play: Play) -> None:
    played = play(
        sms_conn_id="sms_down", message_ids=["a1"], dry_run=True, give_up_after=timedelta(seconds=0.5)
    )
    assert "dry run" in played.failed_retryably()
    assert played.summary["states"]["unknown"] == 1


# -- what the log says ------------------------------------------------------------------------------------------------


def test_the_log_says_how_many_how_fast_and_about_how_long_before_the_first_request(
    seed: Seed, play: Play
) -> None:
    played = play(message_ids=seed(50), requests_per_second=100, campaign="spring sale")
    ((_, text, requests_by_then),) = [
        line for line in played.told if "50 messages" in line[1] and line[2] == 0
    ]
    assert requests_by_then == 0
    assert "100 requests a second" in text
    assert "spring sale" in text
    assert "1 s" in text


def test_a_warning_says_how_many_will_leave_before_their_turn(seed: Seed, play: Play) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    messages = [{"message_id": message_id, "scheduled_at": soon} for message_id in seed(30)]
    played = play(
        message_ids=messages,
        requests_per_second=5,
        max_concurrency=1,
        execution_timeout=timedelta(seconds=10.2),
    )
    warning = next(line for line in played.told if "before their turn" in line[1])
    assert warning[0] == "warning"
    assert warning[2] == 0
    assert "requests_per_second" in warning[1]
    assert 19 <= int(warning[1].split()[1]) < 30  # of 30, five a second, in two seconds at most


def test_a_second_warning_comes_when_answers_take_so_long_that_the_first_said_too_little(
    sandbox: SandboxServer, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_job, "FORECAST_AGAIN_AFTER_S", 0.5)
    sandbox.state.latency = 0.1
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    messages = [{"message_id": message_id, "scheduled_at": soon} for message_id in seed(60)]
    played = play(message_ids=messages, requests_per_second=1000, max_concurrency=1)
    assert "About" not in played.told.said("warning").partition("At the pace")[0]
    assert "raise `max_concurrency` (now 1)" in played.told.said("warning")


def test_no_such_warning_when_there_is_time_enough(seed: Seed, play: Play) -> None:
    assert "before their turn" not in play(message_ids=seed(30)).told.said("warning")


def test_the_log_says_what_leaving_five_minutes_early_would_cost(seed: Seed, play: Play) -> None:
    """Clickatell may send so early, by one of its pages; Esendex documents nothing of the kind."""
    soon = (datetime.now(UTC) + timedelta(minutes=3)).isoformat()
    for conn_id, gateway, said in (("sms", "clickatell", True), ("sms_esendex", "esendex", False)):
        ids = seed(4, gateway=gateway)
        rows = [{"message_id": message_id, "scheduled_at": soon} for message_id in ids]
        warnings = play(sms_conn_id=conn_id, message_ids=rows).told.said("warning")
        assert ("5 minutes early: at worst, 4 will leave before their turn" in warnings) is said


def test_an_error_asks_whether_it_is_the_wrong_account_when_the_first_200_are_unknown(
    seed: Seed, play: Play
) -> None:
    unknown = [f"{number:032x}" for number in range(1, 201)]
    played = play(message_ids=[*unknown, *seed(10)], max_concurrency=1)
    assert "wrong account or gateway?" in played.told.said("error")


def test_no_such_error_when_one_of_the_first_200_is_known(seed: Seed, play: Play) -> None:
    unknown = [f"{number:032x}" for number in range(1, 251)]
    played = play(message_ids=[*seed(1), *unknown], max_concurrency=1)
    assert "wrong account" not in played.told.said("error")


def test_nothing_that_is_secret_is_written_anywhere(
    seed: Seed, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    played = play(message_ids=[*seed(3), *seed(1, state="sent")])
    everything = (
        json.dumps(played.ti.xcoms) + str(played.told) + str(played.error) + "".join(capsys.readouterr())
    )
    assert "sandbox-token" not in everything
    assert "27999000001" not in everything
