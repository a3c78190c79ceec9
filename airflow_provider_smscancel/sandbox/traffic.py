"""Counts what each gateway was asked, and refuses what goes beyond the rate limit."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.sandbox import GATEWAYS

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 1.0


class SlidingSecond:
    """Moments of the last second, and the most that any second ever held."""

    def __init__(self) -> None:
        self._moments: deque[float] = deque()
        self.peak = 0

    def count(self, now: float) -> int:
        """Return how many moments lie less than a second before ``now``."""
        moments = self._moments
        while moments and moments[0] <= now - WINDOW_S:
            moments.popleft()
        return len(moments)

    def add(self, now: float) -> None:
        """Note a moment."""
        self._moments.append(now)
        self.peak = max(self.peak, self.count(now))


class Traffic:
    """What arrived at each gateway.

    :param monotonic: returns seconds that only ever grow.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._arrived = {gateway: SlidingSecond() for gateway in GATEWAYS}
        self._admitted = {gateway: SlidingSecond() for gateway in GATEWAYS}
        self._outcomes: dict[str, Counter[tuple[str, str]]] = {gateway: Counter() for gateway in GATEWAYS}

    def admit(self, gateway: str, limit: int | None) -> bool:
        """Note an arrival, and say whether it is within the limit; refused ones do not count."""
        now = self._monotonic()
        self._arrived[gateway].add(now)
        admitted = self._admitted[gateway]
        if limit is not None and admitted.count(now) >= limit:
            return False
        admitted.add(now)
        return True

    def record(self, gateway: str, operation: str, outcome: str) -> None:
        """Note how a call ended: an HTTP status, or the kind of fault that befell it."""
        self._outcomes[gateway][operation, outcome] += 1

    def count(self, gateway: str, operation: str | None = None) -> int:
        """Return how many calls ended, of one operation or of all."""
        return sum(
            number
            for (name, _), number in self._outcomes[gateway].items()
            if operation is None or name == operation
        )

    def summary(self) -> dict[str, Any]:
        """Return per gateway the number of calls, the busiest sliding second, the outcomes per operation."""
        answer: dict[str, Any] = {}
        for gateway in GATEWAYS:
            calls: dict[str, dict[str, int]] = {}
            for (operation, outcome), number in sorted(self._outcomes[gateway].items()):
                calls.setdefault(operation, {})[outcome] = number
            answer[gateway] = {
                "total": self.count(gateway),
                "max_per_second": self._arrived[gateway].peak,
                "calls": calls,
            }
        return answer
