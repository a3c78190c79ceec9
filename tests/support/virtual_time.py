"""An event loop whose clock jumps to the next timer whenever there is nothing to do: an hour takes milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

A_MOMENT_S = 1e-7
"""What one turn of the loop takes. Without it, a wait shorter than the clock's resolution would repeat for ever."""


class NothingWillHappen(AssertionError):
    """Everything waits, and no timer is set: in real time, the test would hang."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found:
            return found
        if timeout is None:
            raise NothingWillHappen
        self.loop.now += max(timeout, A_MOMENT_S)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s. Only for what needs no network and no threads: their time is not this loop's."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)
