"""An Airflow of the release that the tests run in, with the DAGs that are the same for all releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.sandbox_process import SandboxProcess
from support.versions import before

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN

DAGS = Path(__file__).resolve().parent / "dags"


@pytest.fixture(scope="session")
def any_airflow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxProcess
) -> Iterator[AirflowStack]:
    """A real Airflow: the one that all tests share, where its other DAGs can be read too."""
    if not before("3.3"):
        yield request.getfixturevalue("airflow")
        return
    if before("3"):
        from support.airflow_2_stack import Airflow2Stack as Stack
    else:
        Stack = AirflowStack  # noqa: N806 - a class
    connection = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
    environment = {"AIRFLOW_CONN_SANDBOX_CLICKATELL": json.dumps(connection)}
    with Stack(tmp_path_factory.mktemp("airflow"), DAGS, environment) as running:
        yield running
