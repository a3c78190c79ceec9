"""Looks at a campaign before it is stopped: how many messages, where a few of them are, how long stopping all would take."""

from __future__ import annotations

import time

from airflow_provider_smscancel.campaigns.job import Log, Service
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.order import too_late_by_forecast
from airflow_provider_smscancel.campaigns.run import RunEnd, SettledMessage
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.gateways.base import MessageState
from airflow_provider_smscancel.transport.pacer import departures_per_second


class SampleJob(SurveyJob):
    """Asks where a sample of a campaign is, and stops none.

    The sample is spread evenly over the list. Its time is the service's deadline: what has not answered by then is counted as
    that, and is no failure.

    :param size: at most how many messages are asked about.
    """

    doing = "asking about a sample of"

    def __init__(
        self, service: Service, campaign: Campaign, *, name: str | None, size: int, log: Log
    ) -> None:
        super().__init__(service, campaign, name=name, log=log)
        count = len(campaign)
        asked = min(size, count)
        self.todo = [number * count // asked for number in range(asked)]

    @property
    def is_good(self) -> bool:
        """Whether it ended as it should: all were asked, or its time was up."""
        return self.end in (RunEnd.COMPLETE, RunEnd.DEADLINE)

    def _take(self, batch: list[SettledMessage]) -> None:
        super()._take([message for message in batch if not message.settled.in_doubt])

    def _finish(self) -> None:
        rate = self.service.limits.requests_per_second
        pace = departures_per_second(rate)
        everything = range(len(self.campaign))
        now = time.time()
        early_s = self.service.gateway.sends_early_s
        late, at_worst = (
            too_late_by_forecast(self.campaign.due, everything, now=start, requests_per_second=pace)
            for start in (now, now + early_s)
        )
        self.summary = (
            self._summary_head()
            | {
                "dry_run": True,
                "asked": len(self.todo),
                "answered": self._states.total(),
                "states": {state.value: self._states[state] for state in MessageState},
                "rejected": len(self.campaign.rejected),
                "rejected_first": [f"{row.position}: {row.reason}" for row in self.campaign.rejected[:3]],
                "incomplete": self.campaign.incomplete,
                "forecast": {
                    "requests_per_second": rate,
                    "seconds": len(self.campaign) / pace,
                    "too_late": late,
                    "too_late_at_worst": at_worst,
                    "sends_early_s": early_s,
                },
            }
            | self._summary_tail()
        )
        self.log.info(
            "Nothing was cancelled. %d messages in all; of %d asked about, %d answered: %s.",
            self.campaign.total,
            len(self.todo),
            self._states.total(),
            self.said(),
        )
