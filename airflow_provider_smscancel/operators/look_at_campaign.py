"""The operator that looks at a campaign before it is stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.job import Job
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sampling import SampleJob
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.campaigns.telling import tell_sample
from airflow_provider_smscancel.common.parameters import read_duration, read_name
from airflow_provider_smscancel.common.report_owner import owner_in
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

if TYPE_CHECKING:
    from airflow_provider_smscancel._airflow import Context


class LookAtCampaignOperator(CancelMessageOperator):
    """Counts the messages of a campaign, asks where a sample of them is, and forecasts how long stopping all takes.

    Cancels nothing. It reads and checks its input exactly as :class:`CancelMessageOperator` does, takes the same parameters, and
    fails on the same mistakes, before anything is sent; it writes no report, but says when the place of one is wrong. What it
    found is the return value and the XCom ``summary``, for a person the XCom ``text`` (Markdown).

    :param sample_size: at most how many messages are asked about, spread evenly over the list.
    :param sample_for: how long the gateway may take for that. What has not answered by then is counted as not answered, which is
        no failure: a gateway that is slow or down must not hold up who wants to cancel.

    :raises AirflowFailException: input is wrong, or the account is refused.
    """

    ui_color = "#e8f1fb"

    def __init__(
        self, *, sample_size: int = 200, sample_for: timedelta = timedelta(seconds=10), **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dry_run": True})
        self.sample_size = sample_size
        self.sample_for = sample_for

    def _make_job(
        self, hook: SmsGatewayHook, campaign: Campaign, dry_run: bool, context: Context, started: float
    ) -> Job:
        # Neither is used here, but a mistake in them is to be found before somebody approves, not after.
        read_duration("give_up_after", self.give_up_after)
        self._open_report(owner_in(context))
        service = hook.service(
            requests_per_second=self.requests_per_second,
            max_concurrency=self.max_concurrency,
            deadline_s=read_duration("sample_for", self.sample_for).total_seconds(),
        )
        name = read_name(self.campaign)
        return SampleJob(service, campaign, name=name, size=self.sample_size, log=self.log)

    def _push(self, context: Context, job: Job) -> None:
        super()._push(context, job)
        if job.summary:
            context["ti"].xcom_push(key="text", value=tell_sample(job.summary))

    def _judge_survey(self, job: SurveyJob, context: Context) -> None:
        if isinstance(job, SampleJob) and job.is_good and not self._killed and job.account_refusal is None:
            return
        super()._judge_survey(job, context)
