"""Cancels a large campaign on several workers at once.

The manifest is split by a hash of the ids, one task per shard is mapped over the shards, and Airflow's own executor spreads
them over its workers. The rate below is what the *account* allows: it is divided among the shards, so that all of them
together keep it. That pays where one worker can not keep the rate, and only while all shards run side by side: with fewer free
slots than shards, a part of the rate lies idle, and one task with the whole rate is faster.

One merged summary comes at the end. It fails when the campaign did: a last task that succeeds would make the run green.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

# [START howto_operator_cancel_large_campaign]
SHARDS = 4
REQUESTS_PER_SECOND = 100  # of the whole account

with DAG(
    dag_id="cancel_large_campaign",
    description="Cancel a large campaign, split over several workers.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    # Two runs at once would take twice the account's rate.
    max_active_runs=1,
    tags=["sms", "cancel"],
    params={
        "connection": Param("clickatell_default", type="string", minLength=1, title="Connection"),
        "manifest": Param(
            "",
            type="string",
            minLength=1,
            title="Manifest",
            description="Absolute path or URL, readable by every worker: .csv, .jsonl (each also .gz) or .parquet.",
        ),
        "folder": Param(
            "",
            type="string",
            minLength=1,
            title="Folder",
            description="Absolute path or URL, writable by every worker: the shards and the report are written here.",
        ),
    },
) as dag:

    @task
    def split(params: dict | None = None, run_id: str | None = None) -> list[str]:
        """Split the manifest, each shard in its own order of urgency."""
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_smscancel.campaigns import split_manifest

        # Whoever triggers a run may choose its id: it must neither lead elsewhere nor end up in the folder of another run.
        folder = ObjectStoragePath(params["folder"]) / "shards" / ("run-" + quote(run_id, safe="+"))
        return split_manifest(ObjectStoragePath(params["manifest"]), SHARDS, folder)

    cancel = CancelMessageOperator.partial(
        task_id="cancel",
        sms_conn_id="{{ params.connection }}",
        requests_per_second=REQUESTS_PER_SECOND / SHARDS,
        report_path="{{ params.folder.rstrip('/') }}/report",
        campaign="shard {{ ti.map_index + 1 }} of " + str(SHARDS),
        on_empty="succeed",  # a small campaign may leave a shard without a message
        map_index_template="{{ task.campaign }}",
        retries=3,
        retry_delay=timedelta(seconds=10),
    ).expand(manifest=split())

    @task(trigger_rule="all_done")
    def merge(ti=None) -> dict:
        """Add the summaries up, and fail unless every message of every shard is stopped or harmless."""
        found = [summary for summary in ti.xcom_pull(task_ids="cancel", key="summary") or [] if summary]
        outcomes: dict[str, int] = {}
        for summary in found:
            for outcome, count in summary["outcomes"].items():
                outcomes[outcome] = outcomes.get(outcome, 0) + count
        total = sum(summary["total"] for summary in found)
        merged = {"shards": len(found), "total": total, "outcomes": outcomes}
        ti.xcom_push(key="summary", value=merged)
        harmless = sum(outcomes.get(name, 0) for name in ("cancelled", "already_cancelled", "will_not_send"))
        unwritten = [summary["report_error"] for summary in found if summary["report_error"]]
        if len(found) < SHARDS or harmless < total or unwritten:
            raise ValueError(f"The campaign is not stopped: {merged} {unwritten}")
        if not total:
            raise ValueError("There was no message to cancel: is it the right manifest?")
        return merged

    cancel >> merge()
# [END howto_operator_cancel_large_campaign]
