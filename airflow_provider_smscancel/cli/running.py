"""Running a job in front of a person."""

from __future__ import annotations

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.job import Job
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.cli.screen import Screen
from airflow_provider_smscancel.cli.signals import ending_on_signals
from airflow_provider_smscancel.exceptions import SmsGatewayError


def run(job: Job, screen: Screen) -> int | None:
    """Run a job to its end, or until a signal comes, and show how it goes.

    :return: the exit status of the signal that cut it short, or ``None``.
    """
    with screen.following(job) as tell, ending_on_signals(job, tell) as received:
        if isinstance(job, CancelJob):
            job.prepare()
        job.announce()
        try:
            job.run()
        except SmsGatewayError as error:  # there is no way to the gateway: every message is open
            screen.complain(str(error))
    return received.status if job.end is not RunEnd.COMPLETE else None
