"""The engine: asks a gateway about every message of a campaign until each is settled.

Concurrently, the most urgent first, and never faster than the configured pace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.account import AccountCheck
from airflow_provider_smscancel.campaigns.departures import Departures
from airflow_provider_smscancel.campaigns.doubt import Doubt
from airflow_provider_smscancel.campaigns.gate import Gate
from airflow_provider_smscancel.campaigns.gateway_clock import CLOCK_TOLERANCE_S, GatewayClock
from airflow_provider_smscancel.campaigns.health import (
    FIRST_PROBE_AFTER_S,
    Health,
    is_an_answer,
    may_be_about_one_message,
)
from airflow_provider_smscancel.campaigns.ledger import Ledger
from airflow_provider_smscancel.campaigns.order import Job, WorkQueue
from airflow_provider_smscancel.campaigns.outage import Outage
from airflow_provider_smscancel.campaigns.retry_budget import RetryBudget
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage, Transport
from airflow_provider_smscancel.campaigns.sessions import AccountRefused, SessionKeeper
from airflow_provider_smscancel.campaigns.settlement import Again, Case, Settled, Verb
from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.pacer import Pacer
from airflow_provider_smscancel.transport.policy import retry_after_seconds
from airflow_provider_smscancel.transport.redaction import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from airflow_provider_smscancel.campaigns.messages import Campaign

log = logging.getLogger(__name__)

GRACE_S = 2.0
"""How long what is in flight may still take once the run is told to end."""
SECOND_ROUND_AFTER_S = 1.0
PROBER = -1
"""The slot of the one who probes a gateway that is down; workers count from 0."""


class Engine:
    """One run over one campaign. Everything but the constructor runs in one event loop.

    :param gateway: which gateway.
    :param campaign: the messages.
    :param todo: which of them, by index.
    :param limits: how fast and how long.
    :param make_case: makes the case of a message that is not settled by its first answer.
    :param deliver: takes what is settled, in batches; called in the loop's thread, must not block.
    :param first: what to ask about each message first.
    :param wall: this machine's clock, seconds since 1970.
    """

    def __init__(
        self,
        gateway: Gateway,
        campaign: Campaign,
        todo: Sequence[int],
        *,
        limits: Limits,
        make_case: Callable[[int], Case],
        deliver: Callable[[list[SettledMessage]], None],
        stats: RunStats,
        first: Verb = Verb.STOP,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._campaign = campaign
        self._limits = limits
        self._first = first
        self._wall = wall
        self._queue = WorkQueue(campaign.due, todo, first)
        self._doubt = Doubt(gateway.sends_early_s + CLOCK_TOLERANCE_S)
        self._ledger = Ledger(len(campaign), todo, make_case=make_case, deliver=deliver, wall=wall)
        self._health = Health(limits.give_up_after_s)
        self._gate = Gate()
        self._in_flight: dict[int, Job] = {}
        self._parked: list[int] = []
        self._second_round = False
        self._session_losses: Counter[int] = Counter()
        self._background: set[asyncio.Task[None]] = set()
        self._probe_query = False
        self.stats = stats
        self._end: RunEnd | None = None
        self._suspended = False
        self._alarm: asyncio.TimerHandle | None = None
        self._crash: BaseException | None = None
        self._finished = asyncio.Event()

    # -- the run ----------------------------------------------------------------------------------------

    async def run(self, transport: Transport) -> RunEnd:
        """Ask until every message is settled or the run is ended, then hand over what is left as open.

        :param transport: how requests get there.
        :return: why it ended.
        :raises Exception: what broke inside, after everything was handed over: a defect of this package.
        """
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._clock = GatewayClock(self._wall)
        self._budget = RetryBudget(self._limits.requests_per_second, self._loop, self._push_later)
        self._pacer = Pacer(self._limits.requests_per_second, clock=self._loop.time, sleep=asyncio.sleep)
        self._sessions = SessionKeeper(self._gateway, self._paced_send, self._loop.time)
        self._departures = self._make_departures()
        self._outage = self._watch_for_outages()
        self._account = self._watch_the_account()
        if self._limits.deadline_s is not None:
            if self._limits.deadline_s <= 0:
                self.end(RunEnd.DEADLINE)
            self._alarm = self._loop.call_later(self._limits.deadline_s, self.end, RunEnd.DEADLINE)
        if self._end is not None or not self._ledger.open:
            return await self._conclude(self._end or RunEnd.COMPLETE)
        self._spawn(self._ledger.flush_now_and_then())
        count = min(self._limits.max_concurrency, self._ledger.open)
        workers = [self._spawn(self._work(slot)) for slot in range(count)]
        try:
            await self._finished.wait()
            grace_ends = self._loop.time() + GRACE_S
            if self._end is not RunEnd.COMPLETE and not self._suspended:
                await self._give_up_never_asked()
            await self._let_finish(workers, grace_ends - self._loop.time())
        finally:
            if self._alarm is not None:
                self._alarm.cancel()  # or a loop that lives on would keep a million messages in memory until then
            self._budget.close()
            for task in self._background:
                task.cancel()
            self._ledger.flush()  # also when whoever owns the loop cuts this short: what is settled must not be lost
        await asyncio.gather(*self._background, return_exceptions=True)
        end = await self._conclude(self._end or RunEnd.COMPLETE)
        if self._crash is not None:
            raise self._crash
        return end

    def end(self, why: RunEnd) -> None:
        """Make no new request. What is in flight gets :data:`GRACE_S` seconds. The first call counts."""
        if self._end is None:
            self._end = why
            self._finished.set()

    def keep_open(self) -> None:
        """However the run ends, keep what is open to yourself, until :meth:`hand_over_open`."""
        self._suspended = True

    def suspend(self) -> None:
        """End, but keep what is open to yourself: the run goes on elsewhere, or :meth:`hand_over_open` ends it for good."""
        self.keep_open()
        self.end(RunEnd.STOPPED)

    async def hand_over_open(self, end: RunEnd = RunEnd.STOPPED) -> None:
        """Hand over as open what is not settled: what was kept back, or all when the run could not even begin."""
        self._suspended = False
        await self._conclude(end)

    async def _give_up_never_asked(self) -> None:
        """Hand over what no request was made about while what is in flight may still finish: after a kill, seconds count."""
        flying = {job.index for job in self._in_flight.values()}
        await self._ledger.give_up_never_asked(self._why(self._end or RunEnd.STOPPED), flying)

    async def _let_finish(self, workers: list[asyncio.Task[None]], within_s: float) -> None:
        flying = [workers[slot] for slot in self._in_flight if slot >= 0]
        if self._outage.prober is not None and PROBER in self._in_flight:
            flying.append(self._outage.prober)
        if flying:
            await asyncio.wait(flying, timeout=max(0.0, within_s))

    async def _conclude(self, end: RunEnd) -> RunEnd:
        in_flight, self._in_flight = self._in_flight, {}
        self._ledger.interrupted(in_flight.values())
        if self._ledger.open and not self._suspended:
            await self._ledger.give_up(self._why(end))
        self._ledger.flush()
        return end

    def _why(self, end: RunEnd) -> str:
        if end is RunEnd.GATEWAY_DOWN:
            return "the gateway gave no answer and the run gave up waiting"
        if end is RunEnd.ACCOUNT_REFUSED:
            return "the gateway refused the account"
        if end is RunEnd.CRASHED:
            return "the run broke down"
        if end is RunEnd.DEADLINE:
            return "the run's time was up"
        return "the run was stopped"

    # -- one worker: one request at a time --------------------------------------------------------------

    async def _work(self, slot: int) -> None:
        while self._end is None:
            job = self._departures.at_once() or await self._departures.next()
            if job is not None:
                await self._exchange(slot, job)

    def _goes_on(self) -> bool:
        return self._end is None

    def _make_departures(self) -> Departures:
        return Departures(
            self._queue,
            self._gate,
            self._sessions,
            open_session=self._open_session,
            pacer=self._pacer,
            clock=self._clock,
            doubt=self._doubt,
            max_concurrency=self._limits.max_concurrency,
            saves=self._first is Verb.STOP,
            goes_on=self._goes_on,
        )

    async def _open_session(self) -> None:
        """Open a session. No message was asked for yet, so a failure costs none its allowance."""
        try:
            await self._sessions.open()
        except AccountRefused as error:
            self._good_answer()
            self._doubt_account(error.verdict)
        except TransportFailure as failure:
            log.debug("No session: %s", failure)
            self._note_failure(str(failure))
            if not self._health.down:
                await asyncio.sleep(FIRST_PROBE_AFTER_S)

    async def _exchange(self, slot: int, job: Job) -> None:
        """Make one request about one message and note what follows.

        :param slot: names the worker, or is :data:`PROBER`.
        """
        session = self._sessions.use()
        message_id = self._campaign.ids[job.index]
        id_type = self._campaign.id_type
        if job.verb is Verb.STOP:
            request = self._gateway.stop(message_id, id_type, session)
        else:
            full = job.full and self._gateway.has_full_status
            request = self._gateway.status(message_id, id_type, session, full=full)
        # Taken out only when all is noted: what a defect interrupts may have been acted upon.
        self._in_flight[slot] = job
        self.stats.requests += 1
        begun = self._loop.time()
        try:
            answer = await self._transport.send(request)
        except TransportFailure as error:
            self._note_finished(begun)
            self._on_failure(job, error)
        else:
            took_s = self._note_finished(begun)
            self._doubt.note_way(took_s)
            if job.verb is Verb.STOP:
                verdict = self._gateway.read_stop(message_id, id_type, answer)
            else:
                verdict = self._gateway.read_status(message_id, id_type, answer)
            # A page of somebody else's may bear any date.
            if is_an_answer(verdict) and self._clock.note(answer, begun + took_s):
                self._queue.clock_changed(self._clock.now())
            if session is not None:
                if session in verdict.detail:  # told in place of an id: the report must not hold it
                    verdict = replace(verdict, detail=verdict.detail.replace(session, MASK))
                if verdict.finding is not Finding.SESSION:
                    self._sessions.works()
            self._on_verdict(job, verdict, session)
        del self._in_flight[slot]

    async def _paced_send(self, request: Request) -> Answer:
        """Send what is about no message: it counts against the pace all the same."""
        await self._pacer.acquire()
        if self._end is not None:
            raise asyncio.CancelledError  # the run is over, and with it the task that wants this
        return await self._counted_send(request)

    async def _counted_send(self, request: Request) -> Answer:
        self.stats.requests += 1
        begun = self._loop.time()
        try:
            return await self._transport.send(request)
        finally:
            self._note_finished(begun)

    def _note_finished(self, begun: float) -> float:
        """Count a request that is over. Returns how many seconds it took."""
        took_s = self._loop.time() - begun
        self.stats.finished += 1
        self.stats.waited_s += took_s
        return took_s

    # -- what an answer, or none, leads to --------------------------------------------------------------

    def _on_verdict(self, job: Job, verdict: Verdict, session: str | None) -> None:
        finding = verdict.finding
        if finding is Finding.CANCELLED and job.verb is Verb.STOP and not self._ledger.has_case(job.index):
            # What happens a million times: settled by the first answer.
            self._good_answer()
            self._settle(job.index, self._ledger.usual(verdict), 1)
            return
        if finding is Finding.SENT or finding is Finding.NOT_STOPPED:
            # "Not stopped" is a hint only, but one that comes in time: which statuses say it for sure is asked much later.
            self._doubt.note_gone(self._campaign.due[job.index] - self._clock.now())
        if finding is Finding.BUSY or verdict.http_status == 503:
            self._slow_down(verdict)
        if finding is Finding.ACCOUNT and not (job.full and self._gateway.has_full_status):
            self._good_answer()
            self._ledger.case(job.index).after_account_refusal(job.verb, verdict)
            self._account.hold(job)
            self._doubt_account(verdict)
            return
        if finding is Finding.SESSION:
            self._good_answer()
            verdict = self._on_session(job, verdict, session) or verdict
            if verdict.finding is Finding.SESSION:
                return
        if not is_an_answer(verdict):
            step = self._ledger.case(job.index).after_answer(job.verb, verdict, self._loop.time())
            self._note_failure(verdict.detail, job.index if may_be_about_one_message(verdict) else None)
            self._follow(job, step, failed=True)
        else:
            if finding is not Finding.BUSY:
                self._good_answer()
            self._follow(job, self._ledger.case(job.index).after_answer(job.verb, verdict, self._loop.time()))

    def _on_failure(self, job: Job, failure: TransportFailure) -> None:
        step = self._ledger.case(job.index).after_failure(job.verb, failure)
        self._note_failure(str(failure))
        self._follow(job, step, failed=True)

    def _on_session(self, job: Job, verdict: Verdict, session: str | None) -> Verdict | None:
        """Ask once more with a new session; a second expiry in a row is a fault like another."""
        self._sessions.expired(session)
        self._session_losses[job.index] += 1
        if self._session_losses[job.index] > 1:
            self._session_losses[job.index] = 0
            return Verdict(Finding.FAULT, verdict.code, verdict.detail, None, verdict.http_status)
        self._push_later(job.index, Again(job.verb, 0.0, job.full))
        return None

    def _follow(self, job: Job, step: Settled | Again, *, failed: bool = False) -> None:
        if isinstance(step, Settled) and not step.in_doubt:
            self._settle(job.index, step, self._ledger.case(job.index).attempts)
        elif self._health.down:
            # The gateway is down: that is not this message's fault, and the probing decides when to give up.
            self._push_later(job.index, self._ledger.case(job.index).while_down(job.verb))
        elif isinstance(step, Again):
            self.stats.repeats += 1
            repeat = self._budget.repeat if failed else self._push_later
            repeat(job.index, step)
        elif self._second_round:
            self._settle(job.index, step, self._ledger.case(job.index).attempts)
        else:
            self._park(job.index)

    def _park(self, index: int) -> None:
        self._parked.append(index)
        self._begin_second_round_if_due()

    def _settle(self, index: int, settled: Settled, attempts: int) -> None:
        self._ledger.settle(index, settled, attempts)
        if not self._ledger.open:
            self.end(RunEnd.COMPLETE)
        elif self._parked:
            self._begin_second_round_if_due()

    def _begin_second_round_if_due(self) -> None:
        """Once nothing but doubt is left, give all of that another round: what was wrong may have passed."""
        if self._second_round or self._end is not None or len(self._parked) < self._ledger.open:
            return
        self._second_round = True
        parked, self._parked = self._parked, []
        log.info("Asking again about %d messages that are still in doubt.", len(parked))
        for index in parked:
            again = self._ledger.case(index).again()
            self._push_later(index, Again(again.verb, SECOND_ROUND_AFTER_S, again.full))

    def _push_later(self, index: int, again: Again) -> None:
        if again.delay_s > 0:
            self._loop.call_later(again.delay_s, self._departures.push, index, again)
        else:
            self._departures.push(index, again)

    # -- the gateway's health ---------------------------------------------------------------------------

    def _good_answer(self) -> None:
        self._budget.earn()
        if self._health.good():
            self._outage.is_over()

    def _note_failure(self, why: str, stumbled_over: int | None = None) -> None:
        self._outage.note_failure(why, self._ledger.open, stumbled_over)

    def _watch_for_outages(self) -> Outage:
        return Outage(
            self._gateway.label,
            self._health,
            self._gate,
            now=self._loop.time,
            spawn=self._spawn,
            probe=self._probe_once,
            goes_on=self._goes_on,
            is_too_late=lambda: min(self._clock.now(), self._wall()) > self._queue.last_due,
            give_up=self._give_up_on_gateway,
        )

    def _give_up_on_gateway(self, down_for_s: float) -> None:
        log.error(
            "%s has given no answer for %.0f s: giving up. %d messages are open.",
            self._gateway.label,
            down_for_s,
            self._ledger.open,
        )
        self.end(RunEnd.GATEWAY_DOWN)

    async def _probe_once(self) -> bool:
        """Make one request, paced like any other. Return whether there was one to make."""
        if not self._sessions.ready:
            await self._open_session()
            if not self._sessions.ready:
                return True
        await self._pacer.acquire()
        if self._end is not None:
            return False
        # Stops and status queries take turns: answers to the one may be lost while the other works.
        self._probe_query = not self._probe_query
        job = (self._queue.pop_query() if self._probe_query else None) or self._departures.pop()
        if job is None:
            return False
        await self._exchange(PROBER, job)
        return True

    def _slow_down(self, verdict: Verdict) -> None:
        self.stats.throttled += 1
        patience_s = self._limits.give_up_after_s - self._health.busy_for(self._loop.time())
        if patience_s < 0 and self._health.still_busy():
            log.error(
                "%s has only asked to slow down: giving up. %d messages are open.",
                self._gateway.label,
                self._ledger.open,
            )
            self.end(RunEnd.GATEWAY_DOWN)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        pause_s = retry_after_seconds(verdict.retry_after, now=now)
        # No longer than the run would wait for the gateway anyway: then it is asked a few times more, and given up.
        self._pacer.slow_down(pause_s if pause_s is None else max(0.0, min(pause_s, patience_s)))

    # -- the account ------------------------------------------------------------------------------------

    def _watch_the_account(self) -> AccountCheck:
        return AccountCheck(
            self._gateway,
            self._gate,
            send=self._paced_send,
            spawn=self._spawn,
            refused=self._on_account_refused,
            again=lambda job: self._push_later(job.index, Again(job.verb, FIRST_PROBE_AFTER_S, job.full)),
            leave=self._leave_open,
        )

    def _doubt_account(self, refusal: Verdict) -> None:
        if self._end is None:
            self._account.begin(refusal)

    def _on_account_refused(self, verdict: Verdict) -> None:
        self.stats.account_refusal = verdict
        self.end(RunEnd.ACCOUNT_REFUSED)

    def _leave_open(self, index: int, why: str) -> None:
        case = self._ledger.case(index)
        self._settle(index, case.give_up(why), case.attempts)

    # -- small parts ------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._note_done)
        return task

    def _note_done(self, task: asyncio.Task[None]) -> None:
        """End the run when one of its tasks breaks, so that no message is lost or waited for in vain."""
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._crash = self._crash or error
            self.end(RunEnd.CRASHED)
