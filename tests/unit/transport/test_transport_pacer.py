"""The pace, by a clock that only moves when told to."""

from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.transport.pacer import Pacer


class World:
    """A clock, and a sleep that moves it and wakes a little late, as real ones do."""

    def __init__(self, seed: int = 0, lateness: float = 0.0) -> None:
        self.now = 1000.0
        self._random = random.Random(seed)
        self._lateness = lateness

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self._lateness * self._random.random()

    def pacer(self, rate: float) -> Pacer:
        return Pacer(rate, clock=self.clock, sleep=self.sleep)


def departures(
    world: World, pacer: Pacer, count: int, stall: float = 0.0, stall_every: float = math.inf
) -> list[float]:
    """Let requests depart, with the loop held up now and then."""
    chance = random.Random(1)
    found: list[float] = []

    async def run() -> None:
        next_stall = world.now + stall_every
        for _ in range(count):
            if not pacer.try_acquire():
                await pacer.acquire()
            found.append(world.now)
            if world.now >= next_stall:
                world.now += chance.random() * stall
                next_stall = world.now + stall_every * (0.5 + chance.random())

    asyncio.run(run())
    return found


def most_in_a_sliding(window: float, times: list[float]) -> int:
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


@settings(deadline=None, max_examples=60)
@given(
    rate=st.one_of(st.sampled_from([1, 25, 100, 1000]), st.floats(min_value=0.1, max_value=10_000)),
    stall=st.floats(min_value=0, max_value=2),
    stall_every=st.floats(min_value=0.05, max_value=5),
    lateness=st.floats(min_value=0, max_value=0.01),
)
@example(rate=1000, stall=0.3, stall_every=0.4, lateness=0.002)
@example(rate=10_000, stall=1.0, stall_every=0.5, lateness=0.002)
def test_no_sliding_second_ever_holds_more_than_the_rate(rate, stall, stall_every, lateness):
    world = World(lateness=lateness)
    found = departures(world, world.pacer(rate), min(3000, max(50, int(rate * 3))), stall, stall_every)
    assert most_in_a_sliding(1.0, found) <= math.ceil(rate)
    # Whatever the fraction, in the long run it counts.
    assert most_in_a_sliding(math.ceil(rate) / rate, found) <= math.ceil(rate)


@settings(deadline=None, max_examples=40)
@given(
    rate=st.one_of(st.sampled_from([25, 100, 1000]), st.floats(min_value=1, max_value=5000)),
    stall=st.floats(min_value=0, max_value=0.04),
    lateness=st.floats(min_value=0, max_value=0.002),
)
@example(rate=25, stall=0.04, lateness=0.002)
@example(rate=1000, stall=0.04, lateness=0.002)
def test_at_least_97_percent_of_the_rate_are_used_though_the_loop_is_held_up_every_second(
    rate, stall, lateness
):
    world = World(lateness=lateness)
    found = departures(world, world.pacer(rate), int(rate * 8) + 40, stall, stall_every=1.0)
    steady = [time for time in found if time >= found[0] + 2]
    assert (len(steady) - 1) / (steady[-1] - steady[0]) >= 0.97 * rate


@pytest.mark.parametrize("rate", [25, 100, 1000])
def test_the_flow_is_even_from_the_first_request_on(rate):
    world = World()
    found = departures(world, world.pacer(rate), rate * 3)
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert min(gaps) >= 1 / rate
    assert max(gaps) <= 1.06 / rate


@pytest.mark.parametrize("rate", [25, 100, 1000])
def test_connections_that_open_slowly_do_not_make_the_first_second_too_full(rate):
    world = World()
    left = departures(world, world.pacer(rate), rate * 3)
    # The first requests open their connections, which takes 40 ms; the later ones find them open.
    arrived = sorted(time + (0.040 if time < left[0] + 0.040 else 0) for time in left)
    assert most_in_a_sliding(1.0, arrived) <= rate


def test_after_an_idle_time_there_is_no_great_burst():
    world = World()
    pacer = world.pacer(1000)
    departures(world, pacer, 10)
    world.now += 3600
    found = departures(world, pacer, 500)
    assert most_in_a_sliding(0.01, found) <= 40


def test_the_first_request_departs_at_once():
    world = World()
    assert departures(world, world.pacer(0.1), 1) == [1000.0]


