"""Runs one task as an Airflow worker does: a supervisor, and the task in a process that it forks.

Usage: ``python -m support.supervised DAG_FILE DAG_ID TASK_ID``; the file lies in Airflow's DAG folder. The exit status is the
task's. There is no database: in place of the API server, this answers.
"""

from __future__ import annotations

import sys
from uuid import uuid4

import httpx
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import BundleInfo, TaskInstance
from airflow.sdk.execution_time.supervisor import supervise_task

MOMENT = "2024-01-01T00:00:00Z"


def answer(request: httpx.Request) -> httpx.Response:
    """Let the task start, take what it tells, and have nothing that it asks for."""
    if request.method == "GET":
        return httpx.Response(404, json={})
    if not request.url.path.endswith("/run"):
        return httpx.Response(200, json={})
    # Airflow's own client for this, Client(dry_run=True), lacks fields that its supervisor requires (3.3.2).
    dag_run = {
        "dag_id": "any",
        "run_id": "any",
        "run_type": "manual",
        "state": "running",
        "logical_date": MOMENT,
        "data_interval_start": MOMENT,
        "data_interval_end": MOMENT,
        "run_after": MOMENT,
        "start_date": MOMENT,
        "end_date": None,
        "partition_key": None,
        "consumed_asset_events": [],
    }
    return httpx.Response(200, json={"dag_run": dag_run, "max_tries": 0, "should_retry": False})


def main(dag_file: str, dag_id: str, task_id: str) -> int:
    instance = TaskInstance(
        id=uuid4(), dag_version_id=uuid4(), dag_id=dag_id, task_id=task_id, run_id="any", try_number=1
    )
    return supervise_task(
        ti=instance,
        bundle_info=BundleInfo(name="dags-folder"),
        dag_rel_path=dag_file,
        token="",
        client=Client(base_url="http://api", token="", transport=httpx.MockTransport(answer)),
        subprocess_logs_to_stdout=True,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
