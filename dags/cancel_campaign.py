"""The kill switch: stops a campaign from Airflow's own trigger form.

Trigger this DAG, fill in the form, and read the task ``cancel`` (its XCom ``summary`` has the counts). A run in which a
single message was not stopped is a failed run.

Unless "Cancel at once" is on, the run first asks the gateway where the messages are (task ``look``) and then waits for
somebody's approval. Airflow before 3.1 has no approvals: there it goes on after looking, and says so in the log.
"""

from __future__ import annotations

import inspect
import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowException, Param, task

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
except (
    ImportError,
    AirflowException,
):  # Airflow before 3.1: the module is missing, or says that it needs 3.1
    ApprovalOperator = None

# [START howto_operator_cancel_campaign]
CAMPAIGN = {
    "sms_conn_id": "{{ params.connection }}",
    "message_ids": "{{ params.message_ids or '' }}",
    "manifest": "{{ params.manifest or '' }}",
    "campaign": "{{ params.campaign or '' }}",
}

with DAG(
    dag_id="cancel_campaign",
    description="Stop an SMS campaign now: trigger with the ids or a manifest.",
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
    },
    params={
        "connection": Param(
            "clickatell_default",
            type="string",
            minLength=1,
            title="Connection",
            description="The connection of the gateway that the campaign was scheduled through, for example "
            "`clickatell_default` or `esendex_default` (Admin, Connections).",
        ),
        "message_ids": Param(
            "",
            type=["null", "string"],
            format="multiline",
            title="Message ids",
            description="The ids that the gateway gave out, one per line. Leave empty if there is a manifest.",
        ),
        "manifest": Param(
            "",
            type=["null", "string"],
            title="Manifest",
            description="Instead of ids: an absolute path or URL of a .csv or .jsonl file (also .gz) with a column "
            "`message_id`, and `scheduled_at` if there is one: the most urgent are stopped first.",
        ),
        "campaign": Param(
            "",
            type=["null", "string"],
            title="Campaign",
            description="A name for logs and the summary.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only ask where each message is. Nothing is cancelled.",
        ),
        "cancel_at_once": Param(
            False,
            type="boolean",
            title="Cancel at once",
            description="Do not look first, do not wait for an approval.",
        ),
    },
) as dag:

    @task.branch
    def how(params: dict | None = None) -> str:
        """Choose whether to look first."""
        params = params or {}
        if params["cancel_at_once"] or params["dry_run"]:
            return "cancel"
        if ApprovalOperator is None:
            logging.getLogger(__name__).warning(
                "This Airflow has no approvals (3.1 has): the campaign is cancelled after looking."
            )
        return "look"

    look = CancelMessageOperator(task_id="look", dry_run=True, **CAMPAIGN)

    cancel = CancelMessageOperator(
        task_id="cancel",
        dry_run="{{ params.dry_run }}",
        # Either this task was chosen at once, or looking (and the approval) succeeded.
        trigger_rule="none_failed_min_one_success",
        **CAMPAIGN,
    )

    chosen = how()
    chosen >> [look, cancel]
    if ApprovalOperator is None:
        look >> cancel
    else:
        # An approval that nobody gives must end as a failed run, not as one that waits for ever. Older versions of the
        # standard provider take the limit under another name.
        newer = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
        limit = {"response_timeout" if newer else "execution_timeout": timedelta(minutes=15)}
        approve = ApprovalOperator(
            task_id="approve",
            subject="Cancel the campaign {{ params.campaign or '(no name)' }}?",
            body="The gateway says about its messages:\n\n"
            "{% set found = ti.xcom_pull(task_ids='look', key='summary') %}"
            "{% for state, count in found['states'].items() %}- {{ state }}: {{ count }}\n{% endfor %}\n"
            "Approve to cancel all {{ found['total'] }} of them. A rejection ends the run and cancels nothing.",
            retries=0,
            **limit,
        )
        look >> approve >> cancel
# [END howto_operator_cancel_campaign]
