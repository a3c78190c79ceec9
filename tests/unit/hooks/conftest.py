from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from support import sandboxed

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    with sandboxed.running_server() as server:
        yield server


@pytest.fixture
def world(sandbox_server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[sandboxed.World]:
    with sandboxed.fresh_world(sandbox_server, monkeypatch) as fresh:
        yield fresh


@pytest.fixture
def neighbour() -> Iterator[Callable[..., sandboxed.Neighbour]]:
    """Starts something that is no sandbox, given what it answers."""
    with contextlib.ExitStack() as stack:

        def start(
            answer: Callable[[str], sandboxed.Said | None] | sandboxed.Said,
        ) -> sandboxed.Neighbour:
            say = (lambda _: answer) if isinstance(answer, sandboxed.Said) else answer
            started = sandboxed.Neighbour(say)
            stack.callback(started.stop)
            return started

        yield start
