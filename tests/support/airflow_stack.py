"""A real Airflow for tests: scheduler, DAG processor, triggerer and API server, each a process, on SQLite.

::

    with AirflowStack(tmp_path, dags_folder, {"AIRFLOW_CONN_SMS": "…"}) as airflow:
        run_id = airflow.trigger("my_dag", {"ids": ["a1"]})
        airflow.wait_for_run("my_dag", run_id)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import psutil
import requests

from support.waiting import wait_for

Row = dict[str, Any]
START_WITHIN_S = 120.0
STOP_WITHIN_S = 60.0
TRIES_OF_A_CALL = 5
ENDED = frozenset({"success", "failed"})
PARTS = ("api-server", "dag-processor", "scheduler", "triggerer")
WORKER = "worker "
"""How the names of Celery's workers begin; a number follows."""
SLOTS_OF_A_WORKER = 2


class AirflowStack:
    """One Airflow in a folder of its own, as a context manager. It ends with all that it has started.

    :param home: an empty or new folder.
    :param dags_folder: where its DAGs are.
    :param environment: further variables, for instance connections.
    :param workers: how many workers of Celery's there are; the environment then names executor, broker and database.
    """

    parts: ClassVar[tuple[str, ...]] = PARTS
    api: ClassVar[str] = "/api/v2"
    """Where the REST API is."""

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        workers: int = 0,
    ) -> None:
        self.home = home
        self.workers = [f"{WORKER}{number}" for number in range(1, workers + 1)]
        port, log_port, trigger_log_port = _free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-" * 6,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            # A worker that is gone is noticed in seconds, not in minutes.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "8",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
            # And so is a triggerer.
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
            **(environment or {}),
        }
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        # Seen: after minutes without a request a kept connection looked open, and nobody answered on it.
        self._session.headers["Connection"] = "close"

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            self.prepare()
            for part in (*self.parts, *self.workers):
                self.start(part)
            wait_for(self._is_up, "Airflow is up", within_s=START_WITHIN_S, every_s=0.3)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> None:
        """Make what its parts need to start."""
        self.command("db", "migrate")

    # -- processes ----------------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command in this Airflow's home and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=START_WITHIN_S,
        )
        assert done.returncode == 0, (
            f"airflow {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
        return done.stdout

    def start(self, part: str, *, name: str | None = None) -> None:
        """Start a part, for the first time or after :meth:`kill`.

        :param name: of one that runs beside the first of its kind; by default there is one, called as the part.
        """
        environment = self.environment
        if name is not None:
            environment = environment | {"AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_ports(1)[0])}
        name = name or part
        command = _worker(part, self.home) if part.startswith(WORKER) else [part]
        with (self.home / f"{name}.log").open("ab") as log:
            self._parts[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # by which all that it starts is found again
            )

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a part and to all that it has started, and wait for its end."""
        self.signal(part, number)
        self._parts[part].wait(STOP_WITHIN_S)

    def signal(self, part: str, number: signal.Signals) -> None:
        """Send a signal to a part and to all that it has started."""
        for process in self.processes_of(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def processes_of(self, part: str) -> list[psutil.Process]:
        """Find a part's process and all that it has started."""
        session = self._parts[part].pid
        found = []
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(process.pid) == session:
                    found.append(process)
        return found

    def stop(self) -> None:
        """End every process of every session that was started: first kindly, then not."""
        self._session.close()
        # Tasks are in process groups of their own, and workers outlive a scheduler that is only told to end.
        for process in list(self._processes()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not list(self._processes()), "all have ended", within_s=STOP_WITHIN_S)
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for part in self._parts.values():
            part.wait(STOP_WITHIN_S)

    def _processes(self) -> Iterable[psutil.Process]:
        sessions = {part.pid for part in self._parts.values()}
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def _check_processes(self) -> None:
        for name, part in self._parts.items():
            if part.poll() is not None:
                log = (self.home / f"{name}.log").read_text(errors="replace")
                raise AssertionError(f"airflow {name} ended with {part.returncode}: {log[-3000:]}")

    def _is_up(self) -> bool:
        self._check_processes()
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            token = self._session.get(f"{self.url}/auth/token", timeout=5).json()["access_token"]
        except (requests.RequestException, ValueError, KeyError):
            return False
        self._session.headers["Authorization"] = f"Bearer {token}"
        return all(
            health[part]["status"] == "healthy"
            for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
        )

    # -- the REST API -------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make one call of the REST API; ``path`` begins behind :attr:`api`."""
        for again in range(TRIES_OF_A_CALL):
            answer = self._session.request(method, f"{self.url}{self.api}{path}", json=body, timeout=30)
            if again and answer.status_code == 409:
                return None  # it is so already: the first time has changed it after all
            # So it answers when SQLite is locked, as the scheduler writes.
            if not (answer.status_code == 500 and '"Database error"' in answer.text):
                break
            time.sleep(1)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def connect(self, conn_id: str, connection: Row) -> None:
        """Save a connection.

        :param connection: as an environment variable would hold it: ``conn_type``, ``host``, ``extra``, …
        """
        body = {**connection, "connection_id": conn_id, "extra": json.dumps(connection.get("extra", {}))}
        self.call("POST", "/connections", body)

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the DAG is known."""

        def known() -> bool:
            errors = self.call("GET", "/importErrors")["import_errors"]
            assert not errors, errors[0]["stack_trace"]
            # The details are read from the serialized DAG, without which no run can start; that is written a moment later.
            return self._session.get(f"{self.url}{self.api}/dags/{dag_id}/details", timeout=30).ok

        wait_for(known, f"the DAG {dag_id} is known", within_s=60, every_s=0.3)

    def trigger(self, dag_id: str, conf: Row) -> str:
        """Start a run, and return its id."""
        self.wait_for_dag(dag_id)
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Give a run another state, as a person does on its page."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", {"state": state})

    def clear(self, dag_id: str, run_id: str, *task_ids: str | tuple[str, int]) -> None:
        """Clear tasks of a run, as a person does on its page: they run again.

        :param task_ids: of a mapped one, together with its number.
        """
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [each if isinstance(each, str) else list(each) for each in task_ids],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def fetch(self, path: str) -> requests.Response:
        """Get what the UI gets; ``path`` begins with a slash."""
        answer = self._session.get(f"{self.url}{path}", timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:1000]}"
        return answer

    def task(self, dag_id: str, run_id: str, task_id: str) -> Row:
        """Read a task's instance: ``state``, ``try_number``, ``pid``, …

        :param task_id: of a mapped one, with its number behind a slash.
        """
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        assert isinstance(found, dict)
        return found

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[Row]:
        """Read all tries of a task, the first one first."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/tries")
        return sorted(found["task_instances"], key=lambda each: each["try_number"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> Any:
        """Read an XCom of a task."""
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", f"{where}?deserialize=true")["value"]

    def stored(self, dag_id: str, run_id: str, task_id: str) -> Row:
        """Read a task's state store: its values by key."""
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/state-store"
        return {row["key"]: row["value"] for row in self.call("GET", where)["task_state_store"]}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
        """Read the log of one try: a JSON object per line."""
        where = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        lines = self.call("GET", f"{where}?full_content=true")["content"]
        return "\n".join(map(json.dumps, lines))

    def wait_until_left_alone(
        self, dag_id: str, run_id: str, task_id: str, *, within_s: float = 60.0
    ) -> None:
        """Wait until the scheduler knows that the worker has left a task that waits for something.

        What it waits for must not come before that: Airflow 3.3.2 takes the worker's end for a lost task when it finds it queued
        again already. It says so in its log only.
        """
        log = self.home / "scheduler.log"
        line = f"TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={run_id},"
        wait_for(
            lambda: line in log.read_text(encoding="utf-8", errors="replace"),
            f"the worker of {task_id} is gone",
            within_s=within_s,
            every_s=0.2,
        )

    def wait_for_run(self, dag_id: str, run_id: str, *, within_s: float = 60.0) -> str:
        """Wait until a run has ended, and return its state."""

        def state() -> str | None:
            found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in ENDED else None

        return wait_for(state, f"the run {run_id} has ended", within_s=within_s, every_s=0.2)


def _worker(name: str, home: Path) -> list[str]:
    number = name.removeprefix(WORKER)
    # All of them are on one host, so each needs a name and a pid file; their logs are in the folder that all share.
    own = ["--celery-hostname", f"worker{number}@%h", "--pid", str(home / f"worker{number}.pid")]
    return ["celery", "worker", "--concurrency", str(SLOTS_OF_A_WORKER), "--skip-serve-logs", *own]


def _free_ports(count: int) -> list[int]:
    """Find ports that are free, all open at once so that none comes twice."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
