"""The provider in a real Airflow: it is found there, and a campaign that is interrupted is taken up again."""

from __future__ import annotations

import contextlib
import json
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.airflow_stack import AirflowStack
from support.operating import Row, final_outcomes, read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system

TOTAL = 600
IN_FLIGHT = 16
A_SECONDS_WORTH = 200
"""As tests/system/dags says: requests at a time, and requests a second."""


@dataclass
class Interrupted:
    """A campaign that is under way."""

    airflow: AirflowStack
    sandbox: SandboxProcess
    dag_id: str
    run_id: str
    ids: list[str]
    report: Path

    def task(self) -> Row:
        return self.airflow.task(self.dag_id, self.run_id, "cancel")

    def tries(self) -> list[Row]:
        return self.airflow.tries(self.dag_id, self.run_id, "cancel")

    def stopped(self) -> int:
        """How many of its messages are stopped, by the sandbox's own record."""
        record = self.sandbox.truth()
        return sum(record[message_id]["state"] == "cancelled" for message_id in self.ids)

    def wait_until_in_the_middle(self) -> psutil.Process:
        """Wait until a third is stopped, and return the task's process."""
        wait_for(lambda: self.stopped() >= TOTAL // 3, "a third of the campaign is stopped", within_s=60)
        return psutil.Process(int(self.task()["pid"]))

    def check_it_was_taken_up(self, *, sent_twice_at_most: int, total: int = TOTAL) -> None:
        """Check that the first try failed with a readable report, and that the retry did what was left."""
        assert self.airflow.wait_for_run(self.dag_id, self.run_id) == "success"
        tries = self.tries()
        assert [each["state"] for each in tries[-1:]] == ["success"]
        assert len(tries) >= 2
        assert {each["state"] for each in tries[:-1]} <= {"failed", "up_for_retry"}

        outcomes = final_outcomes(self.report)
        assert set(outcomes) == set(self.ids)
        record = self.sandbox.truth()
        for message_id in self.ids:
            assert (outcomes[message_id] == "cancelled") == (record[message_id]["state"] == "cancelled")
        assert Counter(outcomes.values()) == {"cancelled": total}

        rows = read_report(self.report)
        assert {row["try"] for row in rows} == {each["try_number"] for each in tries}
        settled_first = {
            row["message_id"] for row in rows if row["try"] == 1 and row["outcome"] == "cancelled"
        }
        assert len(settled_first) > 0
        assert not settled_first & {row["message_id"] for row in rows if row["try"] > 1}

        twice = sum(record[message_id]["stop_requests"] > 1 for message_id in self.ids)
        assert twice <= sent_twice_at_most
        summary = self.airflow.xcom(self.dag_id, self.run_id, "cancel", "summary")
        assert summary["total"] == summary["outcomes"]["cancelled"] == total
        assert summary["requests"] < total


Start = Callable[[str], Interrupted]


@pytest.fixture
def start(airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path) -> Start:
    """Start the run of a DAG with a campaign of its own."""

    def begin(dag_id: str) -> Interrupted:
        ids = sandbox.seed("clickatell", TOTAL)
        manifest = tmp_path / "manifest.csv"
        manifest.write_text("\n".join(["message_id", *ids]) + "\n")
        report = tmp_path / "report"
        run_id = airflow.trigger(dag_id, {"manifest": str(manifest), "report": str(report)})
        return Interrupted(airflow, sandbox, dag_id, run_id, ids, report)

    return begin


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
    run.check_it_was_taken_up(sent_twice_at_most=IN_FLIGHT * 3)
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
