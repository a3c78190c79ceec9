"""Several processes, or none, at one try: a triggerer that stalls loses its triggers to another one, and learns of it later."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.deferring import USER_ACTION, again, deferred_by, first_event
from support.operating import FakeTask, Row, Seed, final_outcomes, requests_so_far, states, truth

from airflow_provider_smscancel.campaigns import job
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.campaigns.tenure import Tenure
from airflow_provider_smscancel.sandbox.server import SandboxServer
from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")


async def killed(running: asyncio.Task[Row], trigger: CancelMessagesTrigger) -> None:
    """Do what a triggerer does with a trigger that the database has no more, or not for it."""
    running.cancel(USER_ACTION)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await trigger.on_kill()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def counts_in(folder: Path) -> dict[str, int]:
    (summary,) = folder.glob("summary-*")
    return {name: count for name, count in json.loads(summary.read_text())["outcomes"].items() if count}


def test_a_triggerer_that_stalled_says_nothing_of_what_another_one_has_stopped_since(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(200)
    trigger = deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path))
    stalled, other = again(trigger), again(trigger)

    async def run() -> Row:
        sandbox.state.latency = 30.0
        running = asyncio.create_task(first_event(stalled))
        await until(lambda: requests_so_far(sandbox) > 0)
        sandbox.state.latency = 0.0
        event = await first_event(other)
        await killed(running, stalled)
        return event

    event = asyncio.run(run())
    assert event["summary"]["outcomes"]["cancelled"] == 200
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert counts_in(tmp_path) == {"cancelled": 200}


def test_a_triggerer_that_took_over_says_nothing_of_what_the_stalled_one_has_stopped_after_all(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(200)
    trigger = deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path))
    stalled, other = again(trigger), again(trigger)

    async def run() -> Row:
        sandbox.state.latency = 0.05
        first = asyncio.create_task(first_event(stalled))
        await until(lambda: requests_so_far(sandbox) > 0)
        other.requests_per_second = 5
        second = asyncio.create_task(first_event(other))
        event = await first
        await killed(second, other)
        return event

    event = asyncio.run(run())
    assert event["summary"]["outcomes"]["cancelled"] == 200
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert counts_in(tmp_path) == {"cancelled": 200}


async def stalled_until_it_gives_up(
    trigger: CancelMessagesTrigger, sandbox: SandboxServer, meanwhile: Callable[[], Awaitable[Any]]
) -> asyncio.Task[Row]:
    """Let a trigger stand still while something else goes on, and then give up, as it finds that it has waited too long."""
    sandbox.state.latency = 30.0
    running = asyncio.create_task(first_event(trigger))
    await until(lambda: requests_so_far(sandbox) > 0)
    sandbox.state.latency = 0.0
    await meanwhile()
    assert trigger._job is not None
    assert trigger._job._engine is not None
    trigger._job._engine.end(RunEnd.GATEWAY_DOWN)
    return running


def test_a_triggerer_that_stalled_and_gives_up_by_itself_says_nothing_either(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = seed(200)
    trigger = deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path))
    stalled, other = again(trigger), again(trigger)
    is_over = Tenure.is_over
    told: list[bool] = []

    def noted(self: Tenure, started_at: datetime) -> bool:
        told.append(is_over(self, started_at))
        return told[-1]

    monkeypatch.setattr(Tenure, "is_over", noted)

    async def run() -> None:
        running = await stalled_until_it_gives_up(stalled, sandbox, lambda: first_event(other))
        await until(lambda: bool(told))
        await asyncio.sleep(0.05)
        assert told == [True]
        assert not running.done()  # an event would end the task for the other one, too
        await killed(running, stalled)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert counts_in(tmp_path) == {"cancelled": 200}


def test_a_trigger_that_nobody_else_ends_after_all_does_so_itself(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = seed(200)
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path), max_concurrency=5))
    monkeypatch.setattr(job, "LEFT_TO_ANOTHER_S", 0.05)

    async def taken_over() -> None:
        (note,) = tmp_path.glob("begun-*")
        note.write_text('{"by": "somebody who was killed at once"}')

    async def run() -> Row:
        return await (await stalled_until_it_gives_up(trigger, sandbox, taken_over))

    event = asyncio.run(asyncio.wait_for(run(), 30))
    assert event["end"] == "gateway_down"
    outcomes = final_outcomes(tmp_path)
    assert set(outcomes) == set(ids)
    assert "not_attempted" in outcomes.values()
    assert counts_in(tmp_path) == dict(Counter(outcomes.values()))


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b"\xff"], ids=["empty", "torn", "not an object", "no text"]
)
def test_a_note_that_can_not_be_read_takes_nothing_from_the_report(
    broken: bytes, tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(100)
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path), requests_per_second=50))

    async def run() -> None:
        running = asyncio.create_task(first_event(trigger))
        await until(lambda: requests_so_far(sandbox) > 5)
        (note,) = tmp_path.glob("begun-*")
        note.write_bytes(broken)
        await killed(running, trigger)

    asyncio.run(run())
    assert set(final_outcomes(tmp_path)) == set(ids)


def test_a_task_that_is_marked_failed_while_its_campaign_is_read_leaves_a_whole_report(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    carried_over = Journal.carried_over

    def slowly(self: Journal, *arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(20)
        return carried_over(self, *arguments)

    monkeypatch.setattr(Journal, "carried_over", slowly)
    check_nothing_is_sent_and_all_is_open(tmp_path, sandbox, seed(5), reading.is_set, go_on.set)


def test_a_task_that_is_marked_failed_while_its_campaign_is_put_in_order_leaves_a_whole_report(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorting, go_on = threading.Event(), threading.Event()
    make_engine = CancelJob._make_engine

    def slowly(self: CancelJob, *arguments: Any) -> Any:
        if not sorting.is_set():
            sorting.set()
            assert go_on.wait(20)
        return make_engine(self, *arguments)

    monkeypatch.setattr(CancelJob, "_make_engine", slowly)
    check_nothing_is_sent_and_all_is_open(tmp_path, sandbox, seed(5), sorting.is_set, go_on.set)


def check_nothing_is_sent_and_all_is_open(
    folder: Path,
    sandbox: SandboxServer,
    ids: list[str],
    in_the_middle: Callable[[], bool],
    go_on: Callable[[], None],
) -> None:
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(folder)))

    async def run() -> None:
        running = asyncio.create_task(first_event(trigger))
        await until(in_the_middle)
        killing = asyncio.create_task(killed(running, trigger))
        await asyncio.sleep(0)
        go_on()
        await killing

    asyncio.run(asyncio.wait_for(run(), 20))
    assert requests_so_far(sandbox) == 0
    assert final_outcomes(folder) == dict.fromkeys(ids, "not_attempted")
    assert counts_in(folder) == {"not_attempted": 5}
    assert not any(thread.name == "smscancel-journal" for thread in threading.enumerate())


def test_without_a_report_a_cancelled_message_is_never_said_to_have_been_so_before(
    sandbox: SandboxServer, seed: Seed
) -> None:
    """Nothing tells whether a triggerer that was killed has stopped it."""
    ids = seed(2, gateway="esendex")
    trigger = deferred_by(sandbox, message_ids=ids, sms_conn_id="sms_esendex", requests_per_second=1)

    async def run() -> Row:
        running = asyncio.create_task(first_event(again(trigger)))
        await until(lambda: states(sandbox, ids)["cancelled"] > 0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return await first_event(again(trigger))

    event = asyncio.run(run())
    assert {name: count for name, count in event["summary"]["outcomes"].items() if count} == {"cancelled": 2}


def test_a_try_that_airflow_took_for_dead_does_not_overwrite_the_summary_of_its_retry(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(150)
    first = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path)))
    second = again(
        deferred_by(sandbox, ti=FakeTask(try_number=2), message_ids=ids, report_path=str(tmp_path))
    )

    async def run() -> None:
        sandbox.state.latency = 30.0
        running = asyncio.create_task(first_event(first))
        await until(lambda: requests_so_far(sandbox) > 0)
        sandbox.state.latency = 0.0
        await first_event(second)
        await killed(running, first)

    asyncio.run(run())
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert counts_in(tmp_path) == {"cancelled": 150}


# -- a triggerer cancels again every second until the trigger has ended -----------------------------------------------


async def killed_again_and_again(trigger: CancelMessagesTrigger, in_the_middle: Callable[[], bool]) -> None:
    """Run and end a trigger as Airflow 3.3's triggerer does, but with ever so little time between the cancellations."""

    async def as_airflow_runs_it() -> None:
        try:
            await first_event(trigger)
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(trigger.on_kill(), 30)
            raise

    running = asyncio.create_task(as_airflow_runs_it())
    await until(in_the_middle)
    while not running.done():
        running.cancel(USER_ACTION)
        await asyncio.sleep(0.01)
    assert running.cancelled()


