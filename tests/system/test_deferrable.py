"""The operator in a real Airflow's triggerer, which is ended and killed in the middle."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable

import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import A_SECONDS_WORTH, IN_FLIGHT, TOTAL, Interrupted, Start
from support.operating import final_outcomes, read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system


def check_all_are_stopped(run: Interrupted, *, sent_twice_at_most: int) -> None:
    """Check that one try has stopped all, and that the report says so with the sandbox."""
    assert run.airflow.wait_for_run(run.dag_id, run.run_id, within_s=90) == "success"
    assert [each["try_number"] for each in run.tries()] == [1]
    record = run.sandbox.truth()
    assert Counter(record[message_id]["state"] for message_id in run.ids) == {"cancelled": TOTAL}
    outcomes = final_outcomes(run.report)
    assert set(outcomes) == set(run.ids)
    assert set(outcomes.values()) == {"cancelled"}
    assert len(read_report(run.report)) == TOTAL
    twice = sum(record[message_id]["stop_requests"] > 1 for message_id in run.ids)
    assert twice <= sent_twice_at_most
    summary = run.airflow.xcom(run.dag_id, run.run_id, "cancel", "summary")
    assert summary["total"] == summary["outcomes"]["cancelled"] == TOTAL
    assert run.airflow.xcom(run.dag_id, run.run_id, "cancel", "return_value") == summary
    assert run.airflow.xcom(run.dag_id, run.run_id, "cancel", "not_stopped") == []


def wait_until_deferred_and_in_the_middle(run: Interrupted) -> None:
    run.wait_for_a_third()
    assert run.task()["state"] == "deferred"


@pytest.fixture
def triggerer(airflow: AirflowStack) -> Callable[[signal.Signals], None]:
    """Send a signal to the triggerer, and start another one."""

    def restart(number: signal.Signals) -> None:
        airflow.kill("triggerer", number)
        airflow.start("triggerer")

    return restart


def test_a_campaign_is_stopped_in_the_triggerer(start: Start) -> None:
    run = start("deferred")
    wait_until_deferred_and_in_the_middle(run)
    check_all_are_stopped(run, sent_twice_at_most=0)
    log = run.airflow.log("deferred", run.run_id, "cancel", 1)
    assert f"{TOTAL} messages are handed over to the triggerer." in log
    assert f"Stopping {TOTAL} messages" in log


def test_without_a_report_a_short_list_travels_in_the_triggers_row(
    airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    ids = sandbox.seed("clickatell", 100)
    run_id = airflow.trigger("deferred_without_a_report", {"ids": ids})
    assert airflow.wait_for_run("deferred_without_a_report", run_id) == "success"
    record = sandbox.truth()
    assert {record[message_id]["state"] for message_id in ids} == {"cancelled"}
    summary = airflow.xcom("deferred_without_a_report", run_id, "cancel", "summary")
    assert (summary["total"], summary["report"]) == (100, None)
    log = airflow.log("deferred_without_a_report", run_id, "cancel", 1)
    assert "handed over to the triggerer" in log


def test_a_triggerer_that_is_killed_in_the_middle_loses_nothing(
    start: Start, triggerer: Callable[[signal.Signals], None]
) -> None:
    run = start("deferred")
    wait_until_deferred_and_in_the_middle(run)
    triggerer(signal.SIGKILL)
    assert run.stopped() < TOTAL
    check_all_are_stopped(run, sent_twice_at_most=A_SECONDS_WORTH + IN_FLIGHT)


def test_a_triggerer_that_is_ended_in_the_middle_writes_down_what_is_settled(
    start: Start, triggerer: Callable[[signal.Signals], None]
) -> None:
    run = start("deferred")
    wait_until_deferred_and_in_the_middle(run)
    triggerer(signal.SIGTERM)
    assert run.stopped() < TOTAL
    check_all_are_stopped(run, sent_twice_at_most=IN_FLIGHT)


def test_marking_a_deferred_task_failed_stops_new_requests_and_leaves_a_whole_report(
    start: Start, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    run = start("deferred")
    wait_until_deferred_and_in_the_middle(run)
    where = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/cancel"
    airflow.call("PATCH", where, {"new_state": "failed"})
    seen: list[int] = []

    def stands_still() -> bool:
        seen.append(sandbox.requests_so_far("clickatell"))
        return len(seen) >= 6 and seen[-6] == seen[-1]

    wait_for(stands_still, "no more requests are made", within_s=8)
    assert run.stopped() < TOTAL
    wait_for(lambda: len(final_outcomes(run.report)) == TOTAL, "the report is whole", within_s=15)
    outcomes, record = final_outcomes(run.report), sandbox.truth()
    assert set(outcomes) == set(run.ids)
    assert {record[each]["state"] for each in run.ids if outcomes[each] == "cancelled"} == {"cancelled"}
    assert set(outcomes.values()) <= {"cancelled", "not_attempted", "unconfirmed"}
    assert airflow.wait_for_run(run.dag_id, run.run_id) == "failed"
