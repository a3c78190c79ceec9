"""When there is not time for all: how many are saved, at gateways that send every message at its time."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable

import pytest
from support.scripted import Call, campaign_of, esendex, esendex_says, keyless_status, play, rest, rest_says

from airflow_provider_smscancel.campaigns.order import too_late_by_forecast
from airflow_provider_smscancel.gateways.base import Answer, Gateway
from airflow_provider_smscancel.transport.pacer import departures_per_second

LATENCY_S = 0.3
RATE = 8.0
PACE = departures_per_second(RATE)
"""A little less than the rate, so that it is never exceeded: no order can do better than that."""


def best_possible(leaves: list[float]) -> int:
    """How many a clairvoyant could save: jobs of equal length, by date, each skipped that is too late."""
    saved = 0
    for at in sorted(leaves):
        if saved / PACE + LATENCY_S < at:
            saved += 1
    return saved


def saved_by_the_engine(gateway: Gateway, due: list[float], leaves: list[float]) -> int:
    """Play the campaign, and count what the gateway has stopped in time."""
    saved: set[int] = set()

    def script(call: Call) -> Answer:
        index = int(call.message_id.replace("-", "")[-12:], 16) - 1
        if gateway.name == "esendex":
            if call.verb == "status":
                return keyless_status(call.message_id, sent=index not in saved, cancelled=index in saved)
            if call.at + LATENCY_S < leaves[index]:
                saved.add(index)
            return esendex_says(stopped=index in saved)
        if call.at + LATENCY_S < leaves[index]:
            saved.add(index)
        return rest_says(call.message_id, "006" if index in saved else "004")

    played = play(
        gateway,
        campaign_of(gateway, len(due), due=due),
        script,
        rate=RATE,
        concurrency=64,
        latency_s=LATENCY_S,
    )
    assert played.outcomes["cancelled"] == len(saved)
    assert sum(played.outcomes.values()) == len(due)
    return len(saved)


def evenly(rng: random.Random) -> list[float]:
    return [rng.uniform(0, 120) for _ in range(2000)]


def on_the_minute(rng: random.Random) -> list[float]:
    return [60.0 * rng.randint(1, 4) for _ in range(2400)]


def half_of_them_gone(rng: random.Random) -> list[float]:
    return [rng.uniform(-100, 100) for _ in range(2400)]


def a_rush_and_then_plenty_of_time(rng: random.Random) -> list[float]:
    return [rng.uniform(0, 20) for _ in range(800)] + [rng.uniform(200, 1000) for _ in range(400)]


TRACES = [evenly, on_the_minute, half_of_them_gone, a_rush_and_then_plenty_of_time]


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("gateway", [esendex, rest])
def test_nearly_as_many_are_saved_as_by_the_best_schedule(
    gateway: Callable[[], Gateway], trace: Callable[[random.Random], list[float]]
) -> None:
    due = trace(random.Random(7))
    assert saved_by_the_engine(gateway(), due, due) >= 0.99 * best_possible(due)


@pytest.mark.parametrize("early_s", [0.0, 150.0, 300.0])
@pytest.mark.parametrize(
    "trace",
    [
        lambda rng: [rng.uniform(0, 1200) for _ in range(16_000)],
        lambda rng: [rng.uniform(0, 300) for _ in range(400)] + [rng.uniform(600, 900) for _ in range(3600)],
    ],
    ids=["far too many", "just enough time"],
)
def test_that_a_gateway_sends_early_is_soon_learnt_from_its_answers(
    trace: Callable[[random.Random], list[float]], early_s: float
) -> None:
    due = trace(random.Random(8))
    leaves = [at - early_s for at in due]
    assert saved_by_the_engine(rest(), due, leaves) >= 0.95 * best_possible(leaves)


@pytest.mark.parametrize("trace", TRACES)
def test_the_forecast_of_what_will_leave_before_its_turn_is_right_within_five_per_cent(
    trace: Callable[[random.Random], list[float]],
) -> None:
    due = trace(random.Random(9))
    forecast = too_late_by_forecast(array("d", due), range(len(due)), now=0.0, requests_per_second=PACE)
    lost = len(due) - saved_by_the_engine(esendex(), due, due)
    assert 0.95 * lost <= forecast <= 1.05 * lost
