"""A sandbox over a real socket, connections to it, and a task to run in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

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
from support.operating import FakeTask, Play, Played, Row, Seed, Told, requests_so_far


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
        operator_class: type[CancelMessageOperator] = CancelMessageOperator,
        **parameters: Any,
    ) -> Played:
        parameters.setdefault("sms_conn_id", "sms")
        operator = operator_class(task_id="cancel", **parameters)
        ti = ti or FakeTask()
        told = Told(sandbox)
        monkeypatch.setattr(CancelMessageOperator, "log", told)
        before = requests_so_far(sandbox)
        returned, error = None, None
        try:
            returned = execute(operator, {"ti": ti, **(context or {})})
        except Exception as raised:
            error = raised
        after = requests_so_far(sandbox)
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
