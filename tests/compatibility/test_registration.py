"""Airflow knows the provider, its hooks and its connection types, by its own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_smscancel import __version__
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES, PACKAGE

pytestmark = pytest.mark.system


def said_by_airflow(*arguments: str) -> Any:
    """Run a command of Airflow's, and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments, "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    return json.loads(
        next(line for line in done.stdout.splitlines() if line.startswith("[{"))
    )  # others are logs


def test_the_provider_is_registered() -> None:
    (found,) = said_by_airflow("providers", "get", PACKAGE)
    assert found["Version"] == __version__


def test_its_hooks_can_be_loaded_and_have_their_connection_types() -> None:
    found = {row["connection_type"]: row for row in said_by_airflow("providers", "hooks")}
    for name, kind in CONNECTION_TYPES.items():
        # Releases differ in how much of its path they print.
        assert kind.hook_class.endswith(found[name]["class"])
        assert found[name]["hook_name"] == kind.label
        assert found[name]["package_name"] == PACKAGE
