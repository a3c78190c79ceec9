"""The example DAG for large campaigns in a real Airflow, where several workers run side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.large_campaign import DAG_ID, IN_FLIGHT, Large, kill_task
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.system

TOTAL = 400
ACCOUNTS_RATE = 100
A_SHARDS_RATE = 25


def test_shards_run_side_by_side_at_the_accounts_rate_and_a_shard_that_is_killed_is_taken_up(
    airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    large = Large(airflow, sandbox, tmp_path, TOTAL)
    running = large.wait_for_a_half()
    assert len(running) >= 2
    assert {shard["rendered_map_index"] for shard in running} <= {f"shard {n} of 4" for n in (1, 2, 3, 4)}
    kill_task(running[0])

    assert large.check_it_is_stopped(rate=ACCOUNTS_RATE) == {1: 3, 2: 1}
    assert large.shards()[running[0]["map_index"]]["try_number"] == 2
    assert large.asked_twice() <= A_SHARDS_RATE + IN_FLIGHT

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
