"""Hands a campaign over to the triggerer, where that is possible."""

from __future__ import annotations

import secrets
import time
from datetime import timedelta

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.kept_list import keep, lines_of
from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger

MOST_MESSAGES = 500
MOST_BYTES = 60_000
"""What may travel in the trigger's row of Airflow's database, where there is no report folder to put the list into."""
AFTER_THE_END_S = 20.0
"""How long after the end that the run sets itself Airflow calls it a failure: an event takes a while to arrive."""


def trigger_for(job: CancelJob, *, sms_conn_id: str) -> CancelMessagesTrigger | None:
    """Write down a campaign's list and make the trigger that stops it.

    :param job: as it would run here.
    :param sms_conn_id: the connection. Only its id travels.
    :return: ``None`` when the list is too long for the trigger's row and there is nowhere to write it; the log says so.
    """
    journal, campaign, limits = job.journal, job.campaign, job.service.limits
    name = _keep(job)
    messages = None if name else _short(job)
    if name is None and messages is None:
        return None
    return CancelMessagesTrigger(
        sms_conn_id=sms_conn_id,
        id_type=campaign.id_type.value,
        campaign=job.name,
        report_path=job.report,
        list_name=name,
        messages=messages,
        owner=None if journal is None else journal.owner,
        try_number=job.try_number,
        started_at=job.started_at.isoformat(),
        requests_per_second=limits.requests_per_second,
        max_concurrency=limits.max_concurrency,
        give_up_after_s=limits.give_up_after_s,
        ends_at=job.ends_at,
    )


def time_left(job: CancelJob) -> timedelta | None:
    """Say how long Airflow is to wait for the trigger's event: a little longer than the run takes at most."""
    if job.ends_at is None:
        return None
    return timedelta(seconds=max(0.0, job.ends_at - time.time()) + AFTER_THE_END_S)


def _keep(job: CancelJob) -> str | None:
    if job.journal is None:
        return None
    # A name that nobody has had before: what another has written under it must not be taken for this list.
    name = f"input-{job.journal.owner}.{secrets.token_hex(4)}-{job.journal.try_number}.jsonl"
    try:
        keep(job.campaign, job.journal.folder, name)
    except Exception as error:  # stores raise what they like
        job.log.warning("The list of messages can't be written to the report (%s).", type(error).__name__)
        return None
    return name


def _short(job: CancelJob) -> str | None:
    if job.campaign.total <= MOST_MESSAGES:
        text = "\n".join(lines_of(job.campaign))
        if len(text) < MOST_BYTES:
            return text
    job.log.warning(
        "deferrable: %d messages are too many for the trigger's row and there is no report folder to write them to, so "
        "this runs on the worker. Set report_path.",
        job.campaign.total,
    )
    return None
