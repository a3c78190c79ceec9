"""Stopping a campaign from the command line."""

from __future__ import annotations

import argparse

from rich.table import Table

from airflow_provider_smscancel._airflow import AirflowException
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.job import duration
from airflow_provider_smscancel.campaigns.outcome import OPEN
from airflow_provider_smscancel.cli.asking import agreed, need_terminal
from airflow_provider_smscancel.cli.errors import FAILED, WRONG, CommandError, nothing_sent
from airflow_provider_smscancel.cli.making import make_cancel_job
from airflow_provider_smscancel.cli.running import run
from airflow_provider_smscancel.cli.screen import Screen, counts_table, rows_table
from airflow_provider_smscancel.common.judging import judge
from airflow_provider_smscancel.common.parameters import FAIL_ON_DEFAULT
from airflow_provider_smscancel.transport.pacer import departures_per_second


def cancel_campaign(options: argparse.Namespace, screen: Screen) -> int:
    """Stop the messages, and show what became of them.

    :return: the exit status.
    :raises CommandError: nothing was sent.
    """
    with nothing_sent():
        if not options.yes:
            need_terminal("Give --yes to cancel without being asked.")
        job = make_cancel_job(options, screen)
        if not options.yes and not agreed(screen, _question(options, job)):
            raise CommandError("Nothing was cancelled: the answer was not yes.", FAILED)
    interrupted = run(job, screen)
    ending = job.ending
    screen.result(
        {**ending.summary, "end": ending.end.value, "not_stopped": ending.not_stopped},
        *_not_stopped(job),
        counts_table(ending.summary["outcomes"]),
    )
    try:
        judge(ending, fail_on=FAIL_ON_DEFAULT, sms_conn_id=options.conn_id, killed=interrupted is not None)
    except AirflowException as error:
        screen.complain(str(error))
    else:
        screen.tell("Every message is stopped, or will not be sent for another reason.")
        return 0
    if job.report is not None and any(ending.counts[outcome] for outcome in OPEN):
        screen.tell(f"To take up what is open, run the same command with --report {job.report}")
    if ending.account is not None:
        return WRONG
    return interrupted or FAILED


def _question(options: argparse.Namespace, job: CancelJob) -> str:
    campaign, rate = job.campaign, job.service.limits.requests_per_second
    lines = [
        f"{len(campaign)} messages are to be cancelled at {job.service.gateway.label}. It can not be undone.",
        f"  connection  {options.conn_id}, {job.service.gateway.base_url}",
        f"  time        about {duration(len(campaign) / departures_per_second(rate))} at {rate:g} requests a second",
        f"  report      {job.report or 'none; with --report there is a record of every message'}",
    ]
    if campaign.rejected:
        lines.append(f"  rejected    {len(campaign.rejected)} rows of the list, which name no message")
    return "\n".join([*lines, "Cancel them? [y/N]"])


def _not_stopped(job: CancelJob) -> list[Table | str]:
    shown = job.ending.not_stopped
    if not shown:
        return []
    more = sum(job.ending.counts[outcome] for outcome in FAIL_ON_DEFAULT) - len(shown)
    where = f"in the report, {job.report}" if job.report else "named above, after 'Not stopped:'"
    rows = [(row["message_id"], row["outcome"], row["gateway_status"]) for row in shown]
    table = rows_table(("not stopped", "outcome", "gateway status"), rows)
    return [table, f"{more} more were not stopped: they are {where}."] if more > 0 else [table]
