"""The engine: asks a gateway about every message of a campaign until each is settled.

Concurrently, the most urgent first, and never faster than the configured pace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.account import ask_about_account
from airflow_provider_smscancel.campaigns.doubt import Doubt
from airflow_provider_smscancel.campaigns.gateway_clock import CLOCK_TOLERANCE_S, GatewayClock
from airflow_provider_smscancel.campaigns.health import (
    FIRST_PROBE_AFTER_S,
    PROBE_EVERY_S,
    Health,
    is_an_answer,
    may_be_about_one_message,
)
from airflow_provider_smscancel.campaigns.order import Job, WorkQueue
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.retry_budget import RetryBudget
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage, Transport
from airflow_provider_smscancel.campaigns.sessions import AccountRefused, SessionKeeper
from airflow_provider_smscancel.campaigns.settlement import Again, Case, Settled, Verb
from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.pacer import Pacer
from airflow_provider_smscancel.transport.policy import retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from airflow_provider_smscancel.campaigns.messages import Campaign

log = logging.getLogger(__name__)

GIVE_UP_AT_ONCE = 500
"""How many messages are handed over in one go: requests may still be in flight, and the loop may have others to serve."""
GRACE_S = 2.0
"""How long what is in flight may still take once the run is told to end."""
SECOND_ROUND_AFTER_S = 1.0
STRAY_REFUSALS = 5
"""How often one message may meet a refusal of an account that is in order, before it is left open."""
FLUSH_EVERY_S = 0.05
FLUSH_AT = 500
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
        self._make_case = make_case
        self._deliver = deliver
        self._first = first
        self._wall = wall
        self._queue = WorkQueue(campaign.due, todo, first)
        self._doubt = Doubt(gateway.sends_early_s + CLOCK_TOLERANCE_S)
        self._todo = todo
        self._open = len(todo)
        self._settled = bytearray(len(campaign))
        self._cases: dict[int, Case] = {}
        self._health = Health(limits.give_up_after_s)
        self._in_flight: dict[int, Job] = {}
        self._parked: list[int] = []
        self._second_round = False
        self._held: list[Job] = []
        self._strays: Counter[int] = Counter()
        self._session_losses: Counter[int] = Counter()
        self._turn = asyncio.Lock()
        self._idle: asyncio.Future[None] | None = None
        self._holds: set[str] = set()
        self._out: list[SettledMessage] = []
        self._background: set[asyncio.Task[None]] = set()
        self._probe_query = False
        self._prober: asyncio.Task[None] | None = None
        self.stats = stats
        self._end: RunEnd | None = None
        self._suspended = False
        self._alarm: asyncio.TimerHandle | None = None
        self._crash: BaseException | None = None
        self._never_asked: Settled | None = None
        self._usual = Settled(Outcome.CANCELLED, None, "")
        self._finished = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()

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
        if self._limits.deadline_s is not None:
            if self._limits.deadline_s <= 0:
                self.end(RunEnd.DEADLINE)
            self._alarm = self._loop.call_later(self._limits.deadline_s, self.end, RunEnd.DEADLINE)
        if self._end is not None or not self._open:
            return await self._conclude(self._end or RunEnd.COMPLETE)
        self._spawn(self._flush_now_and_then())
        count = min(self._limits.max_concurrency, self._open)
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
            self._flush()  # also when whoever owns the loop cuts this short: what is settled must not be lost
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

    def suspend(self) -> None:
        """End, but keep what is open to yourself: the run goes on elsewhere, or :meth:`hand_over_open` ends it for good."""
        self._suspended = True
        self.end(RunEnd.STOPPED)

    async def hand_over_open(self, end: RunEnd = RunEnd.STOPPED) -> None:
        """Hand over as open what is not settled: what :meth:`suspend` kept back, or all when the run could not even begin."""
        self._suspended = False
        await self._conclude(end)

    async def _give_up_never_asked(self) -> None:
        """Hand over what no request was made about while what is in flight may still finish: after a kill, seconds count."""
        flying = {job.index for job in self._in_flight.values()}
        why = self._why(self._end or RunEnd.STOPPED)
        for start in range(0, len(self._todo), GIVE_UP_AT_ONCE):
            for index in self._todo[start : start + GIVE_UP_AT_ONCE]:
                if not self._settled[index] and index not in self._cases and index not in flying:
                    self._give_up_one(index, why)
            await asyncio.sleep(0)

    async def _let_finish(self, workers: list[asyncio.Task[None]], within_s: float) -> None:
        flying = [workers[slot] for slot in self._in_flight if slot >= 0]
        if self._prober is not None and PROBER in self._in_flight:
            flying.append(self._prober)
        if flying:
            await asyncio.wait(flying, timeout=max(0.0, within_s))

    async def _conclude(self, end: RunEnd) -> RunEnd:
        self._note_interrupted()
        if self._open and not self._suspended:
            await self._give_up_all(self._why(end))
        self._flush()
        return end

    def _note_interrupted(self) -> None:
        in_flight, self._in_flight = self._in_flight, {}
        for job in in_flight.values():
            if not self._settled[job.index]:
                self._case(job.index).interrupted(job.verb)

    async def _give_up_all(self, why: str) -> None:
        for start in range(0, len(self._todo), GIVE_UP_AT_ONCE):
            for index in self._todo[start : start + GIVE_UP_AT_ONCE]:
                if not self._settled[index]:
                    self._give_up_one(index, why)
            await asyncio.sleep(0)

    def _give_up_one(self, index: int, why: str) -> None:
        case = self._cases.get(index)
        if case is not None:
            self._settle(index, case.give_up(why), case.attempts)
            return
        if self._never_asked is None:
            # Perhaps a million times the same: made once.
            self._never_asked = self._make_case(index).give_up(why)
        self._settle(index, self._never_asked, 0)

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
            job = self._job_at_once()
            if job is None:
                async with self._turn:
                    job = await self._next_job()
            if job is not None:
                await self._exchange(slot, job)

    def _job_at_once(self) -> Job | None:
        """Say which request to make if nothing is missing for it, and nobody waits for what is missing.

        The usual case where the gateway's latency is the limit, not the pace: no worker then has to wait for another's turn.
        """
        if (
            not self._turn.locked()
            and self._gate.is_set()
            and self._queue
            and self._sessions.ready
            and self._pacer.try_acquire()
        ):
            return self._pop()
        return None

    async def _next_job(self) -> Job | None:
        """Wait for what is missing to make a request; once nothing is, say which.

        One worker at a time is in here, so that no more than one permit of the pacer is held, and none is wasted by
        workers that find nothing to do. The session comes before the permit: requests that had theirs and then
        waited for a session together would leave together.
        """
        if not self._gate.is_set():
            await self._gate.wait()
        elif not self._queue:
            await self._wait_for_work()
        elif not self._sessions.ready:
            await self._open_session()
        else:
            await self._pacer.acquire()
            if self._end is None and self._gate.is_set() and self._sessions.ready:
                return self._pop()
        return None

    def _pop(self) -> Job | None:
        if (job := self._queue.pop_undated()) is not None:
            return job
        # A question saves nobody, so none is in vain.
        doubtful_s = self._doubt.seconds if self._first is Verb.STOP else 0.0
        return self._queue.pop(self._clock.now(), doubtful_s, self._pace())

    def _pace(self) -> float:
        """How many requests a second can be made, by the pace that the gateway bears and by how long it takes to answer."""
        answer_s = self._doubt.answer_s
        pace = self._pacer.rate
        return min(pace, self._limits.max_concurrency / answer_s) if answer_s else pace

    async def _wait_for_work(self) -> None:
        self._idle = self._loop.create_future()
        await self._idle

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

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
            if session is not None and verdict.finding is not Finding.SESSION:
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
        if finding is Finding.CANCELLED and job.verb is Verb.STOP and job.index not in self._cases:
            # What happens a million times: settled by the first answer.
            self._good_answer()
            usual = self._usual
            if usual.code != verdict.code or usual.detail != verdict.detail:
                usual = self._usual = Settled(Outcome.CANCELLED, verdict.code, verdict.detail)
            self._settle(job.index, usual, 1)
            return
        if finding is Finding.SENT or finding is Finding.NOT_STOPPED:
            # "Not stopped" is a hint only, but one that comes in time: which statuses say it for sure is asked much later.
            self._doubt.note_gone(self._campaign.due[job.index] - self._clock.now())
        if finding is Finding.BUSY or verdict.http_status == 503:
            self._slow_down(verdict)
        if finding is Finding.ACCOUNT and not (job.full and self._gateway.has_full_status):
            self._good_answer()
            self._on_account(job, verdict)
            return
        if finding is Finding.SESSION:
            self._good_answer()
            verdict = self._on_session(job, verdict, session) or verdict
            if verdict.finding is Finding.SESSION:
                return
        if not is_an_answer(verdict):
            step = self._case(job.index).after_answer(job.verb, verdict, self._loop.time())
            self._note_failure(verdict.detail, job.index if may_be_about_one_message(verdict) else None)
            self._follow(job, step, failed=True)
        else:
            if finding is not Finding.BUSY:
                self._good_answer()
            self._follow(job, self._case(job.index).after_answer(job.verb, verdict, self._loop.time()))

    def _on_failure(self, job: Job, failure: TransportFailure) -> None:
        step = self._case(job.index).after_failure(job.verb, failure)
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
            self._settle(job.index, step, self._case(job.index).attempts)
        elif self._health.down:
            # The gateway is down: that is not this message's fault, and the probing decides when to give up.
            self._push_later(job.index, self._case(job.index).while_down(job.verb))
        elif isinstance(step, Again):
            self.stats.repeats += 1
            repeat = self._budget.repeat if failed else self._push_later
            repeat(job.index, step)
        elif self._second_round:
            self._settle(job.index, step, self._case(job.index).attempts)
        else:
            self._park(job.index)

    def _park(self, index: int) -> None:
        self._parked.append(index)
        self._begin_second_round_if_due()

    def _settle(self, index: int, settled: Settled, attempts: int) -> None:
        self._settled[index] = 1
        self._cases.pop(index, None)
        self._open -= 1
        self._out.append(SettledMessage(index, settled, attempts, self._wall()))
        if len(self._out) >= FLUSH_AT:
            self._flush()
        if not self._open:
            self.end(RunEnd.COMPLETE)
        elif self._parked:
            self._begin_second_round_if_due()

    def _begin_second_round_if_due(self) -> None:
        """Once nothing but doubt is left, give all of that another round: what was wrong may have passed."""
        if self._second_round or self._end is not None or len(self._parked) < self._open:
            return
        self._second_round = True
        parked, self._parked = self._parked, []
        log.info("Asking again about %d messages that are still in doubt.", len(parked))
        for index in parked:
            again = self._case(index).again()
            self._push_later(index, Again(again.verb, SECOND_ROUND_AFTER_S, again.full))

    def _case(self, index: int) -> Case:
        case = self._cases.get(index)
        if case is None:
            case = self._cases[index] = self._make_case(index)
        return case

    def _push_later(self, index: int, again: Again) -> None:
        if again.delay_s > 0:
            self._loop.call_later(again.delay_s, self._push, index, again)
        else:
            self._push(index, again)

    def _push(self, index: int, again: Again) -> None:
        self._queue.push(index, again, self._clock.now(), self._pace())
        self._wake()

    # -- the gateway's health ---------------------------------------------------------------------------

    def _good_answer(self) -> None:
        self._budget.earn()
        if self._health.good():
            log.info("%s answers again: going on.", self._gateway.label)
            self._release("down")

    def _note_failure(self, why: str, stumbled_over: int | None = None) -> None:
        if self._health.bad(self._loop.time(), self._open, stumbled_over):
            log.warning(
                "%s does not answer: paused. One request every %g s will try whether it is back. The last one: %s",
                self._gateway.label,
                PROBE_EVERY_S,
                why,
            )
            self._hold("down")
            # One that still sleeps since the last outage goes on: two would send twice as often.
            if self._prober is None or self._prober.done():
                self._prober = self._spawn(self._probe())

    async def _probe(self) -> None:
        wait = FIRST_PROBE_AFTER_S
        probed = False
        while self._health.down and self._end is None:
            await asyncio.sleep(max(0.0, min(wait, self._health.patience_left(self._loop.time()))))
            wait = PROBE_EVERY_S
            if not self._health.down:
                return
            if self._health.patience_left(self._loop.time()) <= 0 or (
                probed and min(self._clock.now(), self._wall()) > self._queue.last_due
            ):
                log.error(
                    "%s has given no answer for %.0f s: giving up. %d messages are open.",
                    self._gateway.label,
                    self._health.down_for(self._loop.time()),
                    self._open,
                )
                self.end(RunEnd.GATEWAY_DOWN)
                return
            probed = await self._probe_once() or probed

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
        job = (self._queue.pop_query() if self._probe_query else None) or self._pop()
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
                self._open,
            )
            self.end(RunEnd.GATEWAY_DOWN)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        pause_s = retry_after_seconds(verdict.retry_after, now=now)
        # No longer than the run would wait for the gateway anyway: then it is asked a few times more, and given up.
        self._pacer.slow_down(pause_s if pause_s is None else max(0.0, min(pause_s, patience_s)))

    # -- the account ------------------------------------------------------------------------------------

    def _on_account(self, job: Job, verdict: Verdict) -> None:
        self._case(job.index).after_account_refusal(job.verb, verdict)
        self._held.append(job)
        self._doubt_account(verdict)

    def _doubt_account(self, verdict: Verdict) -> None:
        """Hold the run until the balance call has said whether the account is refused."""
        if "account" not in self._holds and self._end is None:
            log.warning(
                "%s refused a request: %s. Asking it about the account.", self._gateway.label, verdict.detail
            )
            self._hold("account")
            self._spawn(self._check_account())

    async def _check_account(self) -> None:
        verdict = await ask_about_account(self._gateway, self._paced_send)
        if verdict is not None and verdict.finding is Finding.ACCOUNT:
            self.stats.account_refusal = verdict
            log.error("%s refuses the account: %s", self._gateway.label, verdict.detail)
            self.end(RunEnd.ACCOUNT_REFUSED)
            return
        held, self._held = self._held, []
        for job in held:
            self._strays[job.index] += 1
            if self._strays[job.index] < STRAY_REFUSALS:
                self._push_later(job.index, Again(job.verb, FIRST_PROBE_AFTER_S, job.full))
            else:
                case = self._case(job.index)
                why = "the account was refused again and again, though the balance call does not confirm it"
                self._settle(job.index, case.give_up(why), case.attempts)
        self._release("account")

    # -- small parts ------------------------------------------------------------------------------------

    def _hold(self, why: str) -> None:
        self._holds.add(why)
        self._gate.clear()

    def _release(self, why: str) -> None:
        self._holds.discard(why)
        if not self._holds:
            self._gate.set()

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

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._flush()

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._deliver(out)
