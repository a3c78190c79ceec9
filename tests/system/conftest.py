"""Starts the runs that tests interrupt."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import TOTAL, Interrupted, Start
from support.sandbox_process import SandboxProcess


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
