"""A real Airflow 2 for tests: scheduler, triggerer and webserver, each a process, on SQLite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import requests

from support.airflow_stack import AirflowStack, Row

USER, PASSWORD = "admin", "only-for-tests"


class Airflow2Stack(AirflowStack):
    """As :class:`AirflowStack`. Its tasks run one after the other: Airflow 2 allows no more on SQLite."""

    parts: ClassVar[tuple[str, ...]] = ("webserver", "scheduler", "triggerer")
    api: ClassVar[str] = "/api/v1"

    def __init__(self, home: Path, dags_folder: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(home, dags_folder, environment)
        self.environment |= {
            "AIRFLOW__CORE__EXECUTOR": "SequentialExecutor",
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": self.environment["AIRFLOW__API__PORT"],
            "AIRFLOW__WEBSERVER__WORKERS": "1",
            "AIRFLOW__WEBSERVER__SECRET_KEY": "only-for-tests",
        }

    def prepare(self) -> None:
        """Make the tables, and an account."""
        super().prepare()
        names = ["--firstname", "A", "--lastname", "B", "--email", "admin@example.com"]
        self.command("users", "create", "--role", "Admin", "--username", USER, "--password", PASSWORD, *names)
        self._session.auth = (USER, PASSWORD)

    def _is_up(self) -> bool:
        self._check_processes()
        try:
            health = self._session.get(f"{self.url}{self.api}/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "triggerer"))

    def log_in(self) -> None:
        """Log in to the UI, as a browser does, unless that was done before."""
        answer = self.fetch("/login/")
        if not answer.url.endswith("/login/"):
            return
        page = answer.text
        found = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', page)
        assert found, page[:2000]
        form = {"username": USER, "password": PASSWORD, "csrf_token": found[1]}
        assert self._session.post(f"{self.url}/login/", data=form, timeout=30).ok

    def trigger(self, dag_id: str, conf: Row) -> str:
        """Start a run, and return its id."""
        self.wait_for_dag(dag_id)
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", {"conf": conf})["dag_run_id"])
