"""One try at one campaign, from the list of messages to the summary.

Knows no Airflow: operators, triggers and commands use it.
"""

from __future__ import annotations

import asyncio
import random
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.ending import Ending
from airflow_provider_smscancel.campaigns.engine import (
    Engine,
    Limits,
    RunEnd,
    RunStats,
    SettledMessage,
    Transport,
)
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.order import too_late_by_forecast
from airflow_provider_smscancel.campaigns.outcome import DONE, CancelResult, Outcome
from airflow_provider_smscancel.campaigns.running import BackgroundRun, run_engine
from airflow_provider_smscancel.campaigns.settlement import Case, StatusCase, StopCase, Verb
from airflow_provider_smscancel.campaigns.tally import Tally
from airflow_provider_smscancel.gateways.base import Gateway, MessageState, MessageStatus, Verdict
from airflow_provider_smscancel.transport.pacer import departures_per_second

PROGRESS_EVERY_S = 5.0
WAIT_S = 0.25
LAST_PART_S = 60.0
"""How long a store that refuses is given once all messages are settled."""
LAST_PART_IN_A_HURRY_S = 1.2
"""The same after a kill: together with the engine's grace it stays below the 4 s that a supervisor leaves."""
CUT_SHORT_S = 2.6
AFTER_DEADLINE_S = 6.0
"""The same after the deadline: what sets one kills 10 s later, of which the engine's grace takes 2."""
WRONG_ACCOUNT_AFTER = 200
IDS_PER_LINE = 100


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
            running = asyncio.create_task(run_engine(self._engine, self.service.open_transport))
            # Shielded, so that what is in flight gets its time when this is cancelled.
            self.end = await asyncio.shield(running)
        except asyncio.CancelledError:
            self._hurry = True
            if running is not None and self._engine is not None:
                self._engine.suspend()
                await asyncio.wait([running], timeout=CUT_SHORT_S)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            await asyncio.to_thread(self.suspend)
            raise
        except Exception:
            self.end = RunEnd.CRASHED
            await asyncio.to_thread(self._finish)
            raise
        await asyncio.to_thread(self._finish)
        return self.end

    async def end_for_good(self) -> None:
        """After :meth:`run_in_loop` was cancelled: nobody goes on, so write down also what is open, and the summary."""
        if self._engine is None or self.summary:
            return
        self._resume()
        await self._engine.hand_over_open()
        self.end = RunEnd.STOPPED
        await asyncio.to_thread(self._finish)

    def _note_settled(self, batch: list[SettledMessage]) -> None:
        self._settled += len(batch)
        self.on_progress()

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


