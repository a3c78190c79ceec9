"""What is compared: each stops so many messages at the bare server, in a process of its own on a core of its own.

``python -m benchmarks.clients NAME --url … --count …`` says "ready", waits for a line on its input, and prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import Any

UNLIMITED = 50_000.0
"""A pace that limits nothing, for what is compared: the peers have none. A connection allows 10,000 a second."""


@dataclass(frozen=True)
class Order:
    """What a client is to do.

    :param url: of the server.
    :param messages: ids, or what else the operator takes as ``message_ids``.
    :param concurrency: how many requests may be under way.
    :param rate: the most requests a second (this package only).
    :param report: where this package writes its report.
    :param try_number: which try this is (this package only).
    """

    url: str
    messages: Sequence[Any]
    concurrency: int
    rate: float = UNLIMITED
    token: str = "token"  # noqa: S105 - the bare server takes any
    report: Path | None = None
    try_number: int = 1

    @property
    def headers(self) -> dict[str, str]:
        """What Clickatell's REST API wants to see."""
        return {"X-Version": "1", "Authorization": f"Bearer {self.token}", "Accept": "application/json"}

    def url_of(self, message_id: str) -> str:
        """Name one message."""
        return f"{self.url}/rest/message/{message_id}"


def message_ids(count: int, series: str = "measured") -> list[str]:
    """Make ids as Clickatell's are: 32 hexadecimal digits."""
    return [md5(f"{series}:{number}".encode(), usedforsecurity=False).hexdigest() for number in range(count)]


# -- this package --------------------------------------------------------------------------------------------------------


def make_service(order: Order) -> Any:
    """Put together what a hook makes of a connection."""
    from airflow_provider_smscancel.campaigns.job import Service
    from airflow_provider_smscancel.campaigns.run import Limits
    from airflow_provider_smscancel.gateways.clickatell_rest import ClickatellRest
    from airflow_provider_smscancel.transport.aio import AsyncTransport

    return Service(
        gateway=ClickatellRest(base_url=order.url, token=order.token),
        open_transport=lambda: AsyncTransport(order.url, timeout=10.0),
        limits=Limits(order.rate, order.concurrency),
    )


def make_campaign(service: Any, messages: Sequence[Any]) -> Any:
    """Take up the messages as the operator does."""
    from airflow_provider_smscancel.campaigns.messages import Campaign
    from airflow_provider_smscancel.campaigns.sources import add_ids

    campaign = Campaign(service.gateway)
    add_ids(campaign, messages)
    return campaign


def make_job(service: Any, campaign: Any, report: Path, try_number: int = 1) -> Any:
    """Put a job together as the operator does, with a report."""
    from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
    from airflow_provider_smscancel.campaigns.earlier_parts import Identity
    from airflow_provider_smscancel.campaigns.journal import Journal

    journal = Journal(
        report,
        owner="be2c4a17",
        try_number=try_number,
        identity=Identity(service.gateway.name, service.gateway.base_url, campaign.id_type.value),
        total=campaign.total,
    )
    return CancelJob(
        service,
        campaign,
        name="benchmark",
        log=logging.getLogger("benchmark"),
        journal=journal,
        report=str(report),
        try_number=try_number,
    )


def engine(order: Order) -> Callable[[], int]:
    """Run the bulk engine, and nothing around it: the list is in memory, and every outcome is handed over."""
    from airflow_provider_smscancel.campaigns.engine import Engine
    from airflow_provider_smscancel.campaigns.run import RunStats, SettledMessage
    from airflow_provider_smscancel.campaigns.running import run_engine
    from airflow_provider_smscancel.campaigns.settlement import StopCase

    service = make_service(order)
    campaign = make_campaign(service, order.messages)
    stopped = 0

    def deliver(batch: list[SettledMessage]) -> None:
        nonlocal stopped
        stopped += sum(message.settled.outcome == "cancelled" for message in batch)

    running = Engine(
        service.gateway,
        campaign,
        range(len(campaign)),
        limits=service.limits,
        make_case=lambda _: StopCase(random.random),
        deliver=deliver,
        stats=RunStats(),
    )

    def run() -> int:
        asyncio.run(run_engine(running, service.open_transport))
        return stopped

    return run


