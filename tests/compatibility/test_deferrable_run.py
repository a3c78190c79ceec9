"""A campaign is stopped by a DAG's run that hands it over: a real scheduler, a real worker, a real triggerer."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.operating import final_outcomes
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.system


def test_the_triggerer_stops_a_campaign(
    any_airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    ids = sandbox.seed("clickatell", 20)
    run_id = any_airflow.trigger("by_the_triggerer", {"ids": ids, "report": str(tmp_path)})
    assert any_airflow.wait_for_run("by_the_triggerer", run_id, within_s=120) == "success"
    record = sandbox.truth()
    assert {record[message_id]["state"] for message_id in ids} == {"cancelled"}
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert list(tmp_path.glob("input-*")), "it was handed over"
