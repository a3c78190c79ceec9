"""The pace of a run: an even flow under the configured rate that backs off when the gateway says so."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WINDOW_MARGIN_S = 0.017
"""How much longer than a second the window is in which no more than a second's worth departs. It absorbs what
makes
arrivals closer together than departures were: the network's jitter and a stall of the loop between a permit
and its use. It costs 1.7 % of the rate."""

START_SLACK = 0.03
"""How much wider the first second's departures are apart: their requests arrive late, as they open the
connections."""

BURST_S = 0.005
"""How far back, in seconds, departures may be that are made up for at once: timers wake late by a millisecond
or two."""

CATCH_UP_S = 0.250
"""How far back, in seconds, departures may be that are made up for at all, after the loop was held up."""

CATCH_UP_PACE = 2.0
"""How much faster than the rate departures are while they make up. The window holds all the same."""

DEFAULT_PAUSE_S = 1.0
"""How long to pause when the gateway asks to slow down and does not say for how long, in seconds."""

LOWERING = 0.6
"""What is left of the rate after the gateway asked to slow down."""

LOWERING_INTERVAL_S = 1.0
"""Within so many seconds, further requests to slow down are answers to what departed before: they count as
one."""

LOWEST_SHARE = 0.02
"""The rate never falls below this share of the configured one, so that it can find its way back."""

RECOVERY_PER_S = 0.03
"""The share of the configured rate that is added for each second without a request to slow down."""


def departures_per_second(rate: float) -> float:
    """Say how many requests really depart in a second at a configured rate."""
    per_window, window_s = _window(rate)
    return per_window / window_s


def _window(rate: float) -> tuple[int, float]:
    """Say how many requests may depart within how many seconds."""
    per_window = math.ceil(rate)
    return per_window, per_window / rate + WINDOW_MARGIN_S


class Pacer:
    """Says when each request of a run may depart.

    In no sliding second (for a rate with a fraction: ``ceil(rate)`` in the time they take) do more requests
    depart than the rate allows, also after the loop was held up. About 98 % of the rate are used.

    One instance serves one run, within one event loop. Waiters are served in the order in which they came; a
    cancelled one takes no departure away from the others.

    :param rate: requests per second, from 0.1 to 10,000.
    :param clock: returns seconds that never go back.
    :param sleep: waits for so many seconds.
    """

    def __init__(
        self,
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError("The rate must be a number above 0")
        self._configured = float(rate)
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        per_window, self._window = _window(rate)
        self._spacing = self._window / per_window
        self._departed: deque[float] = deque(maxlen=per_window)
        self._ramp_left = per_window
        self._due = -math.inf  # when the next departure is due by the even flow
        self._last_slot = -math.inf
        self._lowered_share = 1.0
        self._lowered_at = -math.inf
        self.paused_until = -math.inf
        """Until when, by the clock, nothing departs."""
        self.throttled = 0
        """How many times the gateway asked to slow down."""

    @property
    def configured_rate(self) -> float:
        """The rate that is never exceeded, in requests per second."""
        return self._configured

    @property
    def rate(self) -> float:
        """The current rate in requests per second: for a while after :meth:`slow_down`, a lower one."""
        return self._configured * self._share()

    async def acquire(self) -> None:
        """Wait until one request may depart. Send it at once afterwards."""
        async with self._turn:
            # Asked again after each wait: a pause may have come meanwhile, and sleeps end when they like.
            while (wait := self._depart_or_wait()) > 0:
                await self._sleep(wait)

    def try_acquire(self) -> bool:
        """Do as :meth:`acquire` does if that takes no waiting and nobody waits already. Returns whether it did."""
        return not self._turn.locked() and self._depart_or_wait() <= 0

    def slow_down(self, pause_s: float | None = None) -> None:
        """Heed the gateway's wish to slow down: pause the run, then go on at a lower rate that slowly rises.

        :param pause_s: how long to pause in seconds, as the gateway said, or ``None`` for a second. A pause
            that is already longer is kept.
        """
        now = self._clock()
        self.throttled += 1
        if now >= max(self._lowered_at + LOWERING_INTERVAL_S, self.paused_until):
            self._lowered_share = max(LOWEST_SHARE, self._share() * LOWERING)
            self._lowered_at = now
            self._ramp_left = self._departed.maxlen or 1
        pause = DEFAULT_PAUSE_S if pause_s is None else max(0.0, pause_s)
        self.paused_until = max(self.paused_until, now + pause)

    def _share(self) -> float:
        if self._lowered_share >= 1.0:
            return 1.0
        # It rises from the end of the pause: nothing is learnt while nothing departs.
        quiet = self._clock() - max(self._lowered_at, self.paused_until)
        return min(1.0, self._lowered_share + RECOVERY_PER_S * max(0.0, quiet))

    def _depart_or_wait(self) -> float:
        """Note a departure if one is due, or return the seconds until one may be."""
        now = self._clock()
        departed = self._departed
        if not departed:
            # The flow begins with the first request: there is nothing to make up for yet.
            self._due = now
        spacing = self._spacing / self._share()
        slot = max(
            self._due,
            self._last_slot + spacing / CATCH_UP_PACE,
            now - BURST_S,
            self.paused_until,
        )
        if len(departed) == departed.maxlen:
            slot = max(slot, departed[0] + self._window)
        if slot > now:
            return slot - now
        if self._ramp_left:
            self._ramp_left -= 1
            spacing *= 1 + START_SLACK
        self._due = max(self._due, now - CATCH_UP_S, self.paused_until) + spacing
        self._last_slot = slot
        departed.append(now)
        return 0.0
