"""What the operator's tests share: a sandbox over a real socket, connections to it, and a task to run in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns import engine, settlement
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox import (
    CLICKATELL,
    CLICKATELL_API_ID,
    CLICKATELL_PASSWORD,
    CLICKATELL_TOKEN,
    CLICKATELL_USER,
    ESENDEX_LICENSE_KEY,
)
from airflow_provider_smscancel.sandbox.server import SandboxServer

Row = dict[str, Any]
Seed = Callable[..., list[str]]


class Told(list[tuple[str, str, int]]):
    """What the task's log was told: level, text, and how many requests the sandbox had answered by then."""

    def __init__(self, server: SandboxServer) -> None:
        super().__init__()
        self._server = server

    def _tell(self, level: str, msg: Any, args: tuple[Any, ...]) -> None:
        requests_by_then = sum(self._server.state.traffic.count(name) for name in ("clickatell", "esendex"))
        self.append((level, str(msg) % args if args else str(msg), requests_by_then))

    def debug(self, msg: Any, *args: Any) -> None:
        self._tell("debug", msg, args)

    def info(self, msg: Any, *args: Any) -> None:
        self._tell("info", msg, args)

    def warning(self, msg: Any, *args: Any) -> None:
        self._tell("warning", msg, args)

    def error(self, msg: Any, *args: Any) -> None:
        self._tell("error", msg, args)

    def said(self, level: str) -> str:
        return "\n".join(text for its_level, text, _ in self if its_level == level)


@dataclass
class FakeTask:
    """Stands for the running task instance."""

    try_number: int = 1
    map_index: int = -1
    dag_id: str = "kill_switch"
    task_id: str = "cancel"
    run_id: str = "run_1"
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))  # what does not survive JSON is no XCom


@dataclass
class Played:
    """What came of one try."""

    returned: Any
    error: BaseException | None
    ti: FakeTask
    told: Told
    requests: int
    operator: CancelMessageOperator

    @property
    def summary(self) -> Row:
        found = self.ti.xcoms["summary"]
        assert isinstance(found, dict)
        return found

    @property
    def outcomes(self) -> dict[str, int]:
        """The outcomes that are not zero."""
        return {name: count for name, count in self.summary["outcomes"].items() if count}

    @property
    def not_stopped(self) -> list[Row]:
        found = self.ti.xcoms["not_stopped"]
        assert isinstance(found, list)
        return found

    def failed_for_good(self) -> str:
        """Say why the task failed, having checked that Airflow does not retry it."""
        assert isinstance(self.error, AirflowFailException), self.error
        return str(self.error)

    def failed_retryably(self) -> str:
        """Say why the task failed, having checked that Airflow retries it."""
        assert isinstance(self.error, AirflowException), self.error
        assert not isinstance(self.error, AirflowFailException)
        return str(self.error)

    def refused_before_anything(self) -> str:
        """Say why the task failed, having checked that it sent nothing, and that a retry would not help."""
        assert self.requests == 0
        assert self.ti.xcoms == {}
        return self.failed_for_good()


Play = Callable[..., Played]


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(seed=11) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> SandboxServer:
    """A fresh sandbox, and a connection of every kind that leads to it."""
    server.state.latency = 0.0
    server.state.rate_limit = None
    server.state.reset()
    pace = {"requests_per_second": 2000, "max_concurrency": 16}
    http_api = {"conn_type": "clickatell", "login": CLICKATELL_USER, "password": CLICKATELL_PASSWORD}
    connections: dict[str, Row] = {
        "sms": {"conn_type": "clickatell", "password": CLICKATELL_TOKEN, "extra": pace},
        "sms_wrong_token": {"conn_type": "clickatell", "password": "wrong-token", "extra": pace},
        "sms_http": {**http_api, "extra": {**pace, "api": "http", "api_id": CLICKATELL_API_ID}},
        "sms_esendex": {"conn_type": "esendex", "password": ESENDEX_LICENSE_KEY, "extra": pace},
        "sms_down": {"conn_type": "clickatell", "password": CLICKATELL_TOKEN, "host": "http://127.0.0.1:9"},
    }
    for name, connection in connections.items():
        connection.setdefault("host", server.url)
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    return server


@pytest.fixture
def seed(sandbox: SandboxServer) -> Seed:
    """Put messages into the sandbox and return their ids."""

    def put_in(count: int = 1, *, gateway: str = CLICKATELL, **members: Any) -> list[str]:
        order = {"gateway": gateway, "count": count, **members}
        answer = requests.post(f"{sandbox.url}/_sandbox/messages", json=order, timeout=30)
        assert answer.status_code == 200, answer.text
        ids = answer.json()["ids"]
        assert len(ids) == count
        return list(ids)

    return put_in


@pytest.fixture
def play(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run one try of the operator. Whether it fails is for the test to judge."""

    def run(
        ti: FakeTask | None = None,
        *,
        execute: Callable[[CancelMessageOperator, Row], Any] = CancelMessageOperator.execute,
        context: Row | None = None,
        **parameters: Any,
    ) -> Played:
        parameters.setdefault("sms_conn_id", "sms")
        operator = CancelMessageOperator(task_id="cancel", **parameters)
        ti = ti or FakeTask()
        told = Told(sandbox)
        monkeypatch.setattr(CancelMessageOperator, "log", told)
        before = sum(sandbox.state.traffic.count(name) for name in ("clickatell", "esendex"))
        returned, error = None, None
        try:
            returned = execute(operator, {"ti": ti, **(context or {})})
        except Exception as raised:
            error = raised
        after = sum(sandbox.state.traffic.count(name) for name in ("clickatell", "esendex"))
        return Played(returned, error, ti, told, after - before, operator)

    return run


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is in doubt be asked again at once."""
    monkeypatch.setattr(settlement, "backoff_seconds", lambda *_: 0.0)
    monkeypatch.setattr(settlement, "STATUS_PAUSE_S", 0.0)
    monkeypatch.setattr(engine, "SECOND_ROUND_AFTER_S", 0.0)


@pytest.fixture
def in_doubt(seed: Seed, no_pauses: None) -> Seed:
    """Put messages in that answer to a stop as if they were still pending: nobody can tell what became of them."""
    return lambda count=1: seed(count, state="sent", code="002")


def truth(sandbox: SandboxServer) -> dict[str, Row]:
    """Read the sandbox's own record, by id."""
    lines = requests.get(f"{sandbox.url}/_sandbox/messages", timeout=30).text.splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def states(sandbox: SandboxServer, ids: Sequence[str]) -> Counter[str]:
    """Count where messages are by the sandbox's own record."""
    record = truth(sandbox)
    return Counter(record[message_id]["state"] for message_id in ids)


def read_report(folder: Path | str) -> list[Row]:
    """Read every line of every part of a report, in the order of (try, finished_at)."""
    parts = sorted(Path(folder).glob("part-*.jsonl"))
    rows = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    return sorted(rows, key=lambda row: (row["try"], row["finished_at"]))


def final_outcomes(folder: Path | str) -> dict[str, str]:
    """Say what became of each message by the report: the last line counts."""
    return {row["message_id"]: row["outcome"] for row in read_report(folder)}
