"""What others see of a campaign in a real Airflow: DAGs downstream, OpenLineage, and whoever opens the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.airflow_stack import ENDED, AirflowStack, Row
from support.object_store import BUCKET, REGION
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

pytestmark = pytest.mark.system

REPORTS = f"s3://amazon@{BUCKET}/watched"
CONSOLE = f"https://console.aws.amazon.com/s3/buckets/{BUCKET}?region={REGION}&prefix=watched/"


def manifest_of(folder: Path, ids: list[str]) -> Path:
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["message_id", *ids]))
    return manifest


def links(airflow: AirflowStack, dag_id: str, run_id: str, map_index: int = -1) -> Row:
    where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/cancel/links?map_index={map_index}"
    found = airflow.call("GET", where)["extra_links"]
    assert isinstance(found, dict)
    return found


def events_of(airflow: AirflowStack, run_id: str) -> list[Row]:
    """The asset events of one run. Airflow 3.3.2 answers 500 while a run that they have created waits to be started."""
    found = airflow.call("GET", f"/assets/events?source_run_id={quote(run_id)}")["asset_events"]
    assert isinstance(found, list)
    return found


def heard(airflow: AirflowStack, dag_id: str, task_id: str, run_id: str) -> list[Row]:
    """What the DAG downstream has read of the events of one run; waits for it."""

    def heard_in() -> str | None:
        for run in airflow.call("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]:
            if run["state"] in ENDED:
                where = f"/dags/{dag_id}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents"
                events = airflow.call("GET", where)["asset_events"]
                if run_id in {event["source_run_id"] for event in events}:
                    return str(run["dag_run_id"])
        return None

    heard_in_run = wait_for(heard_in, f"{dag_id} has heard of {run_id}", within_s=60, every_s=0.3)
    read = airflow.xcom(dag_id, heard_in_run, task_id, "return_value")
    assert isinstance(read, list)
    return read


def lineage_of(lineage: Path, dag_id: str, run_id: str) -> dict[str, Row]:
    """The events about the task of one run, by what they tell."""
    found = {}
    for event in map(json.loads, lineage.read_text().splitlines()):
        facet = event["run"]["facets"].get("airflow", {})
        if event["job"]["name"] == f"{dag_id}.cancel" and facet.get("dagRun", {}).get("run_id") == run_id:
            found[event["eventType"]] = event
    return found


def datasets(event: Row, side: str) -> list[tuple[str, str]]:
    return [(each["namespace"], each["name"]) for each in event[side]]


@pytest.mark.parametrize("mode", ["here", "deferred"])
def test_others_hear_of_a_campaign_that_is_cancelled(
    mode: str, airflow: AirflowStack, sandbox: SandboxProcess, lineage: Path, tmp_path: Path
) -> None:
    ids = sandbox.seed("clickatell", 30)
    manifest = manifest_of(tmp_path, ids)
    dag_id = f"watched_{mode}"
    airflow.wait_for_dag("hears_of_it")
    airflow.wait_for_dag("hears_of_any")
    run_id = airflow.trigger(dag_id, {"manifest": str(manifest), "report": f"{REPORTS}/{mode}"})
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    summary = airflow.xcom(dag_id, run_id, "cancel", "summary")
    assert summary["outcomes"]["cancelled"] == 30

    # A DAG downstream
    assert heard(airflow, "hears_of_it", "read_counts", run_id) == [summary]
    assert heard(airflow, "hears_of_any", "read_counts_of_any", run_id) == [summary]
    assert [event["extra"] for event in events_of(airflow, run_id)] == [summary, summary]

    # The link
    assert links(airflow, dag_id, run_id) == {"Report": f"{CONSOLE}{mode}/"}

    # OpenLineage
    wait_for(lambda: "COMPLETE" in lineage_of(lineage, dag_id, run_id), "OpenLineage is told", within_s=30)
    told = lineage_of(lineage, dag_id, run_id)
    assert datasets(told["START"], "inputs") == [("file", str(manifest))]
    assert datasets(told["COMPLETE"], "inputs") == [("file", str(manifest))]
    assert datasets(told["COMPLETE"], "outputs") == [(f"s3://{BUCKET}", f"watched/{mode}")]
    assert not any(message_id in json.dumps(told) for message_id in ids)


def test_others_hear_nothing_of_a_campaign_that_was_too_late_but_its_report_is_found(
    airflow: AirflowStack, sandbox: SandboxProcess, lineage: Path, tmp_path: Path
) -> None:
    ids = [*sandbox.seed("clickatell", 3), *sandbox.seed("clickatell", 1, state="sent")]
    conf = {"manifest": str(manifest_of(tmp_path, ids)), "report": f"{REPORTS}/too late"}
    run_id = airflow.trigger("watched_here", conf)
    assert airflow.wait_for_run("watched_here", run_id) == "failed"
    assert events_of(airflow, run_id) == []
    assert links(airflow, "watched_here", run_id) == {"Report": f"{CONSOLE}too%20late/"}
    wait_for(
        lambda: "FAIL" in lineage_of(lineage, "watched_here", run_id), "OpenLineage is told", within_s=30
    )
    told = lineage_of(lineage, "watched_here", run_id)
    assert datasets(told["FAIL"], "outputs") == [(f"s3://{BUCKET}", "watched/too late")]
    assert not any(message_id in json.dumps(told) for message_id in ids)


def test_mapped_tasks_have_links_of_their_own(airflow: AirflowStack, sandbox: SandboxProcess) -> None:
    conf: dict[str, Any] = {"ids": [sandbox.seed("clickatell", 1), sandbox.seed("clickatell", 1)]}
    run_id = airflow.trigger("watched_mapped", {**conf, "report": f"{REPORTS}/mapped"})
    assert airflow.wait_for_run("watched_mapped", run_id) == "success"
    for map_index in (0, 1):
        assert links(airflow, "watched_mapped", run_id, map_index) == {"Report": f"{CONSOLE}mapped/"}


def test_a_report_that_no_browser_opens_has_no_link(
    airflow: AirflowStack, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    manifest = manifest_of(tmp_path, sandbox.seed("clickatell", 1))
    run_id = airflow.trigger("watched_here", {"manifest": str(manifest), "report": str(tmp_path / "report")})
    assert airflow.wait_for_run("watched_here", run_id) == "success"
    assert links(airflow, "watched_here", run_id) == {"Report": None}
