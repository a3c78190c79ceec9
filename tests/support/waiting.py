"""Waiting for a condition, and never for the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T | None], what: str, *, within_s: float = 30.0, every_s: float = 0.1
) -> T:
    """Ask until the answer is true.

    :param condition: what to ask.
    :param what: what is waited for: the error says that it did not come.
    :param within_s: seconds.
    :param every_s: seconds between two questions.
    :return: the first answer that is true.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"{what}: not within {within_s:g} s; the last answer was {answer!r}")
        time.sleep(every_s)