def test_a_slow_rate_is_kept():
    world = World()
    found = departures(world, world.pacer(0.1), 4)
    assert [round(time - 1000) for time in found] == [0, 10, 20, 30]


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_rate_must_be_above_0(rate):
    with pytest.raises(ValueError, match="above 0"):
        Pacer(rate)


# --- slowing down ---


def test_a_pause_holds_everybody_also_those_who_were_waiting_already():
    world = World()
    pacer = world.pacer(1)
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        if len(found) == 1 and pacer.throttled == 0:
            pacer.slow_down(30)
        world.now += seconds
        await asyncio.sleep(0)

    pacer._sleep = sleep

    async def one() -> None:
        await pacer.acquire()
        found.append(world.now)

    async def run() -> None:
        await asyncio.gather(*(one() for _ in range(4)))

    asyncio.run(run())
    assert found[0] == 1000
    assert found[1] >= 1030
    assert pacer.paused_until == 1030


def test_a_storm_of_simultaneous_answers_counts_once():
    world = World()
    pacer = world.pacer(100)
    for _ in range(64):
        pacer.slow_down(0)
        world.now += 0.01
    assert pacer.rate == pytest.approx(60, rel=0.03)
    assert pacer.throttled == 64


def test_what_was_under_way_when_the_pause_began_does_not_lower_the_rate_further():
    world = World()
    pacer = world.pacer(100)
    pacer.slow_down(5)
    world.now += 3
    pacer.slow_down(1)
    assert pacer.rate == pytest.approx(60)
    assert pacer.paused_until == 1005, "a shorter pause does not cut a longer one"


def test_further_wishes_lower_the_rate_further_but_never_to_nothing():
    world = World()
    pacer = world.pacer(100)
    rates = []
    for _ in range(30):
        pacer.slow_down(0)
        rates.append(pacer.rate)
        world.now += 1.001
    assert rates[0] == pytest.approx(60)
    assert rates[1] == pytest.approx(0.6 * 63, rel=0.01)
    assert min(rates) >= 2


def test_the_rate_finds_its_way_back_and_never_above():
    world = World()
    pacer = world.pacer(100)
    pacer.slow_down(2)
    world.now += 2
    assert pacer.rate == pytest.approx(60)
    world.now += 5
    assert 60 < pacer.rate < 100
    world.now += 60
    assert pacer.rate == 100


def test_departures_follow_the_lowered_rate_and_recover():
    world = World()
    pacer = world.pacer(100)
    departures(world, pacer, 100)
    pacer.slow_down(1)
    start = world.now
    found = departures(world, pacer, 2000)
    assert found[0] >= start + 1
    assert len([time for time in found if time < start + 3]) <= 140
    assert most_in_a_sliding(1.0, found) <= 100
    late = [time for time in found if time > start + 18]
    assert (len(late) - 1) / (late[-1] - late[0]) >= 97


@pytest.mark.parametrize("pause", [None, -5, 0, math.nan])
def test_odd_pauses_are_survived(pause):
    world = World()
    pacer = world.pacer(10)
    pacer.slow_down(pause)
    assert pacer.paused_until == (1001 if pause is None else 1000)


# --- cancelling ---


def test_who_does_not_wait_takes_no_departure_before_its_time_nor_from_one_who_waits():
    async def run() -> None:
        world, woken = World(), asyncio.Event()
        pacer = Pacer(10, clock=world.clock, sleep=lambda _: woken.wait())
        assert pacer.try_acquire()
        assert not pacer.try_acquire()
        waiter = asyncio.create_task(pacer.acquire())
        await asyncio.sleep(0)
        world.now += 1
        assert not pacer.try_acquire()
        woken.set()
        await waiter
        world.now += 1
        assert pacer.try_acquire()

    asyncio.run(run())


def test_a_cancelled_waiter_takes_nothing_from_the_others():
    async def run() -> float:
        loop = asyncio.get_running_loop()
        pacer = Pacer(50)
        start = loop.time()
        waiters = [asyncio.create_task(pacer.acquire()) for _ in range(40)]
        await asyncio.sleep(0)
        for waiter in waiters[1:36]:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        return loop.time() - start

    assert asyncio.run(run()) < 0.5, "five departures take 80 ms, forty would take 800"
