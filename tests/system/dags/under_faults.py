"""Campaigns at gateways of which nothing can be relied on. Each run is told by its conf where, and what to cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

COMMON: dict[str, Any] = {
    "task_id": "cancel",
    # One fault asks to come back in ten years: it is waited out for so long.
    "give_up_after": timedelta(seconds=10),
    # What is open is taken up again; the rest stays as it is, and that is for whoever reads the report.
    "fail_on": ["unconfirmed", "not_attempted"],
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
}
ANY_TIME: dict[str, Any] = {"schedule": None, "start_date": datetime(2024, 1, 1, tzinfo=UTC)}

for mode in ("here", "deferred"):
    with DAG(
        f"under_faults_{mode}", params={"connection": "", "manifest": "", "report": ""}, **ANY_TIME
    ) as dag:
        CancelMessageOperator(
            sms_conn_id="{{ params.connection }}",
            manifest="{{ params.manifest }}",
            report_path="{{ params.report }}",
            deferrable=mode == "deferred",
            **COMMON,
        )
    globals()[dag.dag_id] = dag

ONCE = COMMON | {"retries": 0, "give_up_after": timedelta(seconds=2)}

with DAG("many_deferred", params={"campaigns": [], "folder": ""}, **ANY_TIME):
    CancelMessageOperator.partial(deferrable=True, **ONCE).expand_kwargs(
        [
            {
                "sms_conn_id": f"{{{{ params.campaigns[{number}].connection }}}}",
                "message_ids": f"{{{{ params.campaigns[{number}].ids }}}}",
                "report_path": f"{{{{ params.folder }}}}/{number}",
            }
            for number in range(8)
        ]
    )
