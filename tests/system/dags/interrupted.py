"""Campaigns for tests that interrupt them. Each run is told by its conf what to cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

COMMON: dict[str, Any] = {
    "sms_conn_id": "sandbox_clickatell",
    "manifest": "{{ params.manifest }}",
    "report_path": "{{ params.report }}",
    "campaign": "{{ dag.dag_id }}",
    "requests_per_second": 200,
    "max_concurrency": 16,
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
}
ANY_TIME: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "params": {"manifest": "", "report": ""},
}


class HeedlessOfItsTimeLimit(CancelMessageOperator):
    """Does not end itself before its time limit, so that it can be seen what the limit itself does."""

    def _make_job(self, *arguments: Any, **options: Any) -> Any:
        limit, self.execution_timeout = self.execution_timeout, None
        try:
            return super()._make_job(*arguments, **options)
        finally:
            self.execution_timeout = limit


with DAG("interrupted", **ANY_TIME):
    CancelMessageOperator(task_id="cancel", **COMMON)

WITHOUT_A_REPORT = {name: value for name, value in COMMON.items() if name != "report_path"}

with DAG("without_a_report", **ANY_TIME):
    CancelMessageOperator(task_id="cancel", **WITHOUT_A_REPORT)

# Twelve seconds of requests against a limit of six: a slow machine may take seconds to begin, and no try may do it all.
CUT_OFF: dict[str, Any] = {
    "execution_timeout": timedelta(seconds=6),
    "requests_per_second": 50,
    "retries": 4,
}

with DAG("cut_off_without_a_report", **ANY_TIME):
    HeedlessOfItsTimeLimit(task_id="cancel", **(WITHOUT_A_REPORT | CUT_OFF))

with DAG("deferred", **ANY_TIME):
    CancelMessageOperator(task_id="cancel", deferrable=True, **COMMON)

with DAG("deferred_without_a_report", **(ANY_TIME | {"params": {"ids": []}})):
    CancelMessageOperator(
        task_id="cancel",
        sms_conn_id="sandbox_clickatell",
        message_ids="{{ params.ids }}",
        requests_per_second=25,  # four seconds: what is back from the triggerer sooner, Airflow may take for lost
        deferrable=True,
    )

with DAG("ends_itself", **ANY_TIME):
    CancelMessageOperator(task_id="cancel", execution_timeout=timedelta(seconds=12), **COMMON)

with DAG("runs_into_its_time_limit", **ANY_TIME):
    HeedlessOfItsTimeLimit(task_id="cancel", **(COMMON | CUT_OFF))
