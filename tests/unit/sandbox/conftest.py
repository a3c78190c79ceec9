from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_smscancel.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(seed=7) as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.state.reset()
    server.state.latency = 0.0
    server.state.rate_limit = None
    return server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.fixture
def seed(sandbox: SandboxServer, session: requests.Session) -> Callable[..., str]:
    """Put one message in and return its id."""

    def put_in(gateway: str, **members: Any) -> str:
        answer = session.post(sandbox.url + "/_sandbox/messages", json=[{"gateway": gateway, **members}])
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ids"][0])

    return put_in


@pytest.fixture
def truth(sandbox: SandboxServer, session: requests.Session) -> Callable[[], dict[str, Row]]:
    """Return the sandbox's own record, by id."""

    def read() -> dict[str, Row]:
        lines = session.get(sandbox.url + "/_sandbox/messages").text.splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}

    return read


@pytest.fixture
def move_clock(sandbox: SandboxServer, session: requests.Session) -> Callable[[timedelta], datetime]:
    """Move the sandbox's clock to some time from now and return the new time."""

    def move(step: timedelta) -> datetime:
        moment = datetime.fromtimestamp(sandbox.state.now(), UTC) + step
        answer = session.post(sandbox.url + "/_sandbox/clock", json={"now": moment.isoformat()})
        assert answer.status_code == 200, answer.text
        return moment

    return move
