"""The provider in a real Airflow: it is found there, and a campaign that is interrupted is taken up again."""

from __future__ import annotations

import contextlib
import json
import signal

import psutil
import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import A_SECONDS_WORTH, IN_FLIGHT, TOTAL, Start
from support.operating import final_outcomes, read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system

# -- the provider is found ------------------------------------------------------------------------------------------------


def test_airflow_lists_the_provider_and_its_connection_types(airflow: AirflowStack) -> None:
    listed = json.loads(airflow.command("providers", "list", "--output", "json"))
    (ours,) = [row for row in listed if row["package_name"] == "airflow-provider-smscancel"]
    assert "Clickatell" in ours["description"]
    hooks = json.loads(airflow.command("providers", "hooks", "--output", "json"))
    found = {
        row["connection_type"]: row for row in hooks if row["package_name"] == "airflow-provider-smscancel"
    }
    assert found["clickatell"]["hook_name"] == "Clickatell"
    assert found["clickatell"]["class"] == "airflow_provider_smscancel.hooks.clickatell.ClickatellHook"
    assert found["esendex"]["hook_name"] == "Esendex US"
    assert found["esendex"]["class"] == "airflow_provider_smscancel.hooks.esendex.EsendexHook"


# -- interruptions ------------------------------------------------------------------------------------------------------


def test_a_sigterm_leaves_a_report_and_a_retry_takes_up_what_is_open(start: Start) -> None:
    run = start("interrupted")
    process = run.wait_until_in_the_middle()
    process.send_signal(signal.SIGTERM)
    run.check_it_was_taken_up(sent_twice_at_most=IN_FLIGHT)
    first = [row for row in read_report(run.report) if row["try"] == 1]
    assert len(first) == TOTAL  # there was time to write down also what was open
    assert {row["outcome"] for row in first} >= {"cancelled", "not_attempted"}


def test_a_run_that_ends_itself_before_its_time_limit_is_taken_up(start: Start) -> None:
    run = start("ends_itself")
    run.check_it_was_taken_up(sent_twice_at_most=IN_FLIGHT)
    log = run.airflow.log("ends_itself", run.run_id, "cancel", 1)
    assert "execution_timeout" in log
    assert "AirflowTaskTimeout" not in log
    assert len([row for row in read_report(run.report) if row["try"] == 1]) == TOTAL


def test_a_run_that_is_cut_off_by_its_time_limit_is_taken_up(start: Start) -> None:
    run = start("runs_into_its_time_limit")
    run.check_it_was_taken_up(sent_twice_at_most=IN_FLIGHT * 4, all_wrote=False)
    assert "AirflowTaskTimeout" in run.airflow.log("runs_into_its_time_limit", run.run_id, "cancel", 1)
    assert len([row for row in read_report(run.report) if row["try"] == 1]) == TOTAL


def test_a_sigkill_of_the_task_is_taken_up(start: Start) -> None:
    run = start("interrupted")
    run.wait_until_in_the_middle().kill()
    run.check_it_was_taken_up(sent_twice_at_most=A_SECONDS_WORTH + IN_FLIGHT)


def test_a_sigkill_of_the_task_and_its_supervisor_is_taken_up(start: Start) -> None:
    run = start("interrupted")
    process = run.wait_until_in_the_middle()
    supervisor = process.parent()
    assert supervisor is not None
    assert "airflow worker" in " ".join(supervisor.cmdline())
    supervisor.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    run.check_it_was_taken_up(sent_twice_at_most=A_SECONDS_WORTH + IN_FLIGHT)


def test_without_a_report_a_sigkill_of_the_task_is_taken_up_from_the_task_state_store(start: Start) -> None:
    run = start("without_a_report")
    run.wait_until_in_the_middle_and_stored().kill()
    run.check_it_was_taken_up_without_a_report(sent_twice_at_most=A_SECONDS_WORTH + IN_FLIGHT)
    log = run.airflow.log(run.dag_id, run.run_id, "cancel", 2)
    assert "were settled by an earlier try" in log
    assert "task state store" in log


def test_without_a_report_a_sigterm_leaves_all_that_is_settled_in_the_task_state_store(start: Start) -> None:
    run = start("without_a_report")
    run.wait_until_in_the_middle().send_signal(signal.SIGTERM)
    run.check_it_was_taken_up_without_a_report(sent_twice_at_most=IN_FLIGHT)


def test_without_a_report_a_run_that_is_cut_off_by_its_time_limit_is_taken_up(start: Start) -> None:
    run = start("cut_off_without_a_report")
    run.check_it_was_taken_up_without_a_report(sent_twice_at_most=IN_FLIGHT * 4)
    assert "AirflowTaskTimeout" in run.airflow.log(run.dag_id, run.run_id, "cancel", 1)


def test_marking_a_running_task_failed_stops_new_requests_and_leaves_a_report(
    start: Start, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    run = start("interrupted")
    process = run.wait_until_in_the_middle()
    where = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/cancel"
    airflow.call("PATCH", where, {"new_state": "failed"})
    seen: list[int] = []

    def stands_still() -> bool:
        seen.append(sandbox.requests_so_far("clickatell"))
        return len(seen) >= 6 and seen[-6] == seen[-1]

    wait_for(stands_still, "no more requests are made", within_s=8)
    assert run.stopped() < TOTAL
    wait_for(
        lambda: not process.is_running() or _is_zombie(process), "the task's process is gone", within_s=15
    )
    assert sandbox.requests_so_far("clickatell") == seen[-1]

    assert airflow.wait_for_run(run.dag_id, run.run_id) == "failed"
    assert [each["state"] for each in run.tries()] == ["failed"]
    outcomes, record = final_outcomes(run.report), sandbox.truth()
    assert set(outcomes) == set(run.ids)
    for message_id, outcome in outcomes.items():
        if outcome == "cancelled":
            assert record[message_id]["state"] == "cancelled"
        else:
            assert outcome in ("not_attempted", "unconfirmed")
    open_but_stopped = sum(
        outcomes[message_id] != "cancelled" and record[message_id]["state"] == "cancelled"
        for message_id in run.ids
    )
    assert open_but_stopped <= IN_FLIGHT


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
