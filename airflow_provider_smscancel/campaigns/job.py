"""What one try at one campaign is, whatever is asked of the gateway: it runs the engine, follows it, and tells how it goes.

Knows no Airflow: operators, triggers and commands use it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage, Transport
from airflow_provider_smscancel.campaigns.running import BackgroundRun, run_engine
from airflow_provider_smscancel.campaigns.settlement import Case, Verb
from airflow_provider_smscancel.gateways.base import Gateway, Verdict
from airflow_provider_smscancel.transport.pacer import departures_per_second

PROGRESS_EVERY_S = 5.0
WAIT_S = 0.25
CUT_SHORT_S = 2.6
LEFT_TO_ANOTHER_S = 300.0
"""How long a run that another process seems to have taken over waits to be told so, before it ends by its own word."""


class Log(Protocol):
    """What is needed of a logger: the standard library's and Airflow's both offer it."""

    def info(self, msg: Any, /, *args: Any) -> Any: ...  # noqa: D102
    def warning(self, msg: Any, /, *args: Any) -> Any: ...  # noqa: D102
    def error(self, msg: Any, /, *args: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that it takes to talk to one gateway through one connection.

    :param gateway: builds requests and reads answers.
    :param open_transport: opens the way there, inside an event loop.
    :param limits: how fast and how long.
    """

    gateway: Gateway
    open_transport: Callable[[], AbstractAsyncContextManager[Transport]]
    limits: Limits


class _TooLateError(Exception):
    """Ends an engine that still hands over when the counts are closed: a kill came with a million messages left."""


