"""The engine in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from support.scripted import Call, ScriptedTransport, campaign_of, rest, rest_says

from airflow_provider_smscancel.campaigns import engine
from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.running import BackgroundRun
from airflow_provider_smscancel.campaigns.settlement import StopCase
from airflow_provider_smscancel.exceptions import SmsGatewayUnavailable
from airflow_provider_smscancel.gateways.base import Answer
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure

LONG_S = 20.0
"""Longer than any of this takes: where it is reached, something hangs."""


def stops_all(call: Call) -> Answer:
    return rest_says(call.message_id, "006")


class Way:
    """A transport whose opening can fail."""

    def __init__(
        self, *, latency_s: float = 0.0, broken: bool = False, broken_at_the_end: bool = False
    ) -> None:
        self.transport = ScriptedTransport(stops_all, latency_s)
        self.broken = broken
        self.broken_at_the_end = broken_at_the_end
        self.thread: threading.Thread | None = None
        self.closed = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[ScriptedTransport]:
        self.thread = threading.current_thread()
        if self.broken:
            raise RuntimeError("no way there")
        yield self.transport
        self.closed = True
        if self.broken_at_the_end:
            raise RuntimeError("no way back")


def background(way: Way, count: int, *, rate: float = 10_000) -> BackgroundRun:
    gateway = rest()

    def make_engine(deliver: Callable[[list[SettledMessage]], None]) -> Engine:
        return Engine(
            gateway,
            campaign_of(gateway, count),
            list(range(count)),
            limits=Limits(rate, 8),
            make_case=lambda _: StopCase(lambda: 0.5),
            deliver=deliver,
            stats=RunStats(),
        )

    return BackgroundRun(make_engine, way.open)


def drain(run: BackgroundRun) -> list[SettledMessage]:
    found: list[SettledMessage] = []
    while (batch := run.next_batch(LONG_S)) is not None:
        assert batch, "nothing came for a long time"
        found += batch
    return found


def outcomes(results: list[SettledMessage]) -> set[str]:
    return {str(result.settled.outcome) for result in results}


def test_results_come_over_from_the_helper_thread_until_the_run_is_over() -> None:
    way = Way()
    run = background(way, 700)
    run.start()
    results = drain(run)
    assert sorted(result.index for result in results) == list(range(700))
    assert outcomes(results) == {"cancelled"}
    assert run.end is RunEnd.COMPLETE
    assert run.next_batch(0) is None
    assert way.closed
    assert way.thread is not threading.current_thread()
    run.join(LONG_S)


def test_waiting_for_a_batch_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "GRACE_S", 0.01)
    run = background(Way(latency_s=LONG_S), 1)
    run.start()
    assert run.next_batch(0.01) == []
    run.stop()
    assert outcomes(drain(run)) <= {"unconfirmed", "not_attempted"}


def test_told_to_stop_before_it_began_asks_nothing() -> None:
    way = Way()
    run = background(way, 20)
    run.stop()
    run.start()
    assert outcomes(drain(run)) == {"not_attempted"}
    assert way.transport.calls == []
    assert run.end is RunEnd.STOPPED


def test_told_to_stop_in_the_middle_hands_over_every_message() -> None:
    way = Way()
    run = background(way, 500, rate=50)
    run.start()
    found: list[SettledMessage] = []
    while len(found) < 5:
        batch = run.next_batch(LONG_S)
        assert batch
        found += batch
    run.stop()
    run.stop(RunEnd.DEADLINE)  # the first word counts
    found += drain(run)
    assert sorted(result.index for result in found) == list(range(500))
    assert outcomes(found) == {"cancelled", "not_attempted"}
    assert run.end is RunEnd.STOPPED


def test_told_to_stop_after_the_end_does_no_harm() -> None:
    run = background(Way(), 3)
    run.start()
    drain(run)
    run.join(LONG_S)
    run.stop()
    assert run.end is RunEnd.COMPLETE


def test_a_transport_that_can_not_be_opened_loses_no_message_and_its_error_is_raised() -> None:
    run = background(Way(broken=True), 20)
    run.start()
    batch = run.next_batch(LONG_S)
    assert batch is not None
    assert len(batch) == 20
    assert outcomes(batch) == {"not_attempted"}
    with pytest.raises(RuntimeError, match="no way there"):
        run.next_batch(LONG_S)
    assert run.end is RunEnd.CRASHED
    assert run.next_batch(LONG_S) is None


def test_a_transport_that_breaks_when_it_is_closed_does_not_change_what_was_settled() -> None:
    run = background(Way(broken_at_the_end=True), 20)
    run.start()
    batch = run.next_batch(LONG_S)
    assert batch is not None
    assert outcomes(batch) == {"cancelled"}
    with pytest.raises(RuntimeError, match="no way back"):
        drain(run)


def test_a_defect_inside_is_raised_after_every_message_was_handed_over() -> None:
    way = Way()
    way.transport.script = lambda _: RuntimeError("a defect")
    run = background(way, 20)
    run.start()
    found: list[SettledMessage] = []

    def take_all() -> None:
        while (batch := run.next_batch(LONG_S)) is not None:
            found.extend(batch)

    with pytest.raises(RuntimeError, match="a defect"):
        take_all()
    assert sorted(result.index for result in found) == list(range(20))
    assert outcomes(found) <= {"unconfirmed", "not_attempted"}


def test_the_waiting_thread_has_no_event_loop() -> None:
    run = background(Way(), 1)
    run.start()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    drain(run)


def test_a_transport_that_can_not_be_opened_is_one_of_the_public_errors() -> None:
    way = Way()
    run = background(way, 3)

    @contextlib.asynccontextmanager
    async def closed() -> AsyncIterator[ScriptedTransport]:
        raise TransportFailure(FailureKind.TLS, "the CA bundle cannot be read")
        yield way.transport

    run._open_transport = closed
    run.start()
    batch = run.next_batch(LONG_S)
    assert [message.settled.outcome.value for message in batch or []] == ["not_attempted"] * 3
    with pytest.raises(SmsGatewayUnavailable, match="CA bundle"):
        run.next_batch(LONG_S)
