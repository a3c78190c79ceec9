"""What a run in a real Airflow leaves behind: its logs, its database, its report, and what its pages are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from torture.needles import Needle, Search

pytestmark = pytest.mark.system
DAG = "finish"
NUMBER = "27836194072"
"""Of no other test, so that it can be looked for in all that this Airflow has written."""


def test_a_run_leaves_neither_the_token_nor_a_number_behind(
    airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    ids = sandbox.seed("clickatell", 3)
    manifest, report = tmp_path / "manifest.csv", tmp_path / "report"
    manifest.write_text("\n".join(["message_id", *ids, f"+{NUMBER}"]) + "\n")
    run_id = airflow.trigger(DAG, {"manifest": str(manifest), "report": str(report)})
    assert airflow.wait_for_run(DAG, run_id) == "failed"  # for the number, which is no id

    number, campaign = Needle("the number", NUMBER, (NUMBER[2:],)), Needle("the campaign", run_id)
    of_the_run = Search([Needle("the token", CLICKATELL_TOKEN), number], [campaign])
    of_the_run.tree(airflow.home / "logs" / f"dag_id={DAG}" / f"run_id={run_id}")
    of_the_run.tree(report)
    run = f"/dags/{DAG}/dagRuns/{run_id}"
    xcoms = f"{run}/taskInstances/cancel/xcomEntries"
    for path in (run, f"{run}/taskInstances/cancel", xcoms, f"{xcoms}/summary", f"{xcoms}/not_stopped"):
        of_the_run.text(path, json.dumps(airflow.call("GET", path)))
    assert of_the_run.hits == []
    found_in = " ".join(of_the_run.marked["the campaign"])
    assert "attempt=1.log" in found_in
    assert "taskInstances/cancel" in found_in

    everywhere = Search([number], [campaign])
    everywhere.tree(airflow.home)
    assert everywhere.hits == []
    tables = {place.partition("table ")[2] for place in everywhere.marked["the campaign"]}
    assert {"xcom", "rendered_task_instance_fields", "task_instance"} <= tables