class Job:
    """What stopping a campaign and surveying one have in common: run the engine, follow it, tell how it goes.

    :param service: which gateway, and how to get there.
    :param campaign: the messages.
    :param name: the campaign's name for logs and the summary, or ``None``.
    :param log: where to tell how it goes.
    :param started_at: when this try began, if that was before this object was made.
    """

    verb = Verb.STOP
    doing = "stopping"

    def __init__(
        self,
        service: Service,
        campaign: Campaign,
        *,
        name: str | None,
        log: Log,
        started_at: datetime | None = None,
    ) -> None:
        self.service = service
        self.campaign = campaign
        self.name = name
        self.log = log
        self.stats = RunStats()
        self.end: RunEnd | None = None
        self.summary: dict[str, Any] = {}
        """The counts, once the run is over; empty before."""
        self.on_interval: Callable[[], None] | None = None
        """Called every few seconds while the run goes on, in the thread that waits for it or in the loop. Must not raise."""
        self.todo: Sequence[int] = range(len(campaign))
        self._run: BackgroundRun | None = None
        self._engine: Engine | None = None
        self._suspending: asyncio.Task[None] | None = None
        self._told_to_stop: RunEnd | None = None
        self._settled = 0
        self._hurry = False
        self._closed = False
        self._follow_until = float("inf")
        self.started_at = started_at or datetime.now(UTC)
        self._told_at = self._begun_at = self._made_at = time.monotonic()
        self._made_at_wall = time.time()
        self.on_progress: Callable[[], None] = self._tell_progress
        """Called after each batch that is settled, by the thread that waits. Tells the log every few seconds, unless replaced."""

    # -- to be filled in ----------------------------------------------------------------------------------------------

    def _make_case(self, index: int) -> Case:
        raise NotImplementedError

    def _take(self, batch: list[SettledMessage]) -> None:
        """Take up what is settled. Called in the engine's thread."""
        raise NotImplementedError

    def said(self) -> str:
        """Say the counts so far that are not zero, in one line."""
        raise NotImplementedError

    def _meanwhile(self) -> None:
        """Do what the waiting thread has to do now and then while the engine runs in its own."""

    def _finish(self) -> None:
        """Write down what is left to write."""

    # -- the run ------------------------------------------------------------------------------------------------------

    @property
    def ends_at(self) -> float | None:
        """When it ends itself at the latest, in seconds since 1970, or ``None``."""
        if self.service.limits.deadline_s is None:
            return None
        return self._made_at_wall + self.service.limits.deadline_s

    @property
    def settled(self) -> int:
        """How many of :attr:`todo` are settled so far."""
        return self._settled

    @property
    def account_refusal(self) -> Verdict | None:
        """What the gateway said when it refused the account, or ``None``."""
        return self.stats.account_refusal

    def settled_by_this_try(self) -> dict[Outcome, int]:
        """Count by outcome what this try has settled so far; nothing where nothing is cancelled. Any thread may ask."""
        return {}

    def announce(self) -> None:
        """Say, before the first request, how many messages, at what rate, and how long it takes about."""
        limits = self.service.limits
        rate = limits.requests_per_second
        count = len(self.todo)
        self.log.info(
            "%s %d messages at %s%s: at most %g requests a second, %d at a time, about %s.",
            self.doing.capitalize(),
            count,
            self.service.gateway.label,
            f" (campaign {self.name!r})" if self.name else "",
            rate,
            limits.max_concurrency,
            duration(count / departures_per_second(rate)),
        )

    def stop(self) -> None:
        """Make no new request. May be called from a signal handler."""
        self._hurry = True
        self._told_to_stop = RunEnd.STOPPED
        self._follow_until = min(self._follow_until, time.monotonic() + CUT_SHORT_S)
        if self._run is not None:
            self._run.stop(RunEnd.STOPPED)

    def run(self) -> RunEnd:
        """Ask about every message, and wait for it.

        :return: why the run ended. Whatever it is, every message has an outcome, and what could be written is written.
        :raises Exception: what broke the run from inside, after the same.
        :raises BaseException: what was raised into the waiting thread (a time limit, a kill), after the same.
        """
        self._begun_at = self._told_at = time.monotonic()
        self._run = BackgroundRun(self._make_engine, self.service.open_transport)
        try:
            if self._told_to_stop is not None:
                self._run.stop(self._told_to_stop)
                self._follow_until = self._begun_at + CUT_SHORT_S
            self._run.start()
            end = self._follow()
            self._finish()
        except BaseException:
            self.stop()
            self._follow(ignore_errors=True)
            self._finish()
            raise
        return end

    async def run_in_loop(self) -> RunEnd:
        """Do the same as :meth:`run`, in an event loop that is running and has others to serve: they are never held up.

        Cancelling this is not the end of the try, which may go on in another process: no new request is made, what is in flight
        gets 2 s, what is settled is written, and what is open stays so. :meth:`end_for_good` then ends it all the same.

        :return: why the run ended.
        :raises Exception: what broke the run from inside, after every message had its outcome, as far as possible written.
        :raises asyncio.CancelledError: it was cancelled, and what is settled is written.
        """
        self._begun_at = self._told_at = time.monotonic()
        running: asyncio.Task[RunEnd] | None = None
        try:
            # In threads: sorting a million messages takes a moment, and so does what a store is asked for.
            self._engine = await asyncio.to_thread(self._make_engine, self._note_settled)
            self._engine.keep_open()
            running = asyncio.create_task(run_engine(self._engine, self.service.open_transport))
            # Shielded, so that what is in flight gets its time when this is cancelled.
            self.end = await asyncio.shield(running)
            if self.end is not RunEnd.COMPLETE:
                if await asyncio.to_thread(self._is_over):
                    # Whoever runs this is about to learn that it is no longer its to run. A word of the end would end it for all.
                    await asyncio.sleep(LEFT_TO_ANOTHER_S)
                await self._engine.hand_over_open(self.end)
        except asyncio.CancelledError:
            self._hurry = True
            # A task of its own: Airflow's triggerer cancels again every second until this has ended.
            self._suspending = asyncio.create_task(self._suspend(running))
            await asyncio.shield(self._suspending)
            raise
        except Exception:
            self.end = RunEnd.CRASHED
            await asyncio.to_thread(self._finish)
            raise
        await asyncio.to_thread(self._finish)
        return self.end

    async def _suspend(self, running: asyncio.Task[RunEnd] | None) -> None:
        if running is not None and self._engine is not None:
            self._engine.suspend()
            await asyncio.wait([running], timeout=CUT_SHORT_S)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await asyncio.to_thread(self.suspend)

    async def end_for_good(self) -> None:
        """After :meth:`run_in_loop` was cancelled, or not begun: nobody goes on, so write down what is open, and the summary."""
        if self._suspending is not None:
            await self._suspending
        if self.summary:
            return
        if await asyncio.to_thread(self._is_over):
            return
        if self._engine is None:  # it was cancelled before there was one: all is open
            self._engine = await asyncio.to_thread(self._make_engine, self._note_settled)
        self._resume()
        await self._engine.hand_over_open()
        self.end = RunEnd.STOPPED
        await asyncio.to_thread(self._finish)

    def _note_settled(self, batch: list[SettledMessage]) -> None:
        self._settled += len(batch)
        self.on_progress()

    def _is_over(self) -> bool:
        """Say whether somebody else goes on after all, or has ended it. May ask a store."""
        return False

    def suspend(self) -> None:
        """Write down what is settled, and end nothing: perhaps somebody else goes on."""

    def _resume(self) -> None:
        """Take up writing again."""

    def _make_engine(self, deliver: Callable[[list[SettledMessage]], None]) -> Engine:
        def take(batch: list[SettledMessage]) -> None:
            # Here, in the engine's thread: a time limit raised into the waiting one must not tear a batch apart.
            if self._closed:
                raise _TooLateError  # the last moments are for writing, not for what nobody counts any more
            self._take(batch)
            deliver(batch)

        limits = self.service.limits
        if limits.deadline_s is not None:
            # Reading what earlier tries have settled took its part of the time.
            spent = time.monotonic() - self._made_at
            limits = replace(limits, deadline_s=max(0.0, limits.deadline_s - spent))
        return Engine(
            self.service.gateway,
            self.campaign,
            self.todo,
            limits=limits,
            make_case=self._make_case,
            deliver=take,
            stats=self.stats,
            first=self.verb,
        )

    def _follow(self, *, ignore_errors: bool = False) -> RunEnd:
        """Wait for the engine to end, not much longer than a kill leaves."""
        assert self._run is not None  # noqa: S101 - called by run() only
        try:
            while time.monotonic() < self._follow_until:
                batch = self._run.next_batch(WAIT_S)
                if batch is None:
                    break
                self._note_settled(batch)
                if not self._hurry:
                    self._meanwhile()
        except Exception:
            if not ignore_errors:
                raise
        self._closed = True
        self.end = self._run.end or RunEnd.STOPPED
        return self.end

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if now - self._told_at < PROGRESS_EVERY_S:
            return
        self._told_at = now
        if self.on_interval is not None:
            self.on_interval()
        rate = self._settled / (now - self._begun_at)
        left = len(self.todo) - self._settled
        self.log.info(
            "%d of %d settled, %.0f a second; %s; %s left.",
            self._settled,
            len(self.todo),
            rate,
            self.said(),
            duration(left / rate) if rate else "unknown time",
        )

    def _summary_head(self) -> dict[str, Any]:
        return {"campaign": self.name, "gateway": self.service.gateway.name, "total": self.campaign.total}

    def _summary_tail(self) -> dict[str, Any]:
        return {
            "duplicates": self.campaign.duplicates,
            "undated": self.campaign.undated,
            "requests": self.stats.requests,
            "started_at": self.started_at.isoformat(),
            "finished_at": datetime.now(UTC).isoformat(),
        }


def duration(seconds: float) -> str:
    """Say a length of time as a person would."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
