"""Whether a configured rate is kept, by the server's own clock, and used."""

from __future__ import annotations

import contextlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.sandbox_process import SandboxProcess

from benchmarks.harness import BareServer, Client, Row, say

RATES = (25, 100, 1000)
SECONDS = {25: 16.0, 100: 16.0, 1000: 12.0}
SANDBOX_S = 6.0
CONCURRENCY = 64
LEAST_USED = 0.97
TOKEN = "sandbox-token"  # noqa: S105 - opens nothing but the sandbox


@dataclass(frozen=True)
class Kept:
    """What the server saw of one run."""

    rate: int
    busiest: int
    used: float

    @property
    def well(self) -> bool:
        """Whether the rate was never exceeded, and used."""
        return self.busiest <= self.rate and self.used >= LEAST_USED


def rates(scale: float = 1.0) -> list[Row]:
    """Run at each rate, against the bare server and against a sandbox with that very limit."""
    kept: list[Kept] = []
    refused: list[int] = []
    for together in ((25, 100), (1000,)):  # the slower ones leave the machine idle
        say(f"   at {' and '.join(map(str, together))} a second")
        with ThreadPoolExecutor() as pool:
            kept += pool.map(lambda rate: _at_bare_server(rate, SECONDS[rate] * scale), together)
            refused += pool.map(lambda rate: _at_sandbox(rate, SANDBOX_S * scale), together)
    seen = ", ".join(f"{each.rate}: {each.busiest} and {each.used:.1%}" for each in kept)
    return [
        Row(
            "rates of 25, 100 and 1,000 a second: the most in any sliding second, and the share used",
            f"never exceeded, ≥ {LEAST_USED:.2f} used",
            seen,
            all(each.well for each in kept),
        ),
        Row(
            "the same at a sandbox with that limit: requests that drew a 429",
            "0",
            ", ".join(f"{rate}: {found}" for rate, found in zip(RATES, refused, strict=True)),
            not any(refused),
        ),
    ]


def _at_bare_server(rate: int, seconds: float) -> Kept:
    with BareServer() as server:
        client = Client(
            "hook", server.url, "--count", int(rate * seconds), "--concurrency", CONCURRENCY, "--rate", rate
        )
        client.begin()
        client.finish()
        stats = server.ask("stats")
    return Kept(rate, stats["busiest_second"], stats["pace"] / rate)


def _at_sandbox(rate: int, seconds: float) -> int:
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(SandboxProcess("--rate-limit", str(rate)))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        messages = Path(folder, "messages.json")
        messages.write_text(json.dumps(sandbox.seed("clickatell", int(rate * seconds))))
        limits: tuple[Any, ...] = ("--concurrency", CONCURRENCY, "--rate", rate)
        client = Client("hook", sandbox.url, "--messages", messages, *limits, "--token", TOKEN)
        client.begin()
        client.finish()
        calls = sandbox.traffic("clickatell")["calls"]["rest.stop"]
        if sum(calls.values()) < int(rate * seconds):
            raise RuntimeError("the sandbox was not asked about every message")
        return int(calls.get("429", 0))
