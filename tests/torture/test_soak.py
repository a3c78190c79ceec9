"""A process that lives long holds on to nothing, and what would be held on to would be noticed."""

from __future__ import annotations

import mmap
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from torture.plan import TINY
from torture.soak import Holding, attack, held_by, judged

RUNS = 5


def _mapped(size: int) -> mmap.mmap:
    """Take memory from the system, and not from what the process has freed before."""
    taken = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(b"\1" * size)
    return taken


def test_iterators_that_are_left_early_and_triggers_that_are_ended_leave_nothing_behind() -> None:
    rows = attack(TINY)
    assert [row.found for row in rows if not row.held] == []
    assert len(rows) == 2


@pytest.fixture
def leaks() -> Iterator[dict[str, Callable[[], object]]]:
    """What a run may leave behind, once each."""
    ended = threading.Event()
    with ExitStack() as stack:

        def leave_thread() -> None:
            thread = threading.Thread(target=ended.wait)
            thread.start()
            stack.callback(thread.join)

        def leave_file() -> None:
            stack.callback(os.close, os.open(__file__, os.O_RDONLY))

        yield {
            "threads": leave_thread,
            "files": leave_file,
            "sockets": lambda: stack.enter_context(socket.create_server(("127.0.0.1", 0))),
            "memory": lambda: stack.callback(len, _mapped(4 << 20)),
        }
        ended.set()


@pytest.mark.parametrize("kind", ["threads", "files", "sockets", "memory"])
def test_one_left_behind_by_each_run_is_noticed(kind: str, leaks: dict[str, Callable[[], object]]) -> None:
    here = psutil.Process()
    before = held_by(here)
    for _ in range(RUNS):
        leaks[kind]()
    row = judged("leaking", before, held_by(here), RUNS)
    assert not row.held
    assert kind in row.found.partition("GROWN")[2]


def test_objects_left_behind_by_each_run_are_noticed() -> None:
    before = Holding(threads=1, files=1, sockets=0, memory=1, objects=1_000)
    after = Holding(threads=1, files=1, sockets=0, memory=1, objects=1_000 + 3 * RUNS)
    assert after.grown_since(before, RUNS) == ["objects"]
    assert before.grown_since(before, RUNS) == []
