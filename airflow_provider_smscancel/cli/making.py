"""From a command's options to what runs. Nothing here sends anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_smscancel._airflow import conf
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.journal import next_try, owner_of
from airflow_provider_smscancel.campaigns.manifest_lines import shown_path
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult
from airflow_provider_smscancel.campaigns.sources import SourceError, add_ids, check_list
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.cli.screen import Screen
from airflow_provider_smscancel.common.parameters import one_source, read_count, read_duration
from airflow_provider_smscancel.common.report_folder import check_report_folder, open_path, open_report
from airflow_provider_smscancel.common.report_owner import journal_in
from airflow_provider_smscancel.gateways.base import IdType, MessageStatus
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.by_connection import hook_of

STANDARD_INPUT = "-"


def make_survey_job(
    options: argparse.Namespace, screen: Screen, take_status: Callable[[MessageStatus], None] | None
) -> SurveyJob:
    """Make the job that asks where messages are.

    :param take_status: is given where each message is, in another thread.
    :raises ValueError: an option, the connection or the list is wrong.
    :raises SourceUnavailable: the list can't be read now.
    """
    hook = hook_of(options.conn_id)
    service = _service(options, hook)
    name = getattr(options, "campaign", None)
    return SurveyJob(
        service, _read_list(options, hook, screen), name=name, log=screen.log, take_status=take_status
    )


def make_cancel_job(options: argparse.Namespace, screen: Screen) -> CancelJob:
    """Make the job that stops messages, and that goes on where an earlier one with the same report has ended.

    :raises ValueError: an option, the connection or the list is wrong.
    :raises SourceUnavailable: the list can't be read now.
    """
    hook = hook_of(options.conn_id)
    service = _service(options, hook)
    report = _report(options)
    folder = None if report is None else open_report("--report", report)
    campaign = _read_list(options, hook, screen)
    journal, try_number = None, 1
    if folder is not None:
        owner = owner_of(dag_id="", task_id="command line", run_id=_run_id(options, campaign), map_index=-1)
        try_number = next_try(folder, owner)
        journal = journal_in(
            folder, owner=owner, try_number=try_number, campaign=campaign, gateway=hook.gateway
        )
    return CancelJob(
        service,
        campaign,
        name=options.campaign,
        log=screen.log,
        journal=journal,
        report=report,
        try_number=try_number,
        take_result=_teller(screen) if options.verbose else None,
    )


def _teller(screen: Screen) -> Callable[[CancelResult], None]:
    def tell(result: CancelResult) -> None:
        screen.note(f"{result.message_id}: {result.outcome.value} ({result.detail})")

    return tell


def _service(options: argparse.Namespace, hook: SmsGatewayHook) -> Service:
    return hook.service(
        requests_per_second=options.requests_per_second,
        max_concurrency=options.max_concurrency,
        give_up_after=read_duration("--give-up-after", options.give_up_after),
    )


def _read_list(options: argparse.Namespace, hook: SmsGatewayHook, screen: Screen) -> Campaign:
    limit = read_count("--max-messages", options.max_messages)
    ids = None if options.id is None else "\n".join(_with_standard_input(options.id, screen))
    source = one_source({"--id": ids, "--manifest": options.manifest})
    campaign = Campaign(hook.gateway, hook.check_id_type(options.id_type))
    if source == "--id":
        add_ids(campaign, ids, "--id")
    else:
        read_manifest(campaign, open_path("--manifest", _absolute(options.manifest)))
    check_list(campaign, label=hook.gateway.label, max_messages=limit)
    if not campaign.total:
        raise SourceError("There is no message in the list.")
    return campaign


def _with_standard_input(given: list[str], screen: Screen) -> list[str]:
    if STANDARD_INPUT in given and sys.stdin.isatty():
        screen.tell("Paste the ids, one per line, and end with Ctrl-D on a line of its own.")
    try:
        return [sys.stdin.read() if text == STANDARD_INPUT else text for text in given]
    except UnicodeDecodeError:
        raise SourceError("--id -: standard input is not text that can be read: save it as UTF-8.") from None


def _absolute(text: str) -> str:
    # A path of the current folder is what somebody at a shell means.
    try:
        return text if "://" in text else str(Path(text).expanduser().absolute())
    except RuntimeError:
        raise ValueError(f"{shown_path(text)}: there is no home folder of such a user here.") from None


def _report(options: argparse.Namespace) -> str | None:
    if options.report:
        return _absolute(options.report)
    root = (conf.get("smscancel", "report_folder", fallback="") or "").strip().rstrip("/")
    if not root:
        return None
    check_report_folder(root)
    # A new folder each time: only who names a folder means to go on with what is in it.
    return f"{root}/command_line/{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}"


def _run_id(options: argparse.Namespace, campaign: Campaign) -> str:
    name = options.campaign or ""
    if campaign.id_type is IdType.MESSAGE_ID:
        return name  # a gateway gives out no id twice: what was settled about one stays true in any list
    # An id that the sender chose may name another message in the next campaign.
    return f"{name}\0{campaign.fingerprint('')}"
