"""From what a trigger was given to a job that can run."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.job import Log
from airflow_provider_smscancel.campaigns.kept_list import read_kept, take_lines
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.tenure import Tenure
from airflow_provider_smscancel.common.report_folder import open_report
from airflow_provider_smscancel.common.report_owner import journal_in
from airflow_provider_smscancel.hooks.by_connection import hook_of


def take_up(
    *,
    log: Log,
    sms_conn_id: str,
    id_type: str,
    campaign: str | None,
    report_path: str | None,
    list_name: str | None,
    messages: str | None,
    owner: str | None,
    try_number: int,
    started_at: str,
    requests_per_second: float,
    max_concurrency: int,
    give_up_after_s: float,
    ends_at: float | None,
) -> CancelJob:
    """Read the list and what is settled already, and open the report. Sends nothing.

    :param log: where to tell how it goes; the other parameters are those of the trigger.
    :return: a job that is ready to run.
    :raises ValueError: the connection, the list or the report's path can't be used.
    """
    hook = hook_of(sms_conn_id)
    kind = hook.check_id_type(id_type)
    folder = None if report_path is None else open_report("report_path", report_path)
    if folder is not None and list_name is not None:
        listed = read_kept(lambda: Campaign(hook.gateway, kind), folder, list_name)
    else:
        listed = Campaign(hook.gateway, kind)
        take_lines(listed, (messages or "").splitlines())
    # Without a report nothing tells whether another triggerer has begun before this one: it is said to have.
    journal, tenure, resumed = None, None, True
    if folder is not None and owner is not None:
        journal = journal_in(
            folder, owner=owner, try_number=try_number, campaign=listed, gateway=hook.gateway
        )
        tenure = Tenure(journal)
        resumed = tenure.begin()
    job = CancelJob(
        hook.service(
            requests_per_second=requests_per_second,
            max_concurrency=max_concurrency,
            give_up_after=timedelta(seconds=give_up_after_s),
            deadline_s=None if ends_at is None else max(0.0, ends_at - time.time()),
        ),
        listed,
        name=campaign,
        log=log,
        journal=journal,
        report=report_path,
        try_number=try_number,
        resumed=resumed,
        tenure=tenure,
        started_at=datetime.fromisoformat(started_at),
    )
    job.prepare()
    job.announce()
    return job
