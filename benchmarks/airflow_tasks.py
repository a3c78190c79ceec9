"""In a real Airflow: one task for 10,000 messages, against one mapped `HttpOperator` task per message and a `requests` loop."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from support.airflow_stack import AirflowStack

from benchmarks.clients import message_ids
from benchmarks.harness import BareServer, Row, say

DAGS = Path(__file__).parent / "dags"
MESSAGES = {"mapped": 100, "requests_loop": 5_000, "operator": 10_000}
LEAST = 200


def tasks(scale: float = 1.0) -> list[Row]:
    """Start an Airflow, and run the same job three ways."""
    with tempfile.TemporaryDirectory() as folder, BareServer() as server:
        say(
            "   starting a real Airflow (scheduler, DAG processor, triggerer, API server): about half a minute"
        )
        with AirflowStack(Path(folder, "airflow"), DAGS, _environment(server.url)) as airflow:
            each_ms = {
                dag_id: _run(airflow, server, dag_id, max(2, int(count * scale)), Path(folder))
                for dag_id, count in MESSAGES.items()
            }
    mapped, loop, own = (each_ms[dag_id] for dag_id in MESSAGES)
    return [
        Row(
            f"{MESSAGES['operator']:,} messages in one task, against one mapped `HttpOperator` task per message: time per message",
            f"≥ {LEAST} times",
            f"**{mapped / own:,.0f} times**: {own:.2f} ms against {mapped:,.0f} ms ({MESSAGES['mapped']} mapped tasks)",
            mapped / own >= LEAST,
        ),
        Row(
            "the same, against a `PythonOperator` with a `requests` loop: time per message",
            "none",
            f"{loop / own:.1f} times: {own:.2f} ms against {loop:.2f} ms ({MESSAGES['requests_loop']:,} messages)",
        ),
    ]


def _environment(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    pace = {"requests_per_second": 10_000, "max_concurrency": 64}
    connections = {
        "BENCH_CLICKATELL": {"conn_type": "clickatell", "host": url, "password": "token", "extra": pace},
        "BENCH_HTTP": {"conn_type": "http", "host": parts.hostname, "port": parts.port, "schema": "http"},
    }
    return {f"AIRFLOW_CONN_{name}": json.dumps(each) for name, each in connections.items()} | {
        "NO_PROXY": "127.0.0.1"
    }


def _run(airflow: AirflowStack, server: BareServer, dag_id: str, count: int, folder: Path) -> float:
    """Run a DAG over so many messages. Returns milliseconds per message, from the run's start to its end."""
    say(f"   {dag_id}: {count:,} messages")
    manifest = folder / f"{dag_id}.csv"
    manifest.write_text("\n".join(["message_id", *message_ids(count, dag_id)]) + "\n")
    airflow.wait_for_dag(dag_id)
    server.ask("reset")
    conf = {"manifest": str(manifest), "report": str(folder / "report"), "url": server.url}
    run_id = airflow.trigger(dag_id, conf)
    state = airflow.wait_for_run(dag_id, run_id, within_s=300)
    asked = server.ask("stats")["requests"]
    if state != "success" or asked != count:
        raise RuntimeError(f"the run of {dag_id} ended as {state} after {asked} of {count} requests")
    run = airflow.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
    began, ended = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (ended - began).total_seconds() / count * 1000
