"""What the log says last of a campaign that was stopped from a callback."""

from __future__ import annotations

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.ending import Ending
from airflow_provider_smscancel.campaigns.job import Log
from airflow_provider_smscancel.campaigns.outcome import OPEN, Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.common.judging import ENDS, counts_of
from airflow_provider_smscancel.common.parameters import FAIL_ON_DEFAULT

WHY = ENDS | {
    RunEnd.DEADLINE: "The callback's time (deadline_s) was over.",
    RunEnd.GATEWAY_DOWN: "The gateway gave no answer for too long.",
}
TO_FINISH = "To finish, cancel the same ids with CancelMessageOperator (its example cancel_campaign does)."


def tell(log: Log, job: CancelJob, *, sms_conn_id: str) -> None:
    """Say in one line what became of the campaign: at level INFO when all are stopped or harmless, else at level ERROR.

    :param job: its run is over.
    :param sms_conn_id: the connection, for an error.
    """
    ending = job.ending
    name = f"Campaign {job.name!r}: " if job.name else ""
    total = ending.counts.total()
    not_stopped = sum(ending.counts[outcome] for outcome in FAIL_ON_DEFAULT)
    wrong = _what_is_wrong(ending, sms_conn_id)
    if not not_stopped and not wrong:
        log.info(
            "%sall %d messages are stopped, or will not go out for another reason. %s",
            name,
            total,
            counts_of(ending),
        )
        return
    log.error(
        "%s%d of %d messages were not stopped; %d of them were not asked. %s",
        name,
        not_stopped,
        total,
        ending.counts[Outcome.NOT_ATTEMPTED],
        " ".join(filter(None, (wrong, counts_of(ending), TO_FINISH if _is_open(ending) else None))),
    )


def _is_open(ending: Ending) -> bool:
    return bool(ending.incomplete) or any(ending.counts[outcome] for outcome in OPEN)


def _what_is_wrong(ending: Ending, sms_conn_id: str) -> str | None:
    if ending.account is not None:
        return f"The gateway refuses the account of connection {sms_conn_id!r}: {ending.account['detail']}"
    if ending.end is not RunEnd.COMPLETE:
        return WHY[ending.end]
    if ending.summary["report_error"]:
        return f"The report is not complete: {ending.summary['report_error']}."
    if ending.incomplete is not None:
        return f"The {ending.incomplete}."
    return None
