"""One sandbox and one Airflow for all tests that need a real one: starting the two takes half a minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from support.airflow_stack import AirflowStack
from support.object_store import ObjectStore, server_of_stores, store
from support.sandbox_process import SandboxProcess

__all__ = ["airflow", "lineage", "sandbox", "server_of_stores", "store"]

DAGS = Path(__file__).resolve().parents[1] / "system" / "dags"
LATENCY_S = 0.05


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxProcess]:
    """Both gateways, in a process of their own."""
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
    """A real Airflow with the DAGs of tests/system, the kill switch among them."""
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
