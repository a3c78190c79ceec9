from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from support import sandboxed

from airflow_provider_smscancel.campaigns import engine, outage

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    with sandboxed.running_server() as server:
        yield server


@pytest.fixture
def world(sandbox_server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[sandboxed.World]:
    # The engine's own waits, shortened: what is asked and what is believed do not depend on them.
    for module in (engine, outage):
        monkeypatch.setattr(module, "FIRST_PROBE_AFTER_S", 0.02)
    monkeypatch.setattr("random.random", lambda: 0.04)
    with sandboxed.fresh_world(sandbox_server, monkeypatch) as fresh:
        yield fresh
