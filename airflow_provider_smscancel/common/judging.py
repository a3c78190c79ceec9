"""Whether a task fails, and how, once a campaign's run is over. The same, whether it ran on a worker or in the triggerer."""

from __future__ import annotations

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns.ending import Ending
from airflow_provider_smscancel.campaigns.outcome import OPEN, Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.campaigns.tally import said

ENDS = {
    RunEnd.COMPLETE: "The run was told to stop.",
    RunEnd.STOPPED: "The run was stopped before every message was asked.",
    RunEnd.DEADLINE: "The time limit (execution_timeout) was near before every message was asked.",
    RunEnd.GATEWAY_DOWN: "The gateway gave no answer for too long (give_up_after), or until the last message's time had passed.",
    RunEnd.ACCOUNT_REFUSED: "The gateway refused the account.",
    RunEnd.CRASHED: "The run broke down.",
}


def judge(ending: Ending, *, fail_on: frozenset[Outcome], sms_conn_id: str, killed: bool) -> None:
    """Fail the task, unless the campaign ended well.

    :param ending: how it ended.
    :param fail_on: which outcomes fail the task.
    :param sms_conn_id: the connection, for an error.
    :param killed: whether the task was told to end.
    :raises AirflowFailException: the account is refused, or asking again would not change what was not stopped.
    :raises AirflowException: something is open: Airflow's retry takes it up.
    """
    error = ending.summary["report_error"]
    not_reported = f"The report is not complete: {error}. " if error else ""
    if ending.account is not None:
        raise AirflowFailException(
            f"The gateway refuses the account of connection {sms_conn_id!r}: {ending.account['detail']}. {not_reported}"
            f"{counts_of(ending)}"
        )
    if killed or ending.end is not RunEnd.COMPLETE:
        raise AirflowException(
            f"{ENDS[ending.end]} {not_reported}{counts_of(ending)} A retry takes up what is open."
        )
    if not_reported:
        raise AirflowException(f"{not_reported}{counts_of(ending)}")
    if ending.incomplete is not None:
        raise AirflowException(f"The {ending.incomplete}. {counts_of(ending)} A retry reads it again.")
    bad = {outcome: count for outcome, count in ending.counts.items() if count and outcome in fail_on}
    if not bad:
        return
    text = f"{sum(bad.values())} of {ending.counts.total()} messages were not stopped. {counts_of(ending)}"
    if OPEN & bad.keys():
        raise AirflowException(f"{text} A retry takes up what is open.")
    raise AirflowFailException(f"{text} Asking again would not change that.")


def counts_of(ending: Ending) -> str:
    """Say what became of how many messages, and where the rest is to be read."""
    report = ending.summary["report"]
    where = f"The report is in {report}." if report else "There is no report."
    return f"Outcomes: {said(ending.counts)}. {where}"
