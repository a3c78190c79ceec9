"""`airflow smscancel …` and `python -m airflow_provider_smscancel …` find a connection that was saved in the UI."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.airflow_stack import AirflowStack
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN

pytestmark = pytest.mark.system

SAVED = "saved_in_the_ui"
WAYS = {"airflow": ("airflow", "smscancel"), "python": ("airflow_provider_smscancel",)}


@pytest.fixture(scope="module")
def saved(airflow: AirflowStack, sandbox: SandboxProcess) -> Iterator[str]:
    """A connection as the form saves it: through the API, with null for every field that was left blank."""
    extra = {"api": "rest", "api_id": None, "response_format": None, "requests_per_second": 1000}
    extra |= {"max_concurrency": None, "timeout": None}
    body = {
        "connection_id": SAVED,
        "conn_type": "clickatell",
        "host": sandbox.url,
        "port": None,
        "password": CLICKATELL_TOKEN,
        "extra": json.dumps(extra),
    }
    airflow.call("POST", "/connections", body)
    yield SAVED
    airflow.call("DELETE", f"/connections/{SAVED}")


def run(airflow: AirflowStack, way: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *WAYS[way], *arguments],
        env=airflow.environment,
        cwd=airflow.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_campaign_is_stopped_and_json_is_all_that_is_on_standard_output(
    airflow: AirflowStack, sandbox: SandboxProcess, saved: str, tmp_path: Path, way: str
) -> None:
    ids = sandbox.seed("clickatell", 50)
    late = sandbox.seed("clickatell", 1, state="sent")
    (tmp_path / "list.csv").write_text("\n".join(["message_id", *ids, *late]) + "\n")
    done = run(
        *(airflow, way, "cancel", "--conn-id", saved, "--manifest", str(tmp_path / "list.csv")),
        *("--report", str(tmp_path / "report"), "--yes", "--verbose", "--output", "json"),
    )
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {name: count for name, count in found["outcomes"].items() if count} == {
        "cancelled": 50,
        "too_late": 1,
    }
    assert [row["message_id"] for row in found["not_stopped"]] == late
    truth = sandbox.truth()
    assert {truth[message_id]["state"] for message_id in ids} == {"cancelled"}
    assert CLICKATELL_TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_nobody_saved_is_said_in_one_line(airflow: AirflowStack, way: str) -> None:
    done = run(airflow, way, "check", "--conn-id", "nobody_saved_it")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The conn_id `nobody_saved_it` isn't defined in this Airflow")
    assert done.stderr.count("\n") == 1
