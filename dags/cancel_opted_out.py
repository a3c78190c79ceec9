"""Every hour, cancels the messages that are scheduled for people who have opted out since.

A join finds them, the operator stops them, and the outcome of each is written back to the table in one transaction. A run
that is repeated finds only what is still open, and an older outcome never replaces a newer one, so repeating is safe.

A message that the gateway does not know, or whose id it refuses, is asked for again in every run, and the run fails, until
somebody corrects its row or writes an outcome into it: nobody can say that it is stopped.

It reads the outcomes from the task's report, so ``[smscancel] report_folder`` must be set. It expects two tables; adapt the
query to yours::

    scheduled_messages (message_id text primary key, phone text, scheduled_at timestamptz,
                        cancel_outcome text, cancel_checked_at timestamptz)
    opt_outs (phone text)
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, BaseHook, ObjectStoragePath, task
from sqlalchemy import text

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

# [START howto_operator_cancel_opted_out]
SMS_CONN_ID = "clickatell_default"
SQL_CONN_ID = "campaigns"

# What was stopped, has left or will not go out needs no second look; everything else does.
FIND = """
SELECT m.message_id, m.scheduled_at
FROM scheduled_messages m JOIN opt_outs o ON o.phone = m.phone
WHERE m.cancel_outcome IS NULL OR m.cancel_outcome IN ('unconfirmed', 'not_attempted', 'not_found', 'rejected')
"""

WRITE = """
UPDATE scheduled_messages SET cancel_outcome = :outcome, cancel_checked_at = :finished_at
WHERE message_id = :message_id AND (cancel_checked_at IS NULL OR cancel_checked_at <= :finished_at)
"""

with DAG(
    dag_id="cancel_opted_out",
    description="Cancel what is scheduled for people who have opted out.",
    doc_md=__doc__,
    schedule=timedelta(hours=1),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["sms", "cancel"],
) as dag:
    cancel = CancelMessageOperator(
        task_id="cancel",
        sms_conn_id=SMS_CONN_ID,
        sql=FIND,
        sql_conn_id=SQL_CONN_ID,
        campaign="opted out",
        on_empty="succeed",
        retries=2,
        retry_delay=timedelta(minutes=1),
    )

    @task(trigger_rule="all_done")
    def write_back(ti=None) -> int:
        """Write the outcomes to the table, also of a campaign that failed; then fail if it did."""
        summary = ti.xcom_pull(task_ids="cancel", key="summary")
        if summary is None:
            raise ValueError("The task cancel ended before it asked for anything: see its log.")
        if summary["report"] is None:
            raise ValueError("There is no report to write back from: set [smscancel] report_folder.")
        folder = ObjectStoragePath(summary["report"])
        last: dict[str, dict] = {}
        for part in folder.glob("part-*.jsonl") if folder.exists() else []:
            for line in part.read_text().splitlines():
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # cut off when a worker was killed: the retry has asked again
                known = last.setdefault(row["message_id"], row)
                if (known["try"], known["finished_at"]) <= (row["try"], row["finished_at"]):
                    last[row["message_id"]] = row
        engine = BaseHook.get_hook(SQL_CONN_ID).get_sqlalchemy_engine()
        try:
            with engine.begin() as connection:  # all of them, or none
                if last:
                    connection.execute(text(WRITE), list(last.values()))
        finally:
            engine.dispose()
        harmless = sum(
            summary["outcomes"][name] for name in ("cancelled", "already_cancelled", "will_not_send")
        )
        if harmless < summary["total"]:
            raise ValueError(f"Not all messages are stopped: {summary['outcomes']}")
        if summary["report_error"]:
            raise ValueError(f"Not all outcomes could be written back: {summary['report_error']}")
        return len(last)

    cancel >> write_back()
# [END howto_operator_cancel_opted_out]
