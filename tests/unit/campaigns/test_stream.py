"""Results one by one, and a run that ends when nobody reads them any more."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.scripted import (
    Call,
    ScriptedTransport,
    hex_id,
    rest,
    rest_balance,
    rest_error,
    rest_says,
)

from airflow_provider_smscancel.campaigns import Outcome
from airflow_provider_smscancel.campaigns import engine as engine_module
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.run import Limits
from airflow_provider_smscancel.campaigns.stream import ResultStream
from airflow_provider_smscancel.gateways.base import Answer

LOG = logging.getLogger("stream under test")


class Refused(Exception):
    """Stands for the error that a hook makes of a refused account."""


def cancels_all(call: Call) -> Answer:
    return rest_says(call.message_id, "006")


def a_stream(
    count: int,
    script: Callable[[Call], Answer | BaseException] = cancels_all,
    *,
    latency_s: float = 0.01,
    concurrency: int = 2,
    rejected: int = 0,
    open_transport: Any = None,
) -> ResultStream:
    campaign = Campaign(rest())
    for number in range(rejected):
        campaign.add("not an id", None, f"item {number + 1}")
    for number in range(count):
        campaign.add(hex_id(number), None, f"item {number}")

    @asynccontextmanager
    async def opened() -> AsyncIterator[ScriptedTransport]:
        yield ScriptedTransport(script, latency_s)

    service = Service(rest(), open_transport or opened, Limits(1000, concurrency))
    return ResultStream(service, campaign, refused=lambda verdict: Refused(verdict.code), log=LOG)


def engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "smscancel-engine"]


@pytest.fixture(autouse=True)
def no_engine_is_left_behind() -> Iterator[None]:
    yield
    gc.collect()
    for thread in engine_threads():
        thread.join(5)
    assert engine_threads() == []


class _Keeping(logging.Handler):
    """Keeps the numbers of every record."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[tuple[Any, ...]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno == logging.WARNING
        assert isinstance(record.args, tuple)
        self.numbers.append(record.args)


@pytest.fixture
def told() -> Iterator[list[tuple[Any, ...]]]:
    """What was logged about leaving: how many were not asked, how many results not read."""
    handler = _Keeping()
    LOG.addHandler(handler)
    yield handler.numbers
    LOG.removeHandler(handler)


def test_every_message_comes_out_once_and_the_end_stays_the_end() -> None:
    stream = a_stream(30)
    assert iter(stream) is stream
    results = list(stream)
    assert sorted(result.message_id for result in results) == [hex_id(number) for number in range(30)]
    assert {result.outcome for result in results} == {Outcome.CANCELLED}
    assert list(stream) == []
    assert list(stream) == []


def test_what_is_rejected_comes_first_without_waiting_for_anybody() -> None:
    held = threading.Event()

    def script(call: Call) -> Answer:
        held.wait(5)
        return cancels_all(call)

    stream = a_stream(1, script, rejected=2)
    assert [next(stream).outcome, next(stream).outcome] == [Outcome.REJECTED] * 2
    held.set()
    assert [result.outcome for result in stream] == [Outcome.CANCELLED]


def test_a_campaign_of_nothing_but_rejected_rows_ends() -> None:
    assert [result.outcome for result in a_stream(0, rejected=3)] == [Outcome.REJECTED] * 3


def test_a_refused_account_is_raised_after_everything_was_handed_over_and_once() -> None:
    stream = a_stream(5, lambda _: rest_error(401, "001"))
    assert [next(stream).outcome for _ in range(5)] == [Outcome.NOT_ATTEMPTED] * 5
    with pytest.raises(Refused, match="001"):
        next(stream)
    assert list(stream) == []


def test_a_stray_refusal_raises_nothing() -> None:
    strays = iter([rest_error(401, "001")])

    def script(call: Call) -> Answer:
        return rest_balance() if call.verb == "balance" else next(strays, None) or cancels_all(call)

    assert {result.outcome for result in a_stream(3, script)} == {Outcome.CANCELLED}


