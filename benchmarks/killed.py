"""A worker that is killed half-way: how many requests its retry sends a second time, and whether anything is lost."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

from benchmarks.harness import BareServer, Client, Row, final_outcomes, say

MESSAGES = 10_000
RATE = 1_000
CONCURRENCY = 64
MOST_AGAIN = 0.02


def killed(scale: float = 1.0) -> list[Row]:
    """Kill a job with SIGKILL half-way, and run its retry."""
    count = int(MESSAGES * scale)
    say(f"   {count:,} messages at {RATE:,} a second, SIGKILL half-way, and the retry")
    with tempfile.TemporaryDirectory() as folder, BareServer("--keep-ids") as server:
        report = Path(folder, "report")
        common = ("--count", count, "--concurrency", CONCURRENCY, "--rate", RATE, "--report", report)
        first = Client("job", server.url, *common, "--try-number", 1)
        first.begin()
        while server.ask("stats")["requests"] < count // 2:
            if first.process.poll() is not None:
                raise RuntimeError("the first try ended before it could be killed")
            time.sleep(0.01)
        first.process.send_signal(signal.SIGKILL)
        first.process.communicate()
        second = Client("job", server.url, *common, "--try-number", 2)
        second.begin()
        second.finish()
        again = int(server.ask("stats")["repeated"])
        stopped = set(server.ask("saved"))
        told = final_outcomes(report)
    if len(told) != count or stopped != {key for key, outcome in told.items() if outcome == "cancelled"}:
        raise RuntimeError("the report of the two tries is not what the server knows: a message was lost")
    allowed = max(MOST_AGAIN * count, RATE + CONCURRENCY)
    return [
        Row(
            f"worker killed half-way through {count:,} messages: requests that the retry sent a second time",
            f"≤ 2 %, or a second's worth and what was in flight: {allowed:,.0f}",
            f"**{again}** ({again / count:.2%}); every message has its outcome in the report, as the server knows it",
            again <= allowed,
        )
    ]
