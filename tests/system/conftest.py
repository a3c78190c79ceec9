"""One sandbox and one Airflow for all tests here: starting the two takes half a minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.interrupted import TOTAL, Interrupted, Start
from support.object_store import ObjectStore, server_of_stores, store
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN

__all__ = ["server_of_stores", "store"]

DAGS = Path(__file__).parent / "dags"
LATENCY_S = 0.05


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--latency", str(LATENCY_S)) as running:
        yield running


@pytest.fixture(scope="session")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where OpenLineage's events go, one a line."""
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    sandbox: SandboxProcess,
    server_of_stores: ObjectStore,
    lineage: Path,
) -> Iterator[AirflowStack]:
    connection = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
    environment = {
        "AIRFLOW_CONN_SANDBOX_CLICKATELL": json.dumps(connection),
        "AIRFLOW_CONN_OBJECT_STORE": server_of_stores.connection(),
        "AIRFLOW_CONN_AMAZON": server_of_stores.connection_by_amazons_names(),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(lineage), "append": True}
        ),
    }
    with AirflowStack(tmp_path_factory.mktemp("airflow"), DAGS, environment) as running:
        yield running


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
