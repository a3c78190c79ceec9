"""The kill switch: stops a campaign from Airflow's own trigger form.

1. Press **Trigger**, and fill in the form.
2. Unless *Cancel at once* is on, the run counts the messages, asks the gateway about a few of them, and waits for somebody's
   approval: **Required Actions**.
3. Then it cancels. Open task **summary**: how many were stopped, how many were not and why, and where the list is.

**Green: every message is stopped.** Red: not all of them, or none; task *summary* says which.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    Param,
    task,
)

from airflow_provider_smscancel.campaigns.telling import tell_ending
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.operators.look_at_campaign import LookAtCampaignOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowException):  # Airflow before 3.1: it is missing, or says that it needs 3.1
    ApprovalOperator = None

log = logging.getLogger(__name__)

# [START howto_operator_cancel_campaign]
CAMPAIGN = {
    "sms_conn_id": "{{ params.connection }}",
    "message_ids": "{{ params.message_ids or '' }}",
    "manifest": "{{ params.manifest or '' }}",
    "campaign": "{{ params.campaign or '' }}",
}

APPROVAL = """{{ ti.xcom_pull(task_ids='look', key='text') }}

**Approve** cancels all of them; that can not be undone. **Reject** cancels nothing. Without an answer within
{{ params.approve_within_minutes }} min, nothing is cancelled either.
"""


NO_REASON = "Task {task} did not succeed, and left no reason: it was killed, marked failed by hand, or lost by Airflow."
UNKNOWN_CONNECTION = "Nothing was sent in this try. The ids of all connections are under Admin, Connections."
FORM = "In the form, fill in one of the fields Message ids and Manifest, and only one."


def keep_error(context: dict) -> None:
    """Keep what a task failed with, for the summary."""
    if error := context.get("exception"):
        advice = f". {UNKNOWN_CONNECTION}" if isinstance(error, AirflowNotFoundException) else ""
        context["ti"].xcom_push(key="error", value=f"{error}{advice}")


def keep_begun(context: dict) -> None:
    """Keep that task cancel has begun. It outlives a later failure of what comes before, when somebody clears that."""
    context["ti"].xcom_push(key="begun", value=True)


def states_of_run(ti) -> dict[str, str]:
    """Ask Airflow where each task of this run is."""
    if hasattr(ti, "get_task_states"):  # from Airflow 3 on, where a task has no database
        return ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
    return {each.task_id: each.state for each in ti.get_dagrun().get_task_instances()}


def limit_approval(context: dict) -> None:
    """Take the time limit from the form, since the operator has no template for it."""
    limit = timedelta(minutes=context["params"]["approve_within_minutes"])
    # The standard provider that came with Airflow 3.1 takes it under another name.
    newer = hasattr(context["task"], "response_timeout")
    setattr(context["task"], "response_timeout" if newer else "execution_timeout", limit)


with DAG(
    dag_id="cancel_campaign",
    description="Stop an SMS campaign now: press Trigger, and fill in the form.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    # A person must not have to find the pause button first.
    is_paused_upon_creation=False,
    tags=["sms", "cancel", "on-call"],
    default_args={
        # Before everything else that waits for a slot; quick to come back when a worker dies.
        "priority_weight": 10_000,
        "weight_rule": "absolute",
        "retries": 3,
        "retry_delay": timedelta(seconds=10),
        "on_failure_callback": keep_error,
    },
    params={
        "connection": Param(
            "clickatell_default",
            type="string",
            minLength=1,
            title="Connection",
            description="The id of the connection that the campaign was scheduled through, such as clickatell_default or "
            "esendex_default. All are listed under Admin, Connections.",
        ),
        "message_ids": Param(
            "",
            type=["null", "string"],
            format="multiline",
            title="Message ids",
            description="The ids that the gateway gave out, one per line. A pasted list with commas or quotes is understood "
            "too. Leave it empty if you have a file.",
        ),
        "manifest": Param(
            "",
            type=["null", "string"],
            title="Manifest",
            description="Instead of ids, a file that Airflow's workers can read: an absolute path, or a URL such as "
            "s3://aws_default@bucket/campaign.csv. CSV, JSON Lines or Parquet, with a column message_id; with a column "
            "scheduled_at as well, the most urgent messages are stopped first.",
        ),
        "campaign": Param(
            "",
            type=["null", "string"],
            title="Campaign",
            description="Any name. It is shown in the approval, the logs and the summary.",
        ),
        "cancel_at_once": Param(
            False,
            type="boolean",
            title="Cancel at once",
            description="On when minutes count: cancels without looking first, and asks nobody for an approval.",
        ),
        "approve_within_minutes": Param(
            15,
            type="integer",
            minimum=1,
            maximum=1440,
            title="Approve within (minutes)",
            description="If nobody has approved by then, the run fails and nothing is cancelled.",
        ),
    },
) as dag:

    @task.branch
    def how(params: dict | None = None) -> str:
        """Choose whether to look first."""
        if params and params["cancel_at_once"]:
            return "cancel"
        if ApprovalOperator is None:
            log.warning("This Airflow has no approvals (3.1 has): the campaign is cancelled after looking.")
        return "look"

    # Whoever triggered this is watching: a mistake in the form is told at once, not after three more tries.
    look = LookAtCampaignOperator(task_id="look", retries=0, **CAMPAIGN)

    # Either this task was chosen at once, or looking (and the approval) succeeded.
    cancel = CancelMessageOperator(
        task_id="cancel",
        trigger_rule="none_failed_min_one_success",
        on_execute_callback=keep_begun,
        **CAMPAIGN,
    )

    @task(trigger_rule="all_done", retries=0)
    def summary(ti=None, params: dict | None = None) -> list[str]:
        """Say what came of it, and fail unless task cancel succeeded: the last task decides whether the run is red."""
        counts = ti.xcom_pull(task_ids="cancel", key="summary")
        succeeded = ti.xcom_pull(task_ids="cancel") is not None  # a task that fails leaves no return value
        states = states_of_run(ti)
        # By both: a task that is killed at its very start has pushed nothing yet.
        begun = states["cancel"] != "upstream_failed" or ti.xcom_pull(task_ids="cancel", key="begun")
        if counts:
            lines = tell_ending(counts, ti.xcom_pull(task_ids="cancel", key="not_stopped"))
        elif begun:
            lines = ["NO COUNTS: task cancel did not get as far as that."]
        else:
            lines = ["NOTHING WAS CANCELLED."]
        for name in ("how", "look", "approve", "cancel"):
            if states.get(name) != "failed":
                continue
            if error := ti.xcom_pull(task_ids=name, key="error"):
                lines.append(f"Task {name} failed: {error}")
            else:
                then = "Open its log, then clear it." if name == "cancel" else "Trigger again."
                lines.append(f"{NO_REASON.format(task=name)} {then}")
        if (
            not counts
            and sum(bool((params[field] or "").strip()) for field in ("message_ids", "manifest")) != 1
        ):
            lines.append(FORM)
        for line in lines:
            log.info(line)
        if not succeeded:
            raise AirflowFailException(lines[0])
        return lines

    chosen = how()
    chosen >> [look, cancel]
    if ApprovalOperator is None:
        look >> cancel
    else:
        approve = ApprovalOperator(
            task_id="approve",
            subject="Cancel {{ 'campaign ' ~ params.campaign if params.campaign else 'this campaign' }}?",
            body=APPROVAL,
            # A run that cancels nothing must not look like one that did: a rejection is a failure here.
            fail_on_reject=True,
            retries=0,
            pre_execute=limit_approval,
        )
        look >> approve >> cancel
    cancel >> summary()
# [END howto_operator_cancel_campaign]
