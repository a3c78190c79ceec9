"""The operator that stops a campaign."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_smscancel._airflow import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    Stats,
    conf,
)
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.ending import Ending
from airflow_provider_smscancel.campaigns.folders import Folder
from airflow_provider_smscancel.campaigns.job import Job
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.common.campaign_source import (
    before_the_first_request,
    connected_hook,
    read_campaign,
)
from airflow_provider_smscancel.common.judging import ENDS, judge
from airflow_provider_smscancel.common.metrics import Meter
from airflow_provider_smscancel.common.parameters import (
    ON_EMPTY,
    read_choice,
    read_duration,
    read_flag,
    read_name,
    read_outcomes,
)
from airflow_provider_smscancel.common.report_folder import open_report, read_report_path
from airflow_provider_smscancel.common.report_owner import ReportOwner, owner_in
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.links.report import ReportLink, push_report_link
from airflow_provider_smscancel.operators.asset_events import empty_events, tell_outlets
from airflow_provider_smscancel.operators.deferring import time_left, trigger_for
from airflow_provider_smscancel.operators.state_store import state_store_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_smscancel._airflow import Context

BEFORE_TIMEOUT_S = 10.0
"""How long before ``execution_timeout`` the run ends itself, so that it can still write down what it did."""


class CancelMessageOperator(BaseOperator):
    """Stops a campaign of SMS messages that were scheduled ahead of time, and says for each whether it was stopped.

    Every message gets exactly one outcome; only ``cancelled`` and ``already_cancelled`` say that it is stopped, on the
    gateway's own word about that message. The task fails unless every message is stopped or harmless (see ``fail_on``). A
    retry takes up what is open. The counts are the return value and the XCom ``summary``, also when the task fails; at most
    100 messages that were not stopped are in the XCom ``not_stopped``, all of them in the report. The counts are also the extra
    of the event of every asset in ``outlets``.

    :param sms_conn_id: the connection; its type picks the gateway. (templated)
    :param message_ids: the messages: a list of ids or of mappings (``message_id``, optional ``scheduled_at``), an
        XComArg, or text: a JSON list, a Python list, or ids separated by newlines, commas or blanks. (templated)
    :param manifest: instead, an absolute path or object storage URL of a ``.csv`` or ``.jsonl`` file (each also ``.gz``),
        or of a ``.parquet`` file (needs the extra ``parquet``), with a column ``message_id`` and an optional one
        ``scheduled_at`` (ISO 8601 with a zone). (templated)
    :param sql: instead, a query (or the name of a ``.sql`` file): its column ``message_id``, else its first, is the id; a column
        ``scheduled_at`` is used if there. The rows are streamed, and the database connection is closed before the first
        request. (templated)
    :param sql_conn_id: the connection of the database that ``sql`` is run on. (templated)
    :param parameters: of the query, in the style of the database's driver. They appear among the task's rendered fields: put no
        secret in them. (templated)
    :param id_type: ``message_id``, or ``client_message_id`` where the gateway cancels by the id that the sender chose. (templated)
    :param campaign: a name for logs and the summary. (templated)
    :param report_path: folder (absolute path or URL) where the outcome of each message is written, and what a retry resumes
        from. Default: a folder of the task's own under ``[smscancel] report_folder``, if that is set. (templated)
    :param max_messages: refuse to start when there are more: the wrong list, a missing WHERE. (templated)
    :param on_empty: what to do when there is no message: ``fail``, ``skip`` or ``succeed``. (templated)
    :param fail_on: which outcomes fail the task; by default all but ``cancelled``, ``already_cancelled`` and
        ``will_not_send``. (templated)
    :param dry_run: ask only for statuses and cancel nothing. (templated)
    :param requests_per_second: overrides the connection's.
    :param max_concurrency: overrides the connection's.
    :param give_up_after: how long the gateway may be down before the run ends.
    :param deferrable: run in the triggerer and leave the worker free meanwhile. The list is read here and written down once, in
        the report's folder; without one, a list of more than 500 messages runs on the worker, and so does a dry run. Default:
        ``[operators] default_deferrable`` of Airflow's configuration.

    :raises AirflowFailException: input is wrong (nothing was sent), the account is refused, or messages were not stopped and
        asking again would not change that.
    :raises AirflowException: something is open: Airflow's retry takes it up.
    """

    template_fields: Sequence[str] = (
        "sms_conn_id",
        "message_ids",
        "manifest",
        "sql",
        "sql_conn_id",
        "parameters",
        "id_type",
        "campaign",
        "report_path",
        "max_messages",
        "on_empty",
        "fail_on",
        "dry_run",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}
    operator_extra_links = (ReportLink(),)
    ui_color = "#fbe3d6"

    def __init__(
        self,
        *,
        sms_conn_id: str,
        message_ids: Any = None,
        manifest: str | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        id_type: str = "message_id",
        campaign: str | None = None,
        report_path: str | None = None,
        max_messages: int | str | None = None,
        on_empty: str = "fail",
        fail_on: Sequence[str] | str | None = None,
        dry_run: bool | str = False,
        requests_per_second: float | None = None,
        max_concurrency: int | None = None,
        give_up_after: timedelta = timedelta(minutes=10),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sms_conn_id = sms_conn_id
        self.message_ids = message_ids
        self.manifest = manifest
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.id_type = id_type
        self.campaign = campaign
        self.report_path = report_path
        self.max_messages = max_messages
        self.on_empty = on_empty
        self.fail_on = fail_on
        # The name that users expect hides a method of BaseOperator that only `airflow tasks test --dry-run` calls.
        self.dry_run = dry_run  # type: ignore[assignment,method-assign]
        self.requests_per_second = requests_per_second
        self.max_concurrency = max_concurrency
        self.give_up_after = give_up_after
        self.deferrable = deferrable
        self._job: Job | None = None
        self._report: str | None = None
        self._killed = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Stop the campaign, and wait for it; or, when ``deferrable``, hand it over to the triggerer.

        :return: the summary.
        """
        started = time.monotonic()
        with before_the_first_request():
            dry_run = read_flag("dry_run", self.dry_run)
            fail_on = read_outcomes("fail_on", self.fail_on)
            on_empty = read_choice("on_empty", self.on_empty, ON_EMPTY)
            hook = connected_hook(self.sms_conn_id)
            campaign = self._read_campaign(hook)
            if not campaign.total:
                self._check_empty(on_empty)
            job = self._make_job(hook, campaign, dry_run, context, started)
        self._job = job
        if isinstance(job, CancelJob) and self.deferrable and len(campaign):
            self._hand_over(job)
        try:
            if isinstance(job, CancelJob):
                job.prepare()
            job.announce()
            if self._killed:
                job.stop()
            with Meter(job, conn_id=hook.conn_id, metrics=Stats):
                job.run()
        finally:
            self._push(context, job)
        if isinstance(job, SurveyJob):
            self._judge_survey(job, context)
        elif isinstance(job, CancelJob):
            self._judge(job.ending, fail_on)
            if job.checkpoint is not None:
                job.checkpoint.clear()
                self._judge(job.ending, fail_on)  # a kill may have come meanwhile
        return job.summary

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Judge what the trigger has told, exactly as if it had run here.

        :param event: of :class:`~airflow_provider_smscancel.triggers.cancel_messages.CancelMessagesTrigger`.
        :return: the summary.
        """
        if "error" in event:
            raise AirflowException(
                f"The triggerer could not take up the campaign: {event['error']} A retry takes up what is open."
            )
        try:
            fail_on = read_outcomes("fail_on", self.fail_on)
        except ValueError as error:
            raise AirflowFailException(str(error)) from None
        ending = Ending.from_json(event)
        self._report = ending.summary.get("report")
        self._push_ending(context, ending)
        self._judge(ending, fail_on)
        return ending.summary

    def on_kill(self) -> None:
        """Make no new request; what is in flight is cut after 2 s, and what is known is written down within 4."""
        self._killed = True
        if self._job is not None:
            self._job.stop()

    # -- what the OpenLineage provider asks ---------------------------------------------------------------------------

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Name the manifest. A database is asked nothing yet: it must not hold up a stop."""
        return self._lineage(ask_database=False)

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Name the manifest or the tables, and the report."""
        return self._lineage(ask_database=True)

    def get_openlineage_facets_on_failure(self, task_instance: object) -> OperatorLineage[Any, Any]:
        """Name the same: what was stopped is in the report also when the task fails."""
        return self._lineage(ask_database=True)

    def _lineage(self, *, ask_database: bool) -> OperatorLineage[Any, Any]:
        from airflow_provider_smscancel.operators.lineage import lineage_of

        return lineage_of(
            manifest=self.manifest,
            sql=self.sql,
            sql_conn_id=self.sql_conn_id,
            report=self._report,
            ask_database=ask_database,
        )

    # -- before the first request -------------------------------------------------------------------------------------

    def _read_campaign(self, hook: SmsGatewayHook) -> Campaign:
        return read_campaign(
            hook,
            message_ids=self.message_ids,
            manifest=self.manifest,
            sql=self.sql,
            sql_conn_id=self.sql_conn_id,
            parameters=self.parameters,
            id_type=self.id_type,
            max_messages=self.max_messages,
        )

    def _check_empty(self, on_empty: str) -> None:
        text = "There is no message to cancel."
        if on_empty == "fail":
            raise ValueError(f"{text} Set on_empty to skip or succeed if that is to be expected.")
        if on_empty == "skip" and not self._killed:
            raise AirflowSkipException(text)
        self.log.info(text)

    def _make_job(
        self, hook: SmsGatewayHook, campaign: Campaign, dry_run: bool, context: Context, started: float
    ) -> Job:
        name = read_name(self.campaign)
        owner = owner_in(context)
        report, folder = self._open_report(owner)
        deadline_s = None
        if self.execution_timeout is not None:
            limit = self.execution_timeout.total_seconds()
            spent = time.monotonic() - started
            # So short a limit leaves no 10 s: better half of it than none, which would never stop a message.
            allowed = limit - BEFORE_TIMEOUT_S if limit > BEFORE_TIMEOUT_S else limit / 2
            deadline_s = max(0.0, allowed - spent)
        service = hook.service(
            requests_per_second=self.requests_per_second,
            max_concurrency=self.max_concurrency,
            give_up_after=read_duration("give_up_after", self.give_up_after),
            deadline_s=deadline_s,
        )
        if dry_run:
            return SurveyJob(service, campaign, name=name, log=self.log)
        journal, checkpoint = None, None
        if folder is None:
            store = state_store_of(context)
            checkpoint = None if store is None else Checkpoint(store, host=hook.gateway.base_url)
        else:
            self._report = report
            push_report_link(context, folder)
            journal = owner.journal(folder, campaign, hook.gateway)
        return CancelJob(
            service,
            campaign,
            name=name,
            log=self.log,
            journal=journal,
            report=report,
            try_number=owner.try_number,
            checkpoint=checkpoint,
        )

    def _open_report(self, owner: ReportOwner) -> tuple[str | None, Folder | None]:
        report = read_report_path(self.report_path) or owner.default_folder()
        return report, None if report is None else open_report("report_path", report)

    def _hand_over(self, job: CancelJob) -> None:
        """Defer to the triggerer, unless the list can't be taken there."""
        trigger = None if self._killed else trigger_for(job, sms_conn_id=str(self.sms_conn_id).strip())
        if trigger is None or self._killed:
            return  # nothing was begun: it runs here, or ends here
        self.log.info("%d messages are handed over to the triggerer.", len(job.campaign))
        self.defer(trigger=trigger, method_name="execute_complete", timeout=time_left(job))

    # -- after the last request ---------------------------------------------------------------------------------------

    def _push(self, context: Context, job: Job) -> None:
        if isinstance(job, CancelJob):
            self._push_ending(context, job.ending)
        elif job.summary:
            context["ti"].xcom_push(key="summary", value=job.summary)

    def _push_ending(self, context: Context, ending: Ending) -> None:
        if ending.summary:
            context["ti"].xcom_push(key="summary", value=ending.summary)
            context["ti"].xcom_push(key="not_stopped", value=ending.not_stopped)
            tell_outlets(self, context, ending.summary)  # if the task fails, Airflow emits nothing of it

    def _judge(self, ending: Ending, fail_on: frozenset[Outcome]) -> None:
        judge(ending, fail_on=fail_on, sms_conn_id=self.sms_conn_id, killed=self._killed)

    def _judge_survey(self, job: SurveyJob, context: Context) -> None:
        empty_events(self, context)
        if job.account_refusal is not None:
            raise AirflowFailException(
                f"The gateway refuses the account of connection {self.sms_conn_id!r}: {job.account_refusal.detail}"
            )
        if self._killed or job.end is not RunEnd.COMPLETE:
            raise AirflowException(
                f"{ENDS[job.end or RunEnd.STOPPED]} Nothing was cancelled: it was a dry run."
            )
        if job.campaign.incomplete is not None:
            raise AirflowException(
                f"The {job.campaign.incomplete}. Nothing was cancelled: it was a dry run. A retry reads it again."
            )