def test_what_breaks_the_run_is_raised_after_everything_was_handed_over() -> None:
    calls = iter(range(100))

    def script(call: Call) -> Answer | BaseException:
        return RuntimeError("a defect") if next(calls) == 2 else cancels_all(call)

    stream = a_stream(8, script, concurrency=1)
    outcomes = [next(stream).outcome for _ in range(8)]
    with pytest.raises(RuntimeError, match="a defect"):
        next(stream)
    assert outcomes.count(Outcome.CANCELLED) == 2
    assert outcomes.count(Outcome.UNCONFIRMED) == 1  # it had left when the defect showed
    assert outcomes.count(Outcome.NOT_ATTEMPTED) == 5
    assert list(stream) == []


def test_a_transport_that_can_not_be_opened_leaves_every_message_not_attempted() -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[ScriptedTransport]:
        raise OSError("no way out")
        yield

    stream = a_stream(3, open_transport=broken)
    assert [next(stream).outcome for _ in range(3)] == [Outcome.NOT_ATTEMPTED] * 3
    with pytest.raises(OSError, match="no way out"):
        next(stream)


# --- leaving ---


def test_closing_stops_new_requests_and_tells_what_was_not_asked(
    told: list[tuple[Any, ...]],
) -> None:
    asked: list[Call] = []

    def script(call: Call) -> Answer:
        asked.append(call)
        return cancels_all(call)

    stream = a_stream(50, script)
    next(stream)
    stream.close()
    after = len(asked)
    assert engine_threads() == []
    ((not_asked, unread),) = told
    assert not_asked == 50 - after
    assert unread == after - 1
    assert list(stream) == []


def test_closing_twice_or_after_the_end_says_nothing_more(
    told: list[tuple[Any, ...]],
) -> None:
    stream = a_stream(3)
    list(stream)
    stream.close()
    stream = a_stream(3)
    assert len([next(stream) for _ in range(3)]) == 3
    stream.close()
    stream.close()
    assert told == []


def test_closing_at_once_leaves_nothing_unaccounted_for(
    told: list[tuple[Any, ...]],
) -> None:
    stream = a_stream(20, rejected=2)
    stream.close()
    ((not_asked, unread),) = told
    assert not_asked + unread == 22
    assert unread >= 2


@pytest.mark.parametrize("way", ["del", "with", "for"])
def test_every_way_of_leaving_ends_the_engine(way: str, told: list[tuple[Any, ...]]) -> None:
    stream = a_stream(50)
    if way == "del":
        next(stream)
        del stream
    elif way == "with":
        with stream as entered:
            assert entered is stream
            next(entered)
    else:
        for _ in stream:
            break
        del stream
    gc.collect()
    assert engine_threads() == []
    ((not_asked, unread),) = told
    assert not_asked > 0
    assert not_asked + unread == 49


def test_what_is_in_flight_is_cut_after_a_while(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[Any, ...]]
) -> None:
    monkeypatch.setattr(engine_module, "GRACE_S", 0.1)
    left = threading.Event()

    def slow_after_the_first(call: Call) -> float:
        if int(call.message_id, 16) == 0:
            return 0.0
        left.set()
        return 60.0

    stream = a_stream(10, latency_s=slow_after_the_first, concurrency=1)  # type: ignore[arg-type]
    next(stream)
    assert left.wait(5)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 3
    # The one that was cut was asked, though nobody knows what came of it.
    assert told == [(8, 1)]


def test_a_time_limit_raised_into_the_waiting_thread_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[Any, ...]]
) -> None:
    stream = a_stream(50)
    next(stream)
    real = stream._run.next_batch
    raised = []

    def interrupted(timeout: float) -> Any:
        if not raised:
            raised.append(True)
            raise KeyboardInterrupt
        return real(timeout)

    stream._ready.clear()
    monkeypatch.setattr(stream._run, "next_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert engine_threads() == []
    assert list(stream) == []
    assert len(told) == 1


def test_one_that_was_never_made_whole_goes_quietly() -> None:
    # A finalizer that fails is a warning, and warnings are errors here.
    del_ = ResultStream.__new__(ResultStream)
    del del_
    gc.collect()


def test_after_leaving_there_is_nothing_more_not_even_a_refused_account() -> None:
    stream = a_stream(5, lambda _: rest_error(401, "001"))
    next(stream)
    stream.close()
    assert list(stream) == []
