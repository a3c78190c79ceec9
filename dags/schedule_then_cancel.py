"""Schedules a campaign a day ahead, writes down its ids, cancels it, and checks that every message is stopped.

What a team does with this: a rehearsal. It runs the whole way through an account, from sending to the proof that nothing
will go out, with as many messages as the form says. The numbers are made of the prefix that the form asks for: use a range
that reaches nobody, such as the one that the United Kingdom reserves for drama (the default).
"""

from __future__ import annotations

import csv
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, BaseHook, ObjectStoragePath, Param, task

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

RECIPIENTS_PER_REQUEST = 50

# [START howto_operator_schedule_then_cancel]
with DAG(
    dag_id="schedule_then_cancel",
    description="Schedule a campaign a day ahead, cancel it, and check that every message is stopped.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["sms", "cancel", "rehearsal"],
    params={
        "connection": Param("clickatell_default", type="string", minLength=1, title="Connection"),
        "count": Param(100, type="integer", minimum=1, maximum=10_000, title="Messages"),
        "number_prefix": Param(
            "44770090",
            type="string",
            pattern="^[1-9][0-9]{1,10}$",
            title="Number prefix",
            description="Four digits are put behind it for each recipient.",
        ),
        "folder": Param(
            # To try it with, on one machine: a team names its bucket.
            str(Path(tempfile.gettempdir()) / "smscancel-rehearsal"),
            type="string",
            title="Folder",
            description="Absolute path or URL: the manifest and the report are written here.",
        ),
    },
) as dag:

    @task
    def schedule(params: dict | None = None) -> str:
        """Schedule the campaign for this time tomorrow, and write its manifest."""
        params = params or {}
        hook = BaseHook.get_hook(params["connection"])
        scheduled_at = datetime.now(UTC) + timedelta(days=1)
        numbers = [f"{params['number_prefix']}{n:04d}" for n in range(params["count"])]
        folder = ObjectStoragePath(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        manifest = folder / f"manifest-{hook.conn_type}.csv"
        with manifest.open("w") as file:
            rows = csv.writer(file)
            rows.writerow(["message_id", "scheduled_at"])
            for start in range(0, len(numbers), RECIPIENTS_PER_REQUEST):
                some = numbers[start : start + RECIPIENTS_PER_REQUEST]
                for sent in hook.send_message(some, "Rehearsal, please ignore.", scheduled_at=scheduled_at):
                    if sent.message_id is not None:
                        rows.writerow([sent.message_id, scheduled_at.isoformat()])
        return str(manifest)

    cancel = CancelMessageOperator(
        task_id="cancel",
        sms_conn_id="{{ params.connection }}",
        manifest="{{ ti.xcom_pull(task_ids='schedule') }}",
        report_path="{{ params.folder }}/report",
        campaign="rehearsal {{ run_id }}",
        max_messages="{{ params.count }}",
        retries=2,
        retry_delay=timedelta(seconds=10),
    )

    @task
    def check(summary: dict) -> None:
        """Fail unless every message is stopped."""
        stopped = summary["outcomes"]["cancelled"] + summary["outcomes"]["already_cancelled"]
        if stopped != summary["total"]:
            raise ValueError(
                f"Only {stopped} of {summary['total']} messages are stopped: {summary['outcomes']}"
            )

    schedule() >> cancel
    check(cancel.output)
# [END howto_operator_schedule_then_cancel]