@pytest.mark.parametrize("count", [40, 5_000])
def test_a_triggerer_that_cancels_again_and_again_does_not_keep_the_report_from_being_whole(
    count: int, tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    sandbox.state.latency = 1.0
    ids = seed(count)
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path), max_concurrency=4))

    async def run() -> None:
        await killed_again_and_again(trigger, lambda: requests_so_far(sandbox) > 0)
        await until(lambda: bool(list(tmp_path.glob("summary-*"))))

    asyncio.run(asyncio.wait_for(run(), 20))
    outcomes = final_outcomes(tmp_path)
    assert set(outcomes) == set(ids)
    assert counts_in(tmp_path) == dict(Counter(outcomes.values()))
    stopped = {each for each, outcome in outcomes.items() if outcome == "cancelled"}
    record = truth(sandbox)
    assert {record[each]["state"] for each in stopped} == {"cancelled"}
    assert not any(thread.name == "smscancel-journal" for thread in threading.enumerate())


def test_a_triggerer_that_cancels_again_and_again_while_a_campaign_is_read_leaves_a_whole_report(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    carried_over = Journal.carried_over

    def slowly(self: Journal, *arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(20)
        return carried_over(self, *arguments)

    monkeypatch.setattr(Journal, "carried_over", slowly)
    ids = seed(5)
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path)))

    async def run() -> None:
        await killed_again_and_again(trigger, reading.is_set)
        go_on.set()
        await until(lambda: bool(list(tmp_path.glob("summary-*"))))

    asyncio.run(asyncio.wait_for(run(), 20))
    assert requests_so_far(sandbox) == 0
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "not_attempted")
