"""How a campaign grows with its workers: on Celery and on LocalExecutor with one of them killed, and side by side at one server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from support.airflow_stack import AirflowStack
from support.distributed import distributed_airflow
from support.large_campaign import IN_FLIGHT, SHARDS, Large, example_at, kill_task
from support.sandbox_process import SandboxProcess

from benchmarks.clients import message_ids
from benchmarks.harness import BareServer, Client, Row, say
from benchmarks.memory import resident

CAMPAIGN = 50_000
RATE = 600
"""Of the whole account. Sandbox, Airflow, database and four tasks share two cores."""
LATENCY_S = 0.01
WORKERS = 2

SIDE_BY_SIDE = (1, 2, 4, 8)
ANSWERS_AFTER_S = 0.05
AT_A_TIME = 32
EACH = 8_000

ROWS = 1_000_000
PIECES = 64


def executors(scale: float = 1.0) -> list[Row]:
    """Stop a large campaign on each executor, with a worker, or a task, killed in the middle."""
    return [
        _on("CeleryExecutor, 2 workers (PostgreSQL, Redis), one killed", scale, local=False),
        _on("LocalExecutor (PostgreSQL), one task killed", scale, local=True),
    ]


def _on(name: str, scale: float, *, local: bool) -> Row:
    total = int(CAMPAIGN * scale)
    say(f"   {name}: {total:,} messages at {RATE:,} a second; a minute more for Airflow to start and to end")
    with tempfile.TemporaryDirectory() as scratch, SandboxProcess("--latency", str(LATENCY_S)) as sandbox:
        folder = Path(scratch)
        dags = example_at(RATE, folder / "dags")
        with distributed_airflow(
            folder / "airflow", dags, sandbox.url, workers=WORKERS, local=local
        ) as airflow:
            large = Large(airflow, sandbox, folder, total)
            began = time.monotonic()
            _kill_one(large, airflow, local=local)
            tries = large.check_it_is_stopped(rate=RATE, within_s=900)
            took_s = time.monotonic() - began
            peak, twice = sandbox.busiest_second("clickatell"), large.asked_twice()
    killed = sum(count for number, count in tries.items() if number > 1)
    allowed = killed * (RATE / SHARDS + IN_FLIGHT)
    return Row(
        f"{total:,} messages in {SHARDS} shards on {name}: messages without their true outcome",
        "0",
        f"**0**; {killed} shards were taken up by a second try, {twice} messages were asked for twice; "
        f"at most {peak} requests in any sliding second of {RATE} allowed; {took_s:.0f} s",
        killed > 0 and twice <= allowed,
    )


def _kill_one(large: Large, airflow: AirflowStack, *, local: bool) -> None:
    running = large.wait_for_a_half(within_s=600)
    if local:
        kill_task(running[0])
    else:
        airflow.kill(airflow.workers[0])


def workers(scale: float = 1.0) -> list[Row]:
    """Let several jobs stop messages side by side where the gateway's latency is the limit."""
    count = int(EACH * scale)
    per_second: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder, BareServer("--latency", str(ANSWERS_AFTER_S)) as server:
        for number in SIDE_BY_SIDE:
            say(f"   {number} jobs side by side, {count:,} messages each")
            reports = [Path(folder, f"{number}-{one}") for one in range(number)]
            jobs = [
                Client("job", server.url, "--count", count, "--concurrency", AT_A_TIME, "--report", report)
                for report in reports
            ]
            for job in jobs:
                job.begin()
            # Each by its own clock: they begin and end together but for some milliseconds.
            per_second[number] = sum(count / _seconds_of(job, count) for job in jobs)
    limit = AT_A_TIME / ANSWERS_AFTER_S
    found = ", ".join(f"{number}: {rate:,.0f}" for number, rate in per_second.items())
    shares = ", ".join(f"{rate / number / limit:.0%}" for number, rate in per_second.items())
    return [
        Row(
            f"jobs side by side on one core, {ANSWERS_AFTER_S:g} s until an answer, {AT_A_TIME} at a time: messages per second",
            "none",
            f"{found}; of what latency allows: {shares}",
        )
    ]


def shards(scale: float = 1.0) -> list[Row]:
    """Split a large manifest, and weigh a report."""
    from airflow_provider_smscancel.campaigns import split_manifest

    rows = int(ROWS * scale)
    say(f"   splitting {rows:,} rows")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "campaign.csv")
        path.write_text("\n".join(["message_id", *message_ids(rows)]) + "\n")
        Path("/proc/self/clear_refs").write_text(
            "5"
        )  # the peak is to be this one's, not that of an earlier row
        before = resident("VmRSS")
        seconds = _timed(lambda: split_manifest(path, PIECES, Path(folder, "shards")))
        grown = resident("VmHWM") - before
        with BareServer() as server:
            report = Path(folder, "report")
            job = Client(
                "job",
                server.url,
                "--count",
                int(EACH * scale),
                "--concurrency",
                AT_A_TIME,
                "--report",
                report,
            )
            job.begin()
            _seconds_of(job, int(EACH * scale))
            written = sum(part.stat().st_size for part in report.glob("part-*"))
            parts = len(list(report.glob("part-*")))
    return [
        Row(
            f"a manifest of {rows:,} rows split into {PIECES} shards",
            "none",
            f"{seconds:.1f} s, {grown:.0f} MB of memory at the peak",
        ),
        Row(
            "the report of a message",
            "none",
            f"{written / int(EACH * scale):.0f} bytes ({int(EACH * scale):,} messages in {parts} files)",
        ),
    ]


def _seconds_of(job: Client, count: int) -> float:
    """Wait for a job, and say how long it took to stop so many messages: all of them."""
    done = job.finish()
    if done["stopped"] != count:
        raise RuntimeError(f"a job stopped {done['stopped']} of {count} messages")
    return float(done["seconds"])


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
