"""Which request departs next, and when: once the run is not held, there is something to ask, a session, and a permit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_smscancel.campaigns.doubt import Doubt
    from airflow_provider_smscancel.campaigns.gate import Gate
    from airflow_provider_smscancel.campaigns.gateway_clock import GatewayClock
    from airflow_provider_smscancel.campaigns.order import Job, WorkQueue
    from airflow_provider_smscancel.campaigns.sessions import SessionKeeper
    from airflow_provider_smscancel.campaigns.settlement import Again
    from airflow_provider_smscancel.transport.pacer import Pacer


class Departures:
    """Hands out what to ask next.

    :param queue: what is to be asked.
    :param gate: is held when nothing may depart.
    :param sessions: the gateway's, where it has any.
    :param open_session: opens one.
    :param pacer: gives the permits.
    :param clock: the gateway's.
    :param doubt: how late is too late.
    :param max_concurrency: how many requests may be under way.
    :param saves: whether what is asked first can save a message: then its date counts.
    :param goes_on: says whether the run does.
    """

    def __init__(
        self,
        queue: WorkQueue,
        gate: Gate,
        sessions: SessionKeeper,
        *,
        open_session: Callable[[], Awaitable[None]],
        pacer: Pacer,
        clock: GatewayClock,
        doubt: Doubt,
        max_concurrency: int,
        saves: bool,
        goes_on: Callable[[], bool],
    ) -> None:
        self._queue = queue
        self._gate = gate
        self._sessions = sessions
        self._open_session = open_session
        self._pacer = pacer
        self._clock = clock
        self._doubt = doubt
        self._max_concurrency = max_concurrency
        self._saves = saves
        self._goes_on = goes_on
        self._turn = asyncio.Lock()
        self._idle: asyncio.Future[None] | None = None

    def at_once(self) -> Job | None:
        """Say which request to make if nothing is missing for it, and nobody waits for what is missing.

        The usual case where the gateway's latency is the limit, not the pace: no worker then has to wait for another's turn.
        """
        if (
            not self._turn.locked()
            and self._gate.is_open()
            and self._queue
            and self._sessions.ready
            and self._pacer.try_acquire()
        ):
            return self.pop()
        return None

    async def next(self) -> Job | None:
        """Wait for what is missing to make a request; once nothing is, say which. ``None``: look again.

        One worker at a time is in here, so that no more than one permit of the pacer is held, and none is wasted by
        workers that find nothing to do. The session comes before the permit: requests that had theirs and then
        waited for a session together would leave together.
        """
        async with self._turn:
            if not self._gate.is_open():
                await self._gate.wait()
            elif not self._queue:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            elif not self._sessions.ready:
                await self._open_session()
            else:
                await self._pacer.acquire()
                if self._goes_on() and self._gate.is_open() and self._sessions.ready:
                    return self.pop()
        return None

    def pop(self) -> Job | None:
        """Take what is to be asked next, whether or not it may depart."""
        if (job := self._queue.pop_undated()) is not None:
            return job
        # A question saves nobody, so none is in vain.
        return self._queue.pop(self._clock.now(), self._doubt.seconds if self._saves else 0.0, self._pace())

    def push(self, index: int, again: Again) -> None:
        """Put a message back, to be asked again in its turn."""
        self._queue.push(index, again, self._clock.now(), self._pace())
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _pace(self) -> float:
        """How many requests a second can be made, by the pace that the gateway bears and by how long it takes to answer."""
        answer_s = self._doubt.answer_s
        pace = self._pacer.rate
        return min(pace, self._max_concurrency / answer_s) if answer_s else pace
