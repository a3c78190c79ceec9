"""Campaigns of which others take notice: DAGs downstream, OpenLineage, and whoever opens the report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

COMMON: dict[str, Any] = {
    "sms_conn_id": "sandbox_clickatell",
    "report_path": "{{ params.report }}",
    "campaign": "spring sale",
    "requests_per_second": 10,  # three seconds: what is back from the triggerer sooner, Airflow may take for lost
}
ANY_TIME: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "params": {"manifest": "", "ids": [], "report": ""},
}
CANCELLED = Asset("campaign-cancelled", uri="campaign://spring/cancelled")
OF_ALIAS = Asset("spring-cancelled", uri="campaign://spring/cancelled/of-alias")
ANY_CAMPAIGN = AssetAlias("any-campaign-cancelled")


def choose_asset(context: Any) -> None:
    context["outlet_events"][ANY_CAMPAIGN].add(OF_ALIAS)


for mode in ("here", "deferred"):
    with DAG(f"watched_{mode}", **ANY_TIME) as dag:
        CancelMessageOperator(
            task_id="cancel",
            manifest="{{ params.manifest }}",
            outlets=[CANCELLED, ANY_CAMPAIGN],
            pre_execute=choose_asset,
            deferrable=mode == "deferred",
            **COMMON,
        )
    globals()[dag.dag_id] = enable_lineage(dag)

with DAG("watched_mapped", **ANY_TIME):
    CancelMessageOperator.partial(task_id="cancel", **COMMON).expand_kwargs(
        [{"message_ids": "{{ params.ids[0] }}"}, {"message_ids": "{{ params.ids[1] }}"}]
    )

with DAG("hears_of_it", schedule=[CANCELLED], start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):

    @task
    def read_counts(triggering_asset_events: Any = None) -> list[Any]:
        return [event.extra for event in triggering_asset_events[CANCELLED]]

    read_counts()

with DAG("hears_of_any", schedule=[ANY_CAMPAIGN], start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):

    @task
    def read_counts_of_any(triggering_asset_events: Any = None) -> list[Any]:
        return [event.extra for event in triggering_asset_events[ANY_CAMPAIGN]]

    read_counts_of_any()
