"""One try at stopping a campaign."""

from __future__ import annotations

import random
import time
from array import array
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.ending import Ending
from airflow_provider_smscancel.campaigns.job import Job, Log, Service
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.order import too_late_by_forecast
from airflow_provider_smscancel.campaigns.outcome import DONE, CancelResult, Outcome
from airflow_provider_smscancel.campaigns.results import cancel_result, rejected_results
from airflow_provider_smscancel.campaigns.run import RunEnd, SettledMessage
from airflow_provider_smscancel.campaigns.settlement import Case, StopCase
from airflow_provider_smscancel.campaigns.tally import Tally
from airflow_provider_smscancel.campaigns.tenure import Tenure
from airflow_provider_smscancel.transport.pacer import departures_per_second

LAST_PART_S = 60.0
"""How long a store that refuses is given once all messages are settled."""
LAST_PART_IN_A_HURRY_S = 1.2
"""The same after a kill: together with the engine's grace it stays below the 4 s that a supervisor leaves."""
AFTER_DEADLINE_S = 6.0
"""The same after the deadline: what sets one kills 10 s later, of which the engine's grace takes 2."""
WRONG_ACCOUNT_AFTER = 200
FORECAST_AGAIN_AFTER_S = 5.0
"""When the pace is known well enough."""
IDS_PER_LINE = 100


class CancelJob(Job):
    """Stops a campaign.

    :param journal: where outcomes are written and earlier ones read, or ``None``.
    :param report: what to call the report's place in the summary.
    :param try_number: which try this is, from 1.
    :param resumed: whether this try began in another process already, which may have sent requests that left no trace.
    :param tenure: of this process, where several may believe that they run this try; or ``None``.
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
        tenure: Tenure | None = None,
        started_at: datetime | None = None,
        checkpoint: Checkpoint | None = None,
        take_result: Callable[[CancelResult], None] | None = None,
    ) -> None:
        super().__init__(service, campaign, name=name, log=log, started_at=started_at)
        self.tally = Tally()
        self.journal = journal
        self.checkpoint = checkpoint
        self.report = report
        self._tenure = tenure
        self.try_number = try_number
        self._first_try = try_number <= 1 and not resumed
        self._take_result = take_result
        self._first_answers: Counter[Outcome] = Counter()
        self._warned = False
        self._forecast: int | None = None
        self._unheard: str | None = None

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
        self._forecast = late
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
        if self._forecast is not None and time.monotonic() - self._begun_at >= FORECAST_AGAIN_AFTER_S:
            self._forecast_again(self._forecast)
            self._forecast = None

    def _forecast_again(self, before: int) -> None:
        """Say it once when answers take so long that the pace is not what the rate promised."""
        took_s = time.monotonic() - self._begun_at
        pace = max(self.settled, 1) / took_s
        limits = self.service.limits
        if pace > 0.9 * departures_per_second(limits.requests_per_second):
            return
        begun_at = time.time() - took_s
        late = too_late_by_forecast(self.campaign.due, self.todo, now=begun_at, requests_per_second=pace)
        if late > before:
            self.log.warning(
                "At the pace so far (%.0f a second) about %d will leave before their turn; raise `max_concurrency` (now %d) if the "
                "gateway allows more.",
                pace,
                late,
                limits.max_concurrency,
            )

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
        self._count_unheard()
        self.summary = (
            self._summary_head()
            | {"outcomes": self.tally.outcomes(), "report": self.report, "report_error": None}
            | self._summary_tail()
        )
        if self.journal is not None:
            self.summary["report_error"] = self._unheard
            self.journal.close(self.summary, within_s=self._last_part_s())
            self.summary["report_error"] = self.journal.error or self._unheard
        if self.checkpoint is not None:
            self.checkpoint.save(within_s=self._last_part_s())
        if self.journal is None or self.journal.error:
            self._log_not_done()
        self.log.info("Done: %s of %d messages.", self.tally.said(), self.campaign.total)

    def _is_over(self) -> bool:
        over = self._tenure is not None and self._tenure.is_over(self.started_at)
        if over:
            self.log.info("Another process has taken over: what is open here is left to it.")
        return over

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

    def _count_unheard(self) -> None:
        """Count what a run that was cut short had no time to hand over, so that no message is missing in the counts."""
        unheard = self.campaign.total - self.tally.total
        if unheard > 0:
            self.tally.counts[Outcome.UNCONFIRMED] += unheard
            self.log.error(
                "There was no time to write down what became of %d messages: a retry asks for them again.",
                unheard,
            )
            self._unheard = f"there was no time to write down what became of {unheard} messages"

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
