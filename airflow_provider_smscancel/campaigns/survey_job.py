"""Asks where the messages of a campaign are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from airflow_provider_smscancel.campaigns.job import Job, Log, Service
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.run import SettledMessage
from airflow_provider_smscancel.campaigns.settlement import Case, StatusCase, Verb
from airflow_provider_smscancel.gateways.base import MessageState, MessageStatus


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