class CancelJob(Job):
    """Stops a campaign.

    :param journal: where outcomes are written and earlier ones read, or ``None``.
    :param report: what to call the report's place in the summary.
    :param try_number: which try this is, from 1.
    :param resumed: whether this try began in another process already, which may have sent requests that left no trace.
    :param checkpoint: where what is settled is kept for a later try; ``None`` where there is a journal, or no store.
    :param take_result: is given what became of each message, in the engine's thread.
    """

    def __init__(
        self,
        service: Service,
        campaign: Campaign,
        *,
        name: str | None,
        log: Log,
        journal: Journal | None,
        report: str | None,
        try_number: int,
        resumed: bool = False,
        started_at: datetime | None = None,
        checkpoint: Checkpoint | None = None,
        take_result: Callable[[CancelResult], None] | None = None,
    ) -> None:
        super().__init__(service, campaign, name=name, log=log, started_at=started_at)
        self.tally = Tally()
        self.journal = journal
        self.checkpoint = checkpoint
        self.report = report
        self.try_number = try_number
        self._first_try = try_number <= 1 and not resumed
        self._take_result = take_result
        self._first_answers: Counter[Outcome] = Counter()
        self._warned = False

    def prepare(self) -> None:
        """Take up what earlier tries have settled, and open the report. Sends nothing."""
        if self.journal is None:
            self.log.warning(
                "No record of single messages is kept: neither report_path (--report) nor [smscancel] report_folder is set. "
                "%s, and every id that is not stopped is logged at the end.",
                "A retry asks for every message again (which is safe)"
                if self.checkpoint is None
                else "A retry knows from Airflow's task state store what is settled",
            )
        self._take_over()
        if self.journal is not None:
            self.journal.start(self.campaign.fingerprint(self.service.gateway.base_url))
        self._count_rejected()

    def _take_over(self) -> None:
        record = self.journal or self.checkpoint
        carried = {} if record is None else record.carried_over(self.campaign)
        if not carried:
            return
        self._first_try = False
        self.todo = array("q", (index for index in self.todo if index not in carried))
        for index, found in carried.items():
            self.tally.add_carried(self._result(index, found.outcome, found.gateway_status))
            if self.journal is None and found.outcome not in DONE:
                # The earlier try may have been killed before it could log this id, and nothing else names it.
                self.tally.not_done.add(self.campaign.ids[index], self.campaign.ids[index])
        self.log.info(
            "%d of %d messages were settled by an earlier try: %d are taken up.",
            len(carried),
            len(self.campaign),
            len(self.todo),
        )

    def announce(self) -> None:
        """Say, before the first request, how many, how fast, how long, and what can not be saved at that rate."""
        super().announce()
        rate = self.service.limits.requests_per_second
        pace = departures_per_second(rate)
        late = too_late_by_forecast(self.campaign.due, self.todo, now=time.time(), requests_per_second=pace)
        if late:
            self.log.warning(
                "About %d will leave before their turn; raise `requests_per_second` (now %g) if the gateway allows more.",
                late,
                rate,
            )
        early_s = self.service.gateway.sends_early_s
        at_worst = too_late_by_forecast(
            self.campaign.due, self.todo, now=time.time() + early_s, requests_per_second=pace
        )
        if at_worst > late:
            self.log.warning(
                "%s may send up to %g minutes early: at worst, %d will leave before their turn.",
                self.service.gateway.label,
                early_s / 60,
                at_worst,
            )

    def settled_by_this_try(self) -> dict[Outcome, int]:
        """Count by outcome what this try has settled so far, without what earlier ones have."""
        return {outcome: self.tally.counts[outcome] - self.tally.carried[outcome] for outcome in Outcome}

    def _result(self, index: int, outcome: Outcome, code: str | None) -> CancelResult:
        return CancelResult(
            self.campaign.ids[index], outcome, code, "settled by an earlier try", 0, self.started_at
        )

    def _count_rejected(self) -> None:
        rows = rejected_results(self.campaign)
        for row in rows:
            self.tally.add(row)
        for row in rows[:10]:
            self.log.warning("Rejected: %s", row.detail)
        if len(rows) > 10:
            where = "the report names" if self.journal is not None else "the end of this log names"
            self.log.warning("Rejected: %d more rows; %s them all.", len(rows) - 10, where)
        if self.journal is not None and rows:
            self.journal.add(rows)

    def _make_case(self, index: int) -> Case:
        return StopCase(random.random, first_try=self._first_try)

    def _take(self, batch: list[SettledMessage]) -> None:
        results = [cancel_result(self.campaign, message) for message in batch]
        for result in results:
            self.tally.add(result)
            if self._take_result is not None:
                self._take_result(result)
        self._suspect_wrong_account(results)
        if self.journal is not None:
            self.journal.add(results)
        if self.checkpoint is not None:
            for message, result in zip(batch, results, strict=True):
                self.checkpoint.note(message.index, result.outcome, result.gateway_status)

    def _meanwhile(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save_now_and_then()

    def _suspect_wrong_account(self, results: list[CancelResult]) -> None:
        if self._warned:
            return
        room = WRONG_ACCOUNT_AFTER - self._first_answers.total()
        self._first_answers.update(result.outcome for result in results[:room])
        if self._first_answers.total() >= WRONG_ACCOUNT_AFTER:
            self._warned = True
            if self._first_answers[Outcome.NOT_FOUND] == WRONG_ACCOUNT_AFTER:
                self.log.error(
                    "The first %d messages are all unknown to %s: wrong account or gateway? Check the connection and the list.",
                    WRONG_ACCOUNT_AFTER,
                    self.service.gateway.label,
                )

    def said(self) -> str:
        """Say the outcomes so far that are not zero, in one line."""
        return self.tally.said()

    def _finish(self) -> None:
        unheard = self._count_unheard()
        self.summary = (
            self._summary_head()
            | {"outcomes": self.tally.outcomes(), "report": self.report, "report_error": None}
            | self._summary_tail()
        )
        if self.journal is not None:
            self.journal.close(self.summary, within_s=self._last_part_s())
            self.summary["report_error"] = self.journal.error or unheard
        if self.checkpoint is not None:
            self.checkpoint.save(within_s=self._last_part_s())
        if self.journal is None or self.journal.error:
            self._log_not_done()
        self.log.info("Done: %s of %d messages.", self.tally.said(), self.campaign.total)

    def suspend(self) -> None:
        """Write down what is settled, and end nothing: perhaps somebody else goes on."""
        if self.journal is not None:
            self.journal.close(None, within_s=LAST_PART_IN_A_HURRY_S)

    def _resume(self) -> None:
        if self.journal is not None:
            self.journal.start()

    @property
    def ending(self) -> Ending:
        """How it ended, and what is to be told of it, once the run is over."""
        refusal = self.account_refusal
        return Ending(
            end=self.end or RunEnd.STOPPED,
            summary=self.summary,
            not_stopped=self.tally.not_stopped(),
            account=None if refusal is None else {"code": refusal.code, "detail": refusal.detail},
            incomplete=self.campaign.incomplete,
        )

    def _count_unheard(self) -> str | None:
        """Count what a run that was cut short had no time to hand over, so that no message is missing in the counts."""
        unheard = self.campaign.total - self.tally.total
        if unheard > 0:
            self.tally.counts[Outcome.UNCONFIRMED] += unheard
            self.log.error(
                "There was no time to write down what became of %d messages: a retry asks for them again.",
                unheard,
            )
            return f"there was no time to write down what became of {unheard} messages"
        return None

    def _last_part_s(self) -> float:
        if self._hurry:
            return LAST_PART_IN_A_HURRY_S
        if self.service.limits.deadline_s is None:
            return LAST_PART_S
        left = self._made_at + self.service.limits.deadline_s + AFTER_DEADLINE_S - time.monotonic()
        return min(LAST_PART_S, max(LAST_PART_IN_A_HURRY_S, left))

    def _log_not_done(self) -> None:
        ids = self.tally.not_done
        for start in range(0, len(ids), IDS_PER_LINE):
            self.log.error("Not stopped: %s", " ".join(ids[start : start + IDS_PER_LINE]))


class SurveyJob(Job):
    """Asks where each message of a campaign is, and stops none.

    :param take_status: is given where each message is, in the engine's thread.
    """

    verb = Verb.STATUS
    doing = "asking about"

    def __init__(
        self,
        service: Service,
        campaign: Campaign,
        *,
        name: str | None,
        log: Log,
        take_status: Callable[[MessageStatus], None] | None = None,
    ) -> None:
        super().__init__(service, campaign, name=name, log=log)
        self._states: Counter[MessageState] = Counter()
        self._take_status = take_status

    def _make_case(self, index: int) -> Case:
        return StatusCase(random.random)

    def _take(self, batch: list[SettledMessage]) -> None:
        for message in batch:
            state = MessageState(message.settled.outcome)
            self._states[state] += 1
            if self._take_status is not None:
                message_id = self.campaign.ids[message.index]
                self._take_status(
                    MessageStatus(message_id, state, message.settled.code, message.settled.detail)
                )

    def said(self) -> str:
        """Say the states so far that are not zero, in one line."""
        counts = [(state.value, self._states[state]) for state in MessageState]
        return ", ".join(f"{name} {count}" for name, count in counts if count) or "nothing"

    def _finish(self) -> None:
        for row in self.campaign.rejected[:10]:
            self.log.warning("Rejected: %s: %s", row.position, row.reason)
        # Whoever is not known to be anywhere: the rejected rows, and what a run that was cut short did not hand over.
        self._states[MessageState.UNKNOWN] += self.campaign.total - self._states.total()
        self.summary = (
            self._summary_head()
            | {
                "dry_run": True,
                "states": {state.value: self._states[state] for state in MessageState},
                "report": None,
                "report_error": None,
            }
            | self._summary_tail()
        )
        self.log.info("Dry run, nothing was cancelled: %s of %d messages.", self.said(), self.campaign.total)


def cancel_result(campaign: Campaign, message: SettledMessage) -> CancelResult:
    """Say what became of one message in the terms of the public result."""
    return CancelResult(
        campaign.ids[message.index],
        Outcome(message.settled.outcome),
        message.settled.code,
        message.settled.detail,
        message.attempts,
        datetime.fromtimestamp(message.finished_at, UTC),
    )


def rejected_results(campaign: Campaign) -> list[CancelResult]:
    """Say the same of the rows that name no message: they are known by their position, their text is not repeated."""
    now = datetime.now(UTC)
    return [
        CancelResult(row.position, Outcome.REJECTED, None, f"{row.position}: {row.reason}", 0, now)
        for row in campaign.rejected
    ]


def duration(seconds: float) -> str:
    """Say a length of time as a person would."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
