"""How many are saved when there is not time for all, and the clock is off, or something else than the rate sets the pace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from email.utils import formatdate

import pytest
from support import virtual_time
from support.scripted import (
    T0,
    Call,
    ScriptedTransport,
    campaign_of,
    esendex,
    esendex_says,
    keyless_status,
    lost,
    rest,
    rest_error,
    rest_says,
)

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.run import Limits, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.settlement import StopCase
from airflow_provider_smscancel.gateways.base import Answer, Gateway

Before = Callable[[float], Answer | BaseException | None]
GATEWAYS = pytest.mark.parametrize("make", [esendex, rest])


def evenly(count: int) -> list[float]:
    rng = random.Random(7)
    return [rng.uniform(0, 120) for _ in range(count)]


def run(
    gateway: Gateway,
    due: list[float],
    *,
    rate: float,
    concurrency: int,
    latency_s: float,
    ahead_s: float = 0.0,
    locked_s: float = 0.0,
    before: Before = lambda _at: None,
) -> tuple[int, int]:
    """Play a campaign. A stop arrives half-way through the latency.

    :param ahead_s: how many seconds this machine's clock is ahead of the gateway's.
    :param locked_s: how many seconds before its date a message can no longer be stopped.
    :param before: what a stop that arrives then meets in place of the gateway.
    :return: how many were saved, and how many of them the same requests could have saved.
    """
    saved: set[int] = set()
    arrivals: list[float] = []

    def script(call: Call) -> Answer | BaseException:
        index = int(call.message_id.replace("-", "")[-12:], 16) - 1
        at = asyncio.get_running_loop().time() - latency_s / 2
        if call.verb == "stop":
            if (other := before(at)) is not None:
                return other
            arrivals.append(at)
            if at < due[index] - locked_s:
                saved.add(index)
        is_saved = index in saved
        if gateway.name == "clickatell":
            said = rest_says(call.message_id, "006" if is_saved else "004")
        elif call.verb == "stop":
            said = esendex_says(stopped=is_saved)
        else:
            said = keyless_status(call.message_id, sent=not is_saved, cancelled=is_saved)
        return Answer(said.status, {"Date": formatdate(T0 + at, usegmt=True)}, said.body)

    results: list[SettledMessage] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        engine = Engine(
            gateway,
            campaign_of(gateway, len(due), due=due),
            range(len(due)),
            limits=Limits(rate, concurrency),
            make_case=lambda _: StopCase(lambda: 0.5),
            deliver=results.extend,
            stats=RunStats(),
            wall=lambda: T0 + ahead_s + loop.time(),
        )
        await engine.run(ScriptedTransport(script, latency_s))

    virtual_time.run(main())
    outcomes = [str(result.settled.outcome) for result in results]
    assert outcomes.count("cancelled") == len(saved)
    assert len(outcomes) == len(due)
    return len(saved), _best(due, arrivals, locked_s)


def _best(due: list[float], arrivals: list[float], locked_s: float) -> int:
    slots = iter(sorted(arrivals))
    slot = next(slots, None)
    saved = 0
    for leaves in sorted(due):
        if slot is not None and slot < leaves - locked_s:
            saved += 1
            slot = next(slots, None)
    return saved


@GATEWAYS
@pytest.mark.parametrize("ahead_s", [300.0, -300.0, 3600.0, -3600.0])
def test_a_clock_that_is_off_costs_next_to_nothing_once_the_gateways_is_known(
    make: Callable[[], Gateway], ahead_s: float
) -> None:
    saved, best = run(make(), evenly(2000), rate=8, concurrency=64, latency_s=0.3, ahead_s=ahead_s)
    assert saved >= 0.99 * best


@GATEWAYS
@pytest.mark.parametrize("locked_s", [0.5, 1.0, 5.0])
def test_that_messages_are_locked_some_time_before_they_leave_is_learnt_in_time(
    make: Callable[[], Gateway], locked_s: float
) -> None:
    saved, best = run(make(), evenly(2000), rate=8, concurrency=64, latency_s=0.3, locked_s=locked_s)
    assert saved >= 0.95 * best


@GATEWAYS
@pytest.mark.parametrize("count", [1000, 3000, 6000])
def test_the_order_goes_by_how_long_answers_take_where_that_sets_the_pace(
    make: Callable[[], Gateway], count: int
) -> None:
    saved, best = run(make(), evenly(count), rate=100, concurrency=8, latency_s=1.0)
    assert saved >= 0.99 * best


def test_the_order_goes_by_what_the_gateway_bears_where_that_is_less_than_the_rate() -> None:
    taken: list[float] = []

    def bears_eight_a_second(at: float) -> Answer | None:
        if sum(each > at - 1 for each in taken[-8:]) == 8:
            return rest_error(429, None, {"Retry-After": "1"})
        taken.append(at)
        return None

    saved, best = run(
        rest(), evenly(2000), rate=30, concurrency=32, latency_s=0.3, before=bears_eight_a_second
    )
    assert saved >= 0.99 * best


def test_lost_answers_cost_only_the_requests_that_they_take() -> None:
    rng = random.Random(3)
    saved, best = run(
        rest(),
        evenly(2000),
        rate=8,
        concurrency=64,
        latency_s=0.3,
        before=lambda _at: lost() if rng.random() < 0.3 else None,
    )
    assert saved >= 0.95 * best
