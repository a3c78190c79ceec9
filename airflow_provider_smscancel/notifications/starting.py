"""From a rendered notifier to a job that can run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.tenure import Tenure
from airflow_provider_smscancel.common.campaign_source import (
    before_the_first_request,
    connected_hook,
    read_campaign,
)
from airflow_provider_smscancel.common.parameters import read_duration, read_name
from airflow_provider_smscancel.common.report_folder import open_report, read_report_path
from airflow_provider_smscancel.common.report_owner import owner_in

if TYPE_CHECKING:
    from airflow_provider_smscancel._airflow import Context
    from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier

MOST_WITHOUT_REPORT = 100
"""So many ids can be logged at the end. A callback that is killed comes to no end."""
SHARE_FOR_READING = 0.2
"""How much of a callback's time a store that does not answer may take, before all messages are asked."""


def start(notifier: CancelMessageNotifier, context: Context, *, may_be_taken_up: bool) -> CancelJob:
    """Read the list and what is settled already, and open the report. Sends nothing.

    :param notifier: rendered.
    :param context: of the callback.
    :param may_be_taken_up: whether another process takes the callback up if this one ends.
    :return: a job that is ready to run.
    :raises AirflowFailException: a parameter, the list or the connection is wrong.
    :raises AirflowException: the list can't be read now.
    """
    started = time.monotonic()
    with before_the_first_request():
        job = _make_job(notifier, context, started, may_be_taken_up=may_be_taken_up)
    job.prepare()
    job.announce()
    return job


def _make_job(
    notifier: CancelMessageNotifier, context: Context, started: float, *, may_be_taken_up: bool
) -> CancelJob:
    limit = notifier.deadline_s
    limit_s = None if limit is None else read_duration("deadline_s", limit).total_seconds()
    hook = connected_hook(notifier.sms_conn_id)
    campaign = read_campaign(
        hook,
        message_ids=notifier.message_ids,
        manifest=notifier.manifest,
        sql=notifier.sql,
        sql_conn_id=notifier.sql_conn_id,
        parameters=notifier.parameters,
        id_type=notifier.id_type,
        max_messages=notifier.max_messages,
    )
    if not campaign.total:
        raise ValueError("There is no message to cancel.")
    owner = owner_in(context)
    report = read_report_path(notifier.report_path) or owner.default_folder()
    if report is None and campaign.total > MOST_WITHOUT_REPORT:
        raise ValueError(
            f"There are {campaign.total} messages, and no report to write down what becomes of them: a callback that may be killed "
            f"needs one for more than {MOST_WITHOUT_REPORT}. Set report_path, or [smscancel] report_folder in Airflow's configuration."
        )
    journal = None
    if report is not None:
        journal = owner.journal(
            open_report("report_path", report),
            campaign,
            hook.gateway,
            read_within_s=None if limit_s is None else limit_s * SHARE_FOR_READING,
        )
    service = hook.service(
        requests_per_second=notifier.requests_per_second,
        max_concurrency=notifier.max_concurrency,
        deadline_s=None if limit_s is None else max(0.0, limit_s - (time.monotonic() - started)),
    )
    return CancelJob(
        service,
        campaign,
        name=read_name(notifier.campaign),
        log=notifier.log,
        journal=journal,
        report=report,
        try_number=owner.try_number,
        resumed=may_be_taken_up and journal is not None and Tenure(journal).begin(),
    )
