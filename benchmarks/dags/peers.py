"""The same job three ways, in a real Airflow: this package's operator, a loop of `requests`, and one mapped task per message."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, task

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

HEADERS = {"X-Version": "1", "Authorization": "Bearer token", "Accept": "application/json"}
ANY_TIME: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "params": {"manifest": "", "report": "", "url": ""},
}


def _read(manifest: str) -> list[str]:
    return Path(manifest).read_text().split()[1:]


def _stop_all(manifest: str, url: str) -> None:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        for message_id in _read(manifest):
            answer = session.delete(f"{url}/rest/message/{message_id}", timeout=10)
            if answer.json()["data"]["messageStatus"] != "006":
                raise RuntimeError("a message was not stopped")


with DAG("operator", **ANY_TIME):
    CancelMessageOperator(
        task_id="cancel",
        sms_conn_id="bench_clickatell",
        manifest="{{ params.manifest }}",
        report_path="{{ params.report }}",
    )

with DAG("requests_loop", **ANY_TIME):
    PythonOperator(
        task_id="cancel",
        python_callable=_stop_all,
        op_kwargs={"manifest": "{{ params.manifest }}", "url": "{{ params.url }}"},
    )

with DAG("mapped", max_active_tasks=64, **ANY_TIME):

    @task
    def endpoints(params: dict[str, Any] | None = None) -> list[str]:
        """Name every message."""
        return [f"rest/message/{message_id}" for message_id in _read((params or {})["manifest"])]

    HttpOperator.partial(
        task_id="cancel",
        http_conn_id="bench_http",
        method="DELETE",
        headers=HEADERS,
        response_check=lambda response: response.json()["data"]["messageStatus"] == "006",
    ).expand(endpoint=endpoints())
