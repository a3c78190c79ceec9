"""How much memory a million rows take: the manifest is read, and every message of it is stopped, in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import UNLIMITED, Order, make_job, make_service, message_ids
from benchmarks.harness import BareServer, Row, cores, python, say

ROWS = 1_000_000
MOST_MB = 300
CONCURRENCY = 64
MB = 1_000_000


def manifest(scale: float = 1.0) -> list[Row]:
    """Stop a million messages, and watch the process that does it."""
    rows = int(ROWS * scale)
    with tempfile.TemporaryDirectory() as folder, BareServer() as server:
        path = Path(folder, "campaign.csv")
        with path.open("w") as file:
            file.writelines(_lines(rows))
        say(f"   reading {rows:,} rows and stopping them all: about {rows / 8000:.0f} s")
        process = python("benchmarks.memory", str(path), server.url, folder, core=cores()[1])
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError("reading the manifest failed: the error stands above")
        found = json.loads(said)
        if found["stopped"] != rows:
            raise RuntimeError(f"stopped {found['stopped']} of {rows} messages")
    return [
        Row(
            f"a manifest of {rows:,} rows, read and stopped to the last: growth of resident memory",
            f"≤ {MOST_MB} MB",
            f"**{found['grown']:.0f} MB** at the peak ({found['read']:.0f} MB once it was read, in {found['read_s']:.0f} s; "
            f"all in {found['seconds']:.0f} s)",
            found["grown"] <= MOST_MB,
        )
    ]


def _lines(rows: int) -> Iterator[str]:
    yield "message_id,scheduled_at\n"
    for number, message_id in enumerate(message_ids(rows)):
        yield f"{message_id},2031-01-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00Z\n"


def resident(which: str) -> float:
    """Read this process's resident memory (``VmRSS``) or its peak (``VmHWM``), in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError(f"the system does not tell {which}")


def main() -> None:
    """Run as the process that is watched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", type=int)
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    from airflow_provider_smscancel.campaigns.manifests import read_manifest
    from airflow_provider_smscancel.campaigns.messages import Campaign

    # A small job first, so that all that is imported on the way counts as there before.
    service = make_service(Order(given.url, (), CONCURRENCY, UNLIMITED))
    warm = Campaign(service.gateway)
    for message_id in message_ids(500, "warm-up"):
        warm.add(message_id, None, "item")
    job = make_job(service, warm, given.folder / "warm-up")
    job.prepare()
    job.run()

    before, began = resident("VmRSS"), time.perf_counter()
    campaign = Campaign(service.gateway)
    read_manifest(campaign, given.manifest)
    read, read_s = resident("VmRSS") - before, time.perf_counter() - began
    job = make_job(service, campaign, given.folder / "report")
    job.prepare()
    job.announce()
    job.run()
    found = {
        "grown": resident("VmHWM") - before,
        "read": read,
        "read_s": read_s,
        "seconds": time.perf_counter() - began,
        "stopped": job.summary["outcomes"]["cancelled"],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
