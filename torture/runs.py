"""A campaign at a sandbox of its own: put in, stopped through the real job with a report, and held against the record."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from support.ground_truth import FORMATS, Comparison, compare
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.run import Limits
from airflow_provider_smscancel.campaigns.survey_job import SurveyJob
from airflow_provider_smscancel.gateways.base import Gateway, MessageStatus
from airflow_provider_smscancel.transport.aio import AsyncTransport
from benchmarks.clients import make_campaign, make_job
from benchmarks.harness import final_outcomes

SHARE = 0.3
"""How many of the calls go wrong."""
TIMEOUT_S = 1.0
RATE = 10_000.0
CONCURRENCY = 16
GIVE_UP_AFTER_S = 6.0
"""How long a run waits for a gateway that is down, or that asks to come back in ten years."""

FEW_MESSAGES = 500
"""With fewer than that, what takes seconds each time is drawn by lot: see :func:`some_of`."""

SCHEDULED, LEAVING = "scheduled", "leaving"
MIXTURE = {SCHEDULED: 62, LEAVING: 10, "queued": 6, "sent": 6, "cancelled": 6, "failed": 5, "unknown": 5}
"""Of a hundred messages, how many begin in which state; the gateway sends those that are leaving while the run goes on."""


Thing = TypeVar("Thing")


def some_of(things: Iterable[Thing], messages: int, few: int, random: Random) -> list[Thing]:
    """Return all of them, or a few drawn by lot where there are few messages."""
    every = list(things)
    return every if messages >= FEW_MESSAGES else random.sample(every, min(few, len(every)))


@dataclass
class Given:
    """What a run is told to stop.

    :param began_as: each message's state before; ``None``: the gateway does not know it.
    :param items: the same messages, as the operator takes them.
    """

    began_as: dict[str, str | None] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)


def put_in(
    sandbox: SandboxProcess,
    gateway: Gateway,
    count: int,
    random: Random,
    *,
    mixture: Mapping[str, int] = MIXTURE,
    leaving_within_s: float = 10.0,
) -> Given:
    """Put messages in, in every state, half of them with a date in the list.

    :param leaving_within_s: when those that are leaving have left, at the latest.
    """
    now = datetime.now(UTC)
    kinds = random.choices(list(mixture), list(mixture.values()), k=count)
    dates = {
        LEAVING: lambda: now + timedelta(seconds=random.uniform(0.5, leaving_within_s)),
        SCHEDULED: lambda: now + timedelta(seconds=random.uniform(3_600, 600_000)),
    }
    orders: list[dict[str, Any]] = []
    for kind in kinds:
        if kind in dates:
            date = dates[kind]().isoformat()
            orders.append({"gateway": gateway.name, "state": SCHEDULED, "scheduled_at": date})
        elif kind != "unknown":
            orders.append({"gateway": gateway.name, "state": kind})
    given = Given()
    known = iter(zip(sandbox.put_in(orders), orders, strict=True))
    for kind in kinds:
        if kind == "unknown":
            message_id, order = _made_up_id(gateway, random), {}
        else:
            message_id, order = next(known)
        given.began_as[message_id] = order.get("state")
        is_dated = "scheduled_at" in order and (kind == LEAVING or random.random() < 0.5)
        date = order["scheduled_at"] if is_dated else None
        given.items.append({"message_id": message_id, "scheduled_at": date} if is_dated else message_id)
    return given


def _made_up_id(gateway: Gateway, random: Random) -> str:
    number = random.getrandbits(128)
    return f"{number:032x}" if gateway.name == "clickatell" else str(UUID(int=number, version=4))


def service_for(sandbox: SandboxProcess, gateway: Gateway) -> Service:
    """Put together what a hook makes of a connection."""
    return Service(
        gateway,
        lambda: AsyncTransport(sandbox.url, timeout=TIMEOUT_S),
        Limits(RATE, CONCURRENCY, GIVE_UP_AFTER_S),
    )


def run_job(service: Service, given: Given, report: Path, try_number: int = 1) -> CancelJob:
    """Stop them, as the operator does."""
    job = make_job(service, make_campaign(service, given.items), report, try_number)
    assert isinstance(job, CancelJob)
    job.prepare()
    job.announce()
    job.run()
    return job


def ask_about_all(service: Service, given: Given) -> dict[str, str]:
    """Ask where they are, as a dry run does. Return the states."""
    found: list[MessageStatus] = []
    job = SurveyJob(
        service,
        make_campaign(service, given.items),
        name=None,
        log=logging.getLogger(__name__),
        take_status=found.append,
    )
    job.announce()
    job.run()
    return {each.message_id: str(each.state) for each in found}


@contextlib.contextmanager
def at_sandbox(name: str, seed: int | str) -> Iterator[tuple[SandboxProcess, Gateway, Path]]:
    """Start a sandbox for one of the formats, with a folder for reports."""
    with SandboxProcess("--seed", str(seed)) as sandbox, tempfile.TemporaryDirectory() as folder:
        yield sandbox, FORMATS[name](sandbox.url), Path(folder)


def held_against_record(
    sandbox: SandboxProcess, gateway: Gateway, given: Given, outcomes: Mapping[str, str]
) -> Comparison:
    """Compare, with faults switched off."""
    sandbox.set_faults(profile="none")
    return compare(gateway.name, given.began_as, outcomes, sandbox.truth())


def stop_and_compare(sandbox: SandboxProcess, gateway: Gateway, given: Given, report: Path) -> Comparison:
    """Stop them through the job, and hold its report against the record."""
    run_job(service_for(sandbox, gateway), given, report)
    return held_against_record(sandbox, gateway, given, final_outcomes(report))


def faults_struck(sandbox: SandboxProcess, gateway: Gateway) -> Counter[str]:
    """Count by kind which faults there were so far."""
    struck: Counter[str] = Counter()
    for outcomes in sandbox.traffic(gateway.name)["calls"].values():
        for outcome, count in outcomes.items():
            if outcome.startswith("fault "):
                struck[outcome.removeprefix("fault ")] += count
    return struck


def led_astray(sandbox: SandboxProcess, gateway: Gateway) -> int:
    """Count who has followed a redirect to another host."""
    return sum(sandbox.traffic(gateway.name)["calls"].get("elsewhere", {}).values())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Log nothing: what goes wrong here is meant to."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
