"""Many messages, handed over one by one as they settle."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Self

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.job import Log, Service
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.results import cancel_result, rejected_results
from airflow_provider_smscancel.campaigns.run import RunEnd, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.running import BackgroundRun
from airflow_provider_smscancel.campaigns.settlement import StopCase
from airflow_provider_smscancel.gateways.base import Verdict

WAIT_S = 0.25
LEAVE_WITHIN_S = 4.0


class ResultStream:
    """An iterator over what becomes of each message. The engine runs from the moment that this is made.

    Leaving it early (:meth:`close`, the end of a ``with`` block, or dropping the last reference) stops new requests and
    logs how many messages were not asked.

    :param service: which gateway, and how to get there.
    :param campaign: the messages.
    :param refused: makes the error to raise when everything was handed over and the gateway refused the account.
    :param log: where to say how many were not asked.
    """

    def __init__(
        self,
        service: Service,
        campaign: Campaign,
        *,
        refused: Callable[[Verdict], Exception],
        log: Log,
    ) -> None:
        self._campaign = campaign
        self._refused = refused
        self._log = log
        self._stats = RunStats()
        self._ready = deque(rejected_results(campaign))
        self._over = False

        def make_engine(deliver: Callable[[list[SettledMessage]], None]) -> Engine:
            return Engine(
                service.gateway,
                campaign,
                list(range(len(campaign))),
                limits=service.limits,
                make_case=lambda _: StopCase(random.random),
                deliver=deliver,
                stats=stats,
            )

        # The thread must not hold this object, or dropping the last reference to it would not end the run.
        stats = self._stats
        self._run = BackgroundRun(make_engine, service.open_transport)
        self._run.start()

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(
            Exception
        ):  # an interpreter that shuts down has lost half of what this needs
            self.close()

    def __next__(self) -> CancelResult:
        """Wait for the next message that is settled.

        :raises StopIteration: when every message was handed over.
        :raises SmsGatewayAuthError: the same, when the gateway refused the account.
        """
        while not self._ready:
            if self._over:
                raise StopIteration
            try:
                batch = self._run.next_batch(WAIT_S)
            except BaseException:  # a time limit or a kill, raised into the thread that waits
                self.close()
                raise
            if batch is None:
                self._over = True
                if self._stats.account_refusal is not None:
                    raise self._refused(self._stats.account_refusal)
                raise StopIteration
            self._ready.extend(cancel_result(self._campaign, message) for message in batch)
        return self._ready.popleft()

    def close(self) -> None:
        """Stop new requests, wait for what is in flight (at most 4 s), and log how many messages were not asked."""
        if self._over:
            return
        self._over = True
        self._run.stop(RunEnd.STOPPED)
        self._run.join(LEAVE_WITHIN_S)
        left = list(self._ready)
        self._ready.clear()
        with contextlib.suppress(Exception):  # what broke the run is no concern of one who has left
            while batch := self._run.next_batch(WAIT_S):
                left += [cancel_result(self._campaign, message) for message in batch]
        not_asked = sum(result.outcome is Outcome.NOT_ATTEMPTED for result in left)
        unread = len(left) - not_asked
        if left:
            self._log.warning(
                "The results were left early: %d messages were not asked, and %d more results were not read.",
                not_asked,
                unread,
            )
