"""Faults of every kind on 30 % of the calls: whether any outcome contradicts what really happened."""

from __future__ import annotations

import logging
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.ground_truth import FORMATS, OPEN, contradicts
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.run import Limits
from airflow_provider_smscancel.transport.aio import AsyncTransport
from benchmarks.clients import make_campaign, make_job
from benchmarks.harness import Row, final_outcomes, say

MESSAGES = {"scheduled": 240, "queued": 20, "sent": 20, "cancelled": 10, "failed": 10}
"""How many messages of each state every format is tried with; as many as the last are unknown to the gateway."""
SHARE = 0.3
RATE = 2_000
CONCURRENCY = 16
GIVE_UP_AFTER_S = 10.0
"""One fault asks to come back in ten years: it is waited out for so long."""


@dataclass(frozen=True)
class Told:
    """What came of one format.

    :param wrong: outcomes that contradict the gateway's record.
    :param open: outcomes that claim nothing.
    """

    messages: int
    wrong: int
    open: int
    requests: int


def faults(scale: float = 1.0) -> list[Row]:
    """Stop a campaign in every format, all of them side by side, each at a sandbox of its own."""
    per_format = sum(MESSAGES.values()) + MESSAGES["failed"]
    say(f"   {len(FORMATS)} formats with {per_format} messages each, side by side")
    logging.disable(logging.ERROR)  # what goes wrong here is meant to
    names = list(FORMATS) if scale == 1 else list(FORMATS)[:1]
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(lambda name: _try(name, list(FORMATS).index(name), scale), names))
    logging.disable(logging.NOTSET)
    wrong, messages = sum(each.wrong for each in found), sum(each.messages for each in found)
    return [
        Row(
            f"faults of every kind on {SHARE:.0%} of the calls: outcomes that contradict the ground truth",
            "0",
            f"**{wrong}** of {messages:,} messages over {len(found)} gateways and formats; "
            f"{sum(each.open for each in found)} were left open; {sum(each.requests for each in found):,} requests",
            wrong == 0,
        )
    ]


def _try(name: str, seed: int, scale: float) -> Told:
    with SandboxProcess("--seed", str(seed)) as sandbox, tempfile.TemporaryDirectory() as report:
        gateway = FORMATS[name](sandbox.url)
        ids = [
            message_id
            for state, count in MESSAGES.items()
            for message_id in sandbox.seed(gateway.name, max(1, int(count * scale)), state=state)
        ]
        unknown = [f"{message_id[:-6]}000000" for message_id in ids[: max(1, int(10 * scale))]]
        sandbox.set_faults(share=SHARE)
        service = Service(
            gateway,
            lambda: AsyncTransport(sandbox.url, timeout=1.0),
            Limits(RATE, CONCURRENCY, GIVE_UP_AFTER_S),
        )
        job = make_job(service, make_campaign(service, [*ids, *unknown]), Path(report))
        job.prepare()
        job.run()
        outcomes = final_outcomes(Path(report))
        record = sandbox.truth()
        requests = sandbox.requests_so_far(gateway.name)
    states = {
        message_id: record[message_id]["state"] if message_id in record else None for message_id in outcomes
    }
    wrong = [key for key, outcome in outcomes.items() if contradicts(gateway.name, outcome, states[key])]
    if len(outcomes) != len(ids) + len(unknown):
        raise RuntimeError(f"{name}: {len(outcomes)} outcomes for {len(ids) + len(unknown)} messages")
    return Told(len(outcomes), len(wrong), sum(outcome in OPEN for outcome in outcomes.values()), requests)
