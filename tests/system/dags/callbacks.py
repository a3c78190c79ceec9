"""Campaigns that are stopped from a callback, because something else has failed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

CAMPAIGN: dict[str, Any] = {
    "sms_conn_id": "sandbox_clickatell",
    "manifest": "{{ dag_run.conf['manifest'] }}",
    "report_path": "{{ dag_run.conf['report'] }}",
    "campaign": "{{ run_id }}",
    "requests_per_second": 200,
    "max_concurrency": 16,
}
ANY_TIME: dict[str, Any] = {"schedule": None, "start_date": datetime(2024, 1, 1, tzinfo=UTC)}


@task
def check() -> None:
    """Fail, as a check of data does."""
    raise ValueError("the data is wrong")


with DAG("callback_of_a_task", **ANY_TIME):
    check.override(on_failure_callback=CancelMessageNotifier(**CAMPAIGN))()

with DAG("callback_with_too_little_time", **ANY_TIME):
    check.override(on_failure_callback=CancelMessageNotifier(**CAMPAIGN, deadline_s=2))()

with DAG("callback_of_a_dag", on_failure_callback=CancelMessageNotifier(**CAMPAIGN), **ANY_TIME):
    check()

with DAG("finish", **ANY_TIME):
    CancelMessageOperator(task_id="cancel", **CAMPAIGN)


# The example, in this Airflow's home, and with a deadline that a test can wait for.
HERE = {
    'SMS_CONN_ID = "clickatell_default"': 'SMS_CONN_ID = "sandbox_clickatell"',
    'FOLDER = str(Path(tempfile.gettempdir()) / "smscancel-checked")': f"FOLDER = {os.environ['AIRFLOW_HOME'] + '/checked'!r}",
    "CANCELLED_AFTER = timedelta(minutes=30)": "CANCELLED_AFTER = timedelta(seconds=15)",
}
source = (Path(__file__).parents[3] / "dags" / "cancel_unless_checks_pass.py").read_text()
for written, here in HERE.items():
    if source.count(written) != 1:
        raise ValueError(f"The example does not say {written!r}.")
    source = source.replace(written, here)
example: dict[str, Any] = {}
exec(compile(source, __file__, "exec"), example)
dag = example["dag"]
