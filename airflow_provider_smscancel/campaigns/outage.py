"""What a run does while its gateway is away: it waits, and finds out with one request now and then whether it is back."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_smscancel.campaigns.health import FIRST_PROBE_AFTER_S, PROBE_EVERY_S, Health

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from airflow_provider_smscancel.campaigns.gate import Gate

log = logging.getLogger(__name__)

DOWN = "down"
"""Why the gate is held."""


class Outage:
    """Holds the run when the gateway does not answer, and gives up when that lasts too long.

    :param label: the gateway's name, for people.
    :param health: is told of every answer, and of every request without one.
    :param gate: is held meanwhile.
    :param now: seconds, monotonic.
    :param spawn: starts a task of the run.
    :param probe: makes one request; says whether there was one to make.
    :param goes_on: says whether the run does.
    :param is_too_late: says whether the last message has left.
    :param give_up: ends the run; is told for how many seconds there was no answer.
    """

    def __init__(
        self,
        label: str,
        health: Health,
        gate: Gate,
        *,
        now: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        probe: Callable[[], Awaitable[bool]],
        goes_on: Callable[[], bool],
        is_too_late: Callable[[], bool],
        give_up: Callable[[float], None],
    ) -> None:
        self._label = label
        self._health = health
        self._gate = gate
        self._now = now
        self._spawn = spawn
        self._probe = probe
        self._goes_on = goes_on
        self._is_too_late = is_too_late
        self._give_up = give_up
        self.prober: asyncio.Task[None] | None = None

    def note_failure(self, why: str, open_messages: int, stumbled_over: int | None = None) -> None:
        """Note a request without an answer.

        :param why: for the log.
        :param open_messages: how many messages are not settled.
        :param stumbled_over: the message that it may be owed to.
        """
        if self._health.bad(self._now(), open_messages, stumbled_over):
            log.warning(
                "%s does not answer: paused. One request every %g s will try whether it is back. The last one: %s",
                self._label,
                PROBE_EVERY_S,
                why,
            )
            self._gate.hold(DOWN)
            # One that still sleeps since the last outage goes on: two would send twice as often.
            if self.prober is None or self.prober.done():
                self.prober = self._spawn(self._probe_until_back())

    def is_over(self) -> None:
        """Let the run go on: the gateway has answered."""
        log.info("%s answers again: going on.", self._label)
        self._gate.release(DOWN)

    async def _probe_until_back(self) -> None:
        wait_s = FIRST_PROBE_AFTER_S
        probed = False
        while self._health.down and self._goes_on():
            await asyncio.sleep(max(0.0, min(wait_s, self._health.patience_left(self._now()))))
            wait_s = PROBE_EVERY_S
            if not self._health.down:
                return
            if self._health.patience_left(self._now()) <= 0 or (probed and self._is_too_late()):
                self._give_up(self._health.down_for(self._now()))
                return
            probed = await self._probe() or probed
