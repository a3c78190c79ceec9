"""Campaigns in a real Airflow that tests interrupt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.airflow_stack import AirflowStack
from support.operating import Row, final_outcomes, read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

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

    def wait_for_a_third(self) -> None:
        """Wait until a third is stopped."""
        wait_for(
            lambda: self.stopped() >= len(self.ids) // 3,
            "a third of the campaign is stopped",
            within_s=60 + len(self.ids) / 5,
        )

    def wait_until_in_the_middle(self) -> psutil.Process:
        """Wait until a third is stopped, and return the task's process."""
        self.wait_for_a_third()
        return psutil.Process(int(self.task()["pid"]))

    def stored(self) -> Row:
        """Say what Airflow's task state store has of the task."""
        return self.airflow.stored(self.dag_id, self.run_id, "cancel")

    def wait_until_in_the_middle_and_stored(self) -> psutil.Process:
        """Wait until also the task state store has what is settled, and return the task's process."""
        process = self.wait_until_in_the_middle()
        wait_for(lambda: len(self.stored()) > 1, "what is settled is stored", within_s=10)
        return process

    def check_it_was_taken_up_without_a_report(self, *, sent_twice_at_most: int) -> None:
        """Check that the last try did what was left, and that nothing is stored any more."""
        assert self.airflow.wait_for_run(self.dag_id, self.run_id) == "success"
        states = [each["state"] for each in self.tries()]
        assert len(states) >= 2
        assert states[-1] == "success"
        record = self.sandbox.truth()
        assert Counter(record[message_id]["state"] for message_id in self.ids) == {"cancelled": TOTAL}
        twice = sum(record[message_id]["stop_requests"] > 1 for message_id in self.ids)
        assert twice <= sent_twice_at_most
        summary = self.airflow.xcom(self.dag_id, self.run_id, "cancel", "summary")
        assert summary["report"] is None
        assert summary["total"] == summary["outcomes"]["cancelled"] == TOTAL
        assert summary["requests"] < TOTAL
        assert self.stored() == {}
        assert not self.report.exists()

    def check_it_was_taken_up(
        self, *, sent_twice_at_most: int, total: int = TOTAL, all_wrote: bool = True
    ) -> None:
        """Check that the first try failed with a readable report, and that the retry did what was left.

        :param all_wrote: whether every try must have written; a time limit may end one before it can ask.
        """
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
        wrote, numbers = {row["try"] for row in rows}, {each["try_number"] for each in tries}
        assert wrote == numbers if all_wrote else len(wrote) >= 2 and wrote <= numbers
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
