"""A campaign that is stopped by a task, and one by the triggerer, on every Airflow that is supported."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

for name, deferrable in (("by_a_task", False), ("by_the_triggerer", True)):
    with DAG(
        dag_id=name,
        schedule=None,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        params={"ids": [], "report": ""},
    ) as dag:
        CancelMessageOperator(
            task_id="cancel",
            sms_conn_id="sandbox_clickatell",
            message_ids="{{ params.ids }}",
            report_path="{{ params.report }}",
            deferrable=deferrable,
            # Four seconds: Airflow may take a task that is back from the triggerer sooner for one that was lost.
            requests_per_second=5,
        )
    globals()[name] = dag
