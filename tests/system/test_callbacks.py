"""The notifier in a real Airflow: in a task's process, in the DAG processor, and in the triggerer for a deadline."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import A_SECONDS_WORTH, IN_FLIGHT, TOTAL, Start
from support.operating import final_outcomes, read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system


def test_a_tasks_callback_that_is_killed_leaves_in_the_report_what_it_stopped_and_the_operator_finishes(
    start: Start, airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    run = start("callback_of_a_task")
    wait_for(lambda: list(run.report.glob("part-*")), "some of it is stopped and written down", within_s=60)
    task = airflow.task(run.dag_id, run.run_id, "check")
    psutil.Process(int(task["pid"])).kill()  # as Airflow does when a callback takes more than 20 s
    assert airflow.wait_for_run(run.dag_id, run.run_id) == "failed"

    outcomes, record = final_outcomes(run.report), sandbox.truth()
    stopped = {message_id for message_id in run.ids if record[message_id]["state"] == "cancelled"}
    assert len(stopped) < TOTAL
    assert set(outcomes) <= stopped
    assert len(stopped - set(outcomes)) <= A_SECONDS_WORTH + IN_FLIGHT
    assert set(outcomes.values()) == {"cancelled"}
    assert not list(run.report.glob("summary-*"))
    assert "messages were not stopped" not in airflow.log(run.dag_id, run.run_id, "check", 1)

    conf = {"manifest": str(tmp_path / "manifest.csv"), "report": str(run.report)}
    finish = airflow.trigger("finish", conf)
    assert airflow.wait_for_run("finish", finish) == "success"
    assert airflow.xcom("finish", finish, "cancel", "summary")["outcomes"]["cancelled"] == TOTAL
    assert set(final_outcomes(run.report)) == set(run.ids)
    assert run.stopped() == TOTAL


def test_a_callback_with_more_messages_than_fit_says_how_many_were_not_asked(
    start: Start, airflow: AirflowStack
) -> None:
    run = start("callback_with_too_little_time")
    wait_for(lambda: list(run.report.glob("summary-*")), "the callback has ended", within_s=60)
    assert airflow.wait_for_run(run.dag_id, run.run_id) == "failed"
    counts = Counter(final_outcomes(run.report).values())
    assert set(counts) <= {"cancelled", "not_attempted", "unconfirmed"}
    assert sum(counts.values()) == TOTAL
    assert 0 < counts["cancelled"] <= run.stopped() < TOTAL
    told = f"{TOTAL - counts['cancelled']} of {TOTAL} messages were not stopped; {counts['not_attempted']} of them were not asked."
    assert told in airflow.log(run.dag_id, run.run_id, "check", 1)


def test_a_dags_callback_stops_the_campaign_and_its_log_says_so(start: Start, airflow: AirflowStack) -> None:
    run = start("callback_of_a_dag")
    assert airflow.wait_for_run(run.dag_id, run.run_id) == "failed"
    wait_for(lambda: list(run.report.glob("summary-*")), "the callback has ended", within_s=60)
    assert run.stopped() == TOTAL
    assert final_outcomes(run.report) == dict.fromkeys(run.ids, "cancelled")
    logs = (airflow.home / "logs" / "dag_processor").rglob("callbacks.py.log")
    assert any(f"all {TOTAL} messages are stopped" in log.read_text() for log in logs)


def test_checks_that_hang_beyond_the_deadline_end_in_a_cancellation_and_a_red_run(
    airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    dag_id = "cancel_unless_checks_pass"
    run_id = airflow.trigger(dag_id, {"count": 150, "checks": "hang"})
    folder = airflow.home / "checked" / run_id

    # The second line: the check still runs.
    wait_for(lambda: list((folder / "report").glob("summary-*")), "the alert has cancelled", within_s=90)
    assert airflow.task(dag_id, run_id, "check")["state"] == "running"
    outcomes, record = final_outcomes(folder / "report"), sandbox.truth()
    assert Counter(outcomes.values()) == {"cancelled": 150}
    assert {record[message_id]["state"] for message_id in outcomes} == {"cancelled"}
    (summary,) = (folder / "report").glob("summary-*")
    assert json.loads(summary.read_text())["campaign"] == f"checked {run_id}"

    # The first line, once the check is ended: it finds nothing left to stop.
    airflow.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/check", {"new_state": "failed"})
    assert airflow.wait_for_run(dag_id, run_id) == "failed"
    states = {task: airflow.task(dag_id, run_id, task)["state"] for task in ("cancel", "goes_out")}
    assert states == {"cancel": "success", "goes_out": "upstream_failed"}
    assert {row["outcome"] for row in read_report(folder / "report")} == {"cancelled"}
    assert len(final_outcomes(folder / "report")) == 150