def hook(order: Order) -> int:
    """Do what `hook.cancel_messages` does: check the ids, run the engine in a thread, hand over every result."""
    from airflow_provider_smscancel.campaigns.stream import ResultStream

    service = make_service(order)
    campaign = make_campaign(service, order.messages)
    stream = ResultStream(service, campaign, refused=RuntimeError, log=logging.getLogger("benchmark"))
    return sum(result.outcome == "cancelled" for result in stream)


def job(order: Order) -> int:
    """Do what the operator does: the same with counts, and a report in a local folder."""
    service = make_service(order)
    with tempfile.TemporaryDirectory() as scratch:
        report = order.report or Path(scratch)
        running = make_job(service, make_campaign(service, order.messages), report, order.try_number)
        running.prepare()
        running.announce()
        running.run()
    return int(running.summary["outcomes"]["cancelled"])


def engine_on_uvloop(order: Order) -> Callable[[], int]:
    """Run the engine in uvloop's event loop."""
    import uvloop

    run = engine(order)

    def run_on_uvloop() -> int:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        try:
            return run()
        finally:
            asyncio.set_event_loop_policy(None)

    return run_on_uvloop


# -- the peers -----------------------------------------------------------------------------------------------------------


def aiohttp_loop(order: Order) -> int:
    """Send and parse JSON, and nothing else: no pace, no check of the id, no record, no second attempt."""
    return asyncio.run(_aiohttp_loop(order, iter(order.messages)))


async def _aiohttp_loop(order: Order, ids: Iterator[str]) -> int:
    import aiohttp

    stopped = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal stopped
        for message_id in ids:
            async with session.delete(order.url_of(message_id)) as answer:
                stopped += (await answer.json())["data"]["messageStatus"] == "006"

    connector = aiohttp.TCPConnector(limit=order.concurrency)
    async with aiohttp.ClientSession(connector=connector, headers=order.headers) as session:
        await asyncio.gather(*(work(session) for _ in range(order.concurrency)))
    return stopped


def requests_pool(order: Order) -> int:
    """Call `requests` in a thread pool, with a session for each thread."""
    import requests

    local = threading.local()

    def stop(message_id: str) -> bool:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.headers.update(order.headers)
        answer = local.session.delete(order.url_of(message_id), timeout=10)
        return bool(answer.json()["data"]["messageStatus"] == "006")

    with ThreadPoolExecutor(order.concurrency) as pool:
        return sum(pool.map(stop, order.messages))


def clickatell_library(order: Order) -> int:
    """Call the package index's `clickatell` in a thread pool. It opens a connection for each message."""
    from clickatell.rest import Rest

    client = Rest(order.token)
    client.endpoint = order.url.removeprefix("http://")
    with ThreadPoolExecutor(order.concurrency) as pool:
        return sum(answer["status"] == b"006" for answer in pool.map(client.stopMessage, order.messages))


CLIENTS: dict[str, Callable[[Order], Callable[[], int]]] = {
    "engine": engine,
    "engine-uvloop": engine_on_uvloop,
    "hook": lambda order: partial(hook, order),
    "job": lambda order: partial(job, order),
    "aiohttp": lambda order: partial(aiohttp_loop, order),
    "requests": lambda order: partial(requests_pool, order),
    "clickatell": lambda order: partial(clickatell_library, order),
}
"""Each takes an order and gives what does it, which says how many messages the server called stopped. Only that is measured."""


def main() -> None:
    """Read the command line, warm up, wait for the word, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CLIENTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--messages", type=Path, help="a JSON list, in place of made-up ids")
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--rate", type=float, default=UNLIMITED)
    parser.add_argument("--token", default="token")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--try-number", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=0, help="messages before the measurement")
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    messages = json.loads(given.messages.read_text()) if given.messages else message_ids(given.count)
    client = CLIENTS[given.name]
    if given.warm_up:
        client(
            Order(given.url, message_ids(given.warm_up, "warm-up"), given.concurrency, token=given.token)
        )()
    order = Order(
        given.url, messages, given.concurrency, given.rate, given.token, given.report, given.try_number
    )
    run = client(order)
    gc.collect()
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu_at = time.perf_counter(), time.process_time()
    stopped = run()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_at
    print(json.dumps({"stopped": stopped, "seconds": seconds, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
