"""A budget of repeats that all messages of a run share, so that an outage does not multiply its requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.settlement import Again

AT_LEAST = 100.0
"""How many repeats may be made in a row without an answer, in a slow run too."""
SAVED_UP_S = 10.0
"""How many seconds' worth of requests can be saved up at the most."""
SHARE_BY_TIME = 0.1
"""The share of the rate that repeats may take when nothing is answered: a gateway that fails nine times out of ten still gets
every message through in the end."""


class Timer(Protocol):
    """What an event loop gives for a call to come."""

    def cancel(self) -> None: ...  # noqa: D102


class Timers(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float: ...  # noqa: D102
    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...  # noqa: D102


class RetryBudget:
    """Every answer pays for one repeat of a request that had none; without answers repeats trickle.

    When up to half of the requests fail, nobody notices it. When more do, repeats would soon be most of the traffic of a
    gateway that is struggling already: here they wait, in the order in which they came.

    :param requests_per_second: the pace of the run.
    :param timers: seconds, monotonic, and what calls back.
    :param let_go: takes a repeat whose turn it is.
    """

    def __init__(
        self, requests_per_second: float, timers: Timers, let_go: Callable[[int, Again], None]
    ) -> None:
        self._timers = timers
        self._let_go = let_go
        self._per_second = requests_per_second * SHARE_BY_TIME
        self._most = max(AT_LEAST, requests_per_second * SAVED_UP_S)
        self._left = self._most
        self._seen_at = timers.time()
        self._waiting: deque[tuple[int, Again]] = deque()
        self._timer: Timer | None = None

    def earn(self) -> None:
        """Note an answer."""
        if self._left < self._most:
            self._left += 1.0
            self._pay()

    def repeat(self, index: int, again: Again) -> None:
        """Let a repeat go now, or once it is paid for."""
        self._waiting.append((index, again))
        self._pay()

    def close(self) -> None:
        """Let nothing go any more: the run is over."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()  # or a loop that lives on would keep the whole run in memory until then

    def _pay(self) -> None:
        now = self._timers.time()
        self._left = min(self._most, self._left + (now - self._seen_at) * self._per_second)
        self._seen_at = now
        while self._waiting and self._left >= 1.0:
            self._left -= 1.0
            self._let_go(*self._waiting.popleft())
        if self._waiting and self._timer is None:
            self._timer = self._timers.call_later((1.0 - self._left) / self._per_second, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._pay()
