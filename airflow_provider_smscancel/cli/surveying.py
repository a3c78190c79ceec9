"""Asking where messages are from the command line."""

from __future__ import annotations

import argparse

from rich.table import Table

from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.cli.errors import FAILED, WRONG, nothing_sent
from airflow_provider_smscancel.cli.making import make_survey_job
from airflow_provider_smscancel.cli.running import run
from airflow_provider_smscancel.cli.screen import Screen, counts_table, rows_table
from airflow_provider_smscancel.common.judging import ENDS
from airflow_provider_smscancel.gateways.base import MessageState, MessageStatus

ROWS_SHOWN = 100

Row = dict[str, str | None]


def survey(options: argparse.Namespace, screen: Screen, *, each: bool) -> int:
    """Ask where the messages are, and show it.

    :param each: whether to show it message by message.
    :return: the exit status.
    :raises CommandError: nothing was sent.
    """
    statuses: dict[str, MessageStatus] = {}

    def take(status: MessageStatus) -> None:
        statuses[status.message_id] = status

    with nothing_sent():
        job = make_survey_job(options, screen, take if each else None)
    interrupted = run(job, screen)
    end = job.end or RunEnd.STOPPED
    found = {**job.summary, "end": end.value}
    tables: list[Table | str] = []
    if each:
        found["messages"] = rows = _rows(job, statuses)
        tables = _shown(rows)
    screen.result(found, *tables, counts_table(job.summary["states"]))
    if job.account_refusal is not None:
        screen.complain(
            f"The gateway refuses the account of connection {options.conn_id!r}: {job.account_refusal.detail}"
        )
        return WRONG
    if end is not RunEnd.COMPLETE:
        screen.complain(f"{ENDS[end]} Nothing was cancelled.")
        return interrupted or FAILED
    if job.campaign.incomplete is not None:
        screen.complain(f"The {job.campaign.incomplete}: what comes after was not asked about.")
        return FAILED
    return 0


def _rows(job: SurveyJob, statuses: dict[str, MessageStatus]) -> list[Row]:
    missing = MessageStatus("", MessageState.UNKNOWN, None, "not asked: the run ended first")
    rows = []
    for message_id in job.campaign.ids:
        status = statuses.get(message_id, missing)
        rows.append(_row(message_id, status.state, status.code, status.description))
    return rows + [
        _row(row.position, MessageState.UNKNOWN, None, row.reason) for row in job.campaign.rejected
    ]


def _row(message_id: str, state: MessageState, code: str | None, description: str) -> Row:
    return {"message_id": message_id, "state": state.value, "code": code, "description": description}


def _shown(rows: list[Row]) -> list[Table | str]:
    table = rows_table(
        ("message", "state", "code", "description"), [tuple(row.values()) for row in rows[:ROWS_SHOWN]]
    )
    more = len(rows) - ROWS_SHOWN
    return [table, f"{more} more messages: --output json shows them all."] if more > 0 else [table]
