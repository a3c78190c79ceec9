"""The example DAG for large campaigns in a real Airflow, where several workers run side by side."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.airflow_stack import AirflowStack, Row
from support.operating import read_report
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system

DAG_ID = "cancel_large_campaign"
TOTAL = 400
ACCOUNTS_RATE = 100
A_SHARDS_RATE = 25


class Large:
    """A large campaign that is under way."""

    def __init__(self, airflow: AirflowStack, sandbox: SandboxProcess, folder: Path) -> None:
        self.airflow, self.sandbox, self.folder = airflow, sandbox, folder
        sandbox.reset()
        self.ids = sandbox.seed("clickatell", TOTAL)
        manifest = folder / "campaign.csv"
        manifest.write_text("\n".join(["message_id", *self.ids]) + "\n")
        conf = {"connection": "sandbox_clickatell", "manifest": str(manifest), "folder": str(folder)}
        self.run_id = airflow.trigger(DAG_ID, conf)
        self.where = f"/dags/{DAG_ID}/dagRuns/{self.run_id}/taskInstances"

    def shards(self) -> list[Row]:
        found = self.airflow.call("GET", f"{self.where}/cancel/listMapped")["task_instances"]
        return sorted(found, key=lambda each: each["map_index"])

    def summary(self) -> Row:
        found = self.airflow.xcom(DAG_ID, self.run_id, "merge", "summary")
        return dict(found if isinstance(found, dict) else json.loads(found))

    def states(self) -> Counter[str]:
        record = self.sandbox.truth()
        return Counter(record[message_id]["state"] for message_id in self.ids)


def test_shards_run_side_by_side_at_the_accounts_rate_and_a_shard_that_is_killed_is_taken_up(
    airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    large = Large(airflow, sandbox, tmp_path)
    wait_for(lambda: large.states()["cancelled"] >= TOTAL // 2, "half of it is stopped", within_s=60)
    running = [shard for shard in large.shards() if shard["state"] == "running"]
    assert len(running) >= 2
    assert {shard["rendered_map_index"] for shard in running} <= {f"shard {n} of 4" for n in (1, 2, 3, 4)}
    killed = running[0]
    psutil.Process(int(killed["pid"])).kill()

    assert airflow.wait_for_run(DAG_ID, large.run_id, within_s=90) == "success"
    assert large.states() == {"cancelled": TOTAL}
    summary = large.summary()
    assert (summary["shards"], summary["total"], summary["outcomes"]["cancelled"]) == (4, TOTAL, TOTAL)
    assert {row["message_id"] for row in read_report(tmp_path / "report")} == set(large.ids)
    tries = {shard["map_index"]: shard["try_number"] for shard in large.shards()}
    assert tries == {0: 1, 1: 1, 2: 1, 3: 1} | {killed["map_index"]: 2}
    peak = sandbox.busiest_second("clickatell")
    assert A_SHARDS_RATE < peak <= ACCOUNTS_RATE
    record = sandbox.truth()
    twice = sum(record[message_id]["stop_requests"] > 1 for message_id in large.ids)
    assert twice <= A_SHARDS_RATE + 16

    # A shard that is cleared and ends before it has a summary: the summary of its earlier try must not count for it.
    (tmp_path / "shards").rename(tmp_path / "gone")
    airflow.call(
        "POST",
        f"/dags/{DAG_ID}/clearTaskInstances",
        {
            "dry_run": False,
            "dag_run_id": large.run_id,
            "task_ids": [["cancel", 0]],
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        },
    )
    assert airflow.wait_for_run(DAG_ID, large.run_id, within_s=60) == "failed"
    summary = large.summary()
    assert summary["shards"] == 3
    assert summary["total"] < TOTAL
