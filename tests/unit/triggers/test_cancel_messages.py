"""The operator and its trigger, in an event loop as the triggerer has one, against a sandbox over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.deferring import again, cancelled_at, deferral, deferred_by, first_event, through_the_triggerer
from support.operating import FakeTask, Play, Row, Seed, final_outcomes, read_report, requests_so_far, states
from support.scripted import Call, ScriptedTransport, hex_id, rest_says

from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.gateways.base import Answer
from airflow_provider_smscancel.operators import deferring
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer
from airflow_provider_smscancel.transport import aio

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")

# -- what travels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_a_trigger_is_the_same_after_a_round_trip_through_airflows_database(
    kept: bool, tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(3)
    trigger = deferred_by(
        sandbox,
        message_ids=ids,
        report_path=str(tmp_path) if kept else None,
        campaign="spring",
        execution_timeout=timedelta(minutes=5),
        requests_per_second=12.5,
        max_concurrency=3,
        give_up_after=60,
    )
    assert again(trigger).serialize() == trigger.serialize()
    _, parameters = trigger.serialize()
    assert (parameters["requests_per_second"], parameters["max_concurrency"]) == (12.5, 3)
    assert parameters["give_up_after_s"] == 60
    assert parameters["campaign"] == "spring"
    assert (parameters["messages"] is None) == kept
    assert 280 < parameters["ends_at"] - time.time() <= 290
    assert requests_so_far(sandbox) == 0


def test_no_secret_travels(tmp_path: Path, sandbox: SandboxServer, seed: Seed) -> None:
    trigger = deferred_by(sandbox, message_ids=seed(2), report_path=str(tmp_path), sms_conn_id="sms_http")
    said = json.dumps(trigger.serialize()) + repr(trigger)
    said += "".join(path.read_text() for path in tmp_path.iterdir())
    assert "sandbox-password" not in said
    assert sandbox.url not in said


def test_airflow_waits_a_little_longer_than_the_run_takes_at_most(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    parameters: Row = {"task_id": "c", "sms_conn_id": "sms", "message_ids": seed(1), "deferrable": True}
    operator = CancelMessageOperator(execution_timeout=timedelta(seconds=100), **parameters)
    timeout = deferral(operator, {"ti": FakeTask()}).timeout
    assert timedelta(seconds=100) < timeout <= timedelta(seconds=110)
    assert deferral(CancelMessageOperator(**parameters), {"ti": FakeTask()}).timeout is None


def test_the_default_is_airflows() -> None:
    code = (
        "from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator as C;"
        "print(C(task_id='a', sms_conn_id='b').deferrable)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": default},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1]
        for default in ("True", "False")
    ]
    assert said == ["True", "False"]


# -- the same as on a worker --------------------------------------------------------------------------------------------


def test_the_result_is_that_of_a_run_on_the_worker(tmp_path: Path, seed: Seed, play: Play) -> None:
    summaries, reports, not_stopped = [], [], []
    for execute in (CancelMessageOperator.execute, through_the_triggerer):
        ids, sent = seed(20), seed(3, state="sent")
        folder = tmp_path / str(len(summaries))
        rows = [f"{each},2999-01-01T10:00:00+00:00" for each in ids[:8]] + [f"{each}," for each in ids[8:]]
        rows += [*(f"{each},1999-01-01T10:00:00Z" for each in sent), "not an id!,", f"{ids[0].upper()},", ","]
        rows += ["None,", f"{ids[9]},2030-01-01T10:00:00+00:00"]
        manifest = tmp_path / "list.csv"
        manifest.write_text("\n".join(["message_id,scheduled_at", *rows]))
        played = play(
            manifest=str(manifest),
            report_path=str(folder),
            campaign="spring",
            deferrable=execute is through_the_triggerer,
            execute=execute,
        )
        played.failed_for_good()
        summaries.append({**played.summary, "report": None, "started_at": None, "finished_at": None})
        assert set(json.loads(next(folder.glob("summary-*")).read_text())) == set(played.summary)
        alias = {each: f"good {n}" for n, each in enumerate(ids)} | {
            each: f"sent {n}" for n, each in enumerate(sent)
        }
        reports.append(
            sorted(
                (alias.get(row["message_id"], row["message_id"]), row["outcome"], row["detail"])
                for row in read_report(folder)
            )
        )
        not_stopped.append(
            sorted(alias.get(each["message_id"], each["message_id"]) for each in played.not_stopped)
        )
    assert summaries[0] == summaries[1]
    assert reports[0] == reports[1]
    assert not_stopped[0] == not_stopped[1]
    assert summaries[0]["outcomes"]["rejected"] == 2
    assert summaries[0]["duplicates"] == 2
    assert summaries[0]["undated"] == 11


@pytest.mark.parametrize("report", [True, False])
def test_what_the_sandbox_knows_agrees(
    report: bool, tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(300)
    played = play(
        message_ids=ids,
        report_path=str(tmp_path) if report else None,
        deferrable=True,
        execute=through_the_triggerer,
    )
    assert played.error is None
    assert played.returned == played.summary
    assert played.outcomes == {"cancelled": 300}
    assert played.requests == played.summary["requests"] == 300
    assert states(sandbox, ids) == {"cancelled": 300}
    assert (final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")) == report


def test_a_refused_account_fails_for_good(tmp_path: Path, seed: Seed, play: Play) -> None:
    events: list[Row] = []

    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        events.append(asyncio.run(first_event(again(deferral(operator, context).trigger))))
        return operator.execute_complete(context, events[0])

    played = play(
        message_ids=seed(5),
        sms_conn_id="sms_wrong_token",
        report_path=str(tmp_path),
        deferrable=True,
        execute=execute,
    )
    assert "refuses the account" in played.failed_for_good()
    assert set(events[0]) == {"end", "summary", "not_stopped", "account", "incomplete"}
    assert set(events[0]["account"]) == {"code", "detail"}
    assert played.outcomes == {"not_attempted": 5}
    assert len(played.not_stopped) == 5


def test_what_is_in_doubt_fails_retryably(in_doubt: Seed, play: Play) -> None:
    played = play(message_ids=in_doubt(2), deferrable=True, execute=through_the_triggerer)
    assert "A retry takes up what is open." in played.failed_retryably()
    assert played.outcomes == {"unconfirmed": 2}


def test_a_report_that_is_not_complete_fails_retryably(
    tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_write", refuse)
    played = play(
        message_ids=seed(3),
        report_path=str(tmp_path),
        execution_timeout=timedelta(seconds=11),
        deferrable=True,
        execute=through_the_triggerer,
    )
    assert "No space left" in played.failed_retryably()
    assert played.outcomes == {"cancelled": 3}


def test_the_run_ends_itself_before_its_time_limit(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(200)
    begun = time.monotonic()
    played = play(
        message_ids=ids,
        requests_per_second=50,
        execution_timeout=timedelta(seconds=11.5),
        report_path=str(tmp_path),
        deferrable=True,
        execute=through_the_triggerer,
    )
    assert "execution_timeout" in played.failed_retryably()
    assert time.monotonic() - begun < 6
    assert 0 < played.outcomes["cancelled"] < 200
    assert played.outcomes["not_attempted"] == 200 - played.outcomes["cancelled"]
    assert set(final_outcomes(tmp_path)) == set(ids)


def test_a_defect_inside_fails_the_task_retryably_and_leaves_a_whole_report(
    tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    monkeypatch.setattr(aio.AsyncTransport, "__aenter__", broken)
    ids = seed(7)
    played = play(message_ids=ids, report_path=str(tmp_path), deferrable=True, execute=through_the_triggerer)
    assert "broke down" in played.failed_retryably()
    assert played.outcomes == {"not_attempted": 7}
    assert set(final_outcomes(tmp_path)) == set(ids)


def test_a_list_that_is_gone_fails_retryably(tmp_path: Path, seed: Seed, play: Play) -> None:
    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        trigger = deferral(operator, context).trigger
        next(tmp_path.glob("input-*")).unlink()
        return operator.execute_complete(context, asyncio.run(first_event(again(trigger))))

    played = play(message_ids=seed(2), report_path=str(tmp_path), deferrable=True, execute=execute)
    assert "could not take up the campaign" in played.failed_retryably()
    assert played.requests == 0


# -- where it runs ------------------------------------------------------------------------------------------------------


def test_the_list_is_read_once(tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    ids, others = seed(3), seed(2)
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["message_id", *ids]))

    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        trigger = deferral(operator, context).trigger
        manifest.write_text("\n".join(["message_id", *others]))
        return operator.execute_complete(context, asyncio.run(first_event(again(trigger))))

    played = play(manifest=str(manifest), report_path=str(tmp_path / "r"), deferrable=True, execute=execute)
    assert played.outcomes == {"cancelled": 3}
    assert states(sandbox, others) == {"scheduled": 2}


@pytest.mark.parametrize(("count", "bytes_allowed"), [(501, deferring.MOST_BYTES), (30, 1000)])
def test_a_list_that_is_too_long_for_the_row_runs_on_the_worker(
    count: int, bytes_allowed: int, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferring, "MOST_BYTES", bytes_allowed)
    played = play(message_ids=seed(count), deferrable=True)
    assert played.outcomes == {"cancelled": count}
    assert "runs on the worker" in played.told.said("warning")
    assert f"{count} messages" in played.told.said("warning")


def test_a_list_of_500_travels_in_the_row(sandbox: SandboxServer, seed: Seed) -> None:
    trigger = deferred_by(sandbox, message_ids=seed(500))
    assert trigger.messages is not None
    assert len(json.dumps(trigger.serialize())) < 65_000


def test_a_store_that_refuses_the_list_does_not_hold_up_the_campaign(
    tmp_path: Path, seed: Seed, play: Play
) -> None:
    (tmp_path / "taken").write_text("")
    played = play(
        message_ids=seed(501),
        report_path=str(tmp_path / "taken" / "r"),
        execution_timeout=timedelta(seconds=20),
        deferrable=True,
    )
    assert played.outcomes == {"cancelled": 501}
    assert "can't be written" in played.told.said("warning")
    assert played.summary["report_error"]


@pytest.mark.parametrize("parameters", [{"dry_run": True}, {"message_ids": [], "on_empty": "succeed"}])
def test_what_is_not_worth_deferring_runs_on_the_worker(parameters: Row, seed: Seed, play: Play) -> None:
    played = play(**{"message_ids": seed(2), "deferrable": True, **parameters})
    assert played.error is None


def test_a_task_that_was_killed_is_not_handed_over(tmp_path: Path, seed: Seed, play: Play) -> None:
    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        operator.on_kill()
        return operator.execute(context)

    played = play(message_ids=seed(2), report_path=str(tmp_path), deferrable=True, execute=execute)
    played.failed_retryably()
    assert played.requests == 0


def test_a_kill_while_the_result_is_judged_fails_the_task(seed: Seed, play: Play) -> None:
    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        event = asyncio.run(first_event(again(deferral(operator, context).trigger)))
        operator.on_kill()
        return operator.execute_complete(context, event)

    play(message_ids=seed(2), deferrable=True, execute=execute).failed_retryably()


# -- interruptions ------------------------------------------------------------------------------------------------------


def test_a_triggerer_that_ends_writes_what_is_settled_and_the_next_one_resumes(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(400)
    sandbox.state.latency = 0.05
    trigger = deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path))
    took = asyncio.run(cancelled_at(sandbox, 150, again(trigger)))
    assert took < 4
    settled = final_outcomes(tmp_path)
    assert 150 - 16 <= len(settled) < 400
    assert set(settled.values()) == {
        "cancelled"
    }  # it is not the end of the try: nothing is said of what is open
    assert not list(tmp_path.glob("summary-*"))
    assert states(sandbox, ids)["cancelled"] == len(settled)

    event = asyncio.run(first_event(again(trigger)))
    assert event["end"] == "complete"
    assert event["summary"]["total"] == event["summary"]["outcomes"]["cancelled"] == 400
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert len(read_report(tmp_path)) == 400
    assert {message.stop_requests for message in sandbox.state.messages()} == {1}


def test_a_loop_that_is_torn_down_loses_nothing_that_is_settled(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    """A triggerer that ends cancels every task of its loop at once, those of the engine too."""
    ids = seed(400)
    sandbox.state.latency = 0.02
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path)))

    async def end_in_the_middle() -> None:
        asyncio.create_task(first_event(trigger))  # noqa: RUF006 - asyncio.run cancels it, and waits for it
        while requests_so_far(sandbox) < 120:
            await asyncio.sleep(0.002)

    asyncio.run(end_in_the_middle())
    settled = final_outcomes(tmp_path)
    assert set(settled.values()) == {"cancelled"}
    assert states(sandbox, ids)["cancelled"] - len(settled) <= 16
    event = asyncio.run(first_event(again(trigger)))
    assert event["summary"]["outcomes"]["cancelled"] == 400


def test_no_new_request_is_made_once_the_task_is_marked_failed_and_the_report_names_what_is_open(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(400)
    sandbox.state.latency = 0.1
    trigger = again(deferred_by(sandbox, message_ids=ids, report_path=str(tmp_path)))

    async def killed() -> int:
        await cancelled_at(sandbox, 60, trigger)
        before = requests_so_far(sandbox)
        await trigger.on_kill()
        return before

    before = asyncio.run(killed())
    assert before <= 60 + 2 * 16
    assert requests_so_far(sandbox) == before
    outcomes = final_outcomes(tmp_path)
    assert set(outcomes) == set(ids)
    assert set(outcomes.values()) == {"cancelled", "not_attempted"}
    (summary,) = tmp_path.glob("summary-*")
    assert sum(json.loads(summary.read_text())["outcomes"].values()) == 400


def test_what_is_in_flight_is_cut_and_said_to_be_in_doubt(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    sandbox.state.latency = 30.0
    ids = seed(10)
    trigger = again(deferred_by(sandbox, message_ids=ids, max_concurrency=4, report_path=str(tmp_path)))

    async def killed() -> float:
        took = await cancelled_at(sandbox, 4, trigger)
        await trigger.on_kill()
        return took

    assert asyncio.run(killed()) < 4
    assert sorted(final_outcomes(tmp_path).values()) == ["not_attempted"] * 6 + ["unconfirmed"] * 4


def test_a_trigger_that_is_cancelled_while_it_reads_leaves_no_thread(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    carried_over = Journal.carried_over

    def slowly(self: Journal, *arguments: Any) -> Any:
        reading.set()
        assert go_on.wait(20)
        return carried_over(self, *arguments)

    monkeypatch.setattr(Journal, "carried_over", slowly)
    trigger = again(deferred_by(sandbox, message_ids=seed(5), report_path=str(tmp_path)))

    async def cancel_while_it_reads() -> None:
        running = asyncio.create_task(first_event(trigger))
        while not reading.is_set():
            await asyncio.sleep(0.002)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        go_on.set()
        while any(thread.name == "smscancel-journal" for thread in threading.enumerate()) or not list(
            tmp_path.glob("run-*")
        ):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(cancel_while_it_reads(), 20))
    assert requests_so_far(sandbox) == 0


def test_after_a_triggerer_without_a_trace_a_cancelled_message_is_not_said_to_have_been_so_before(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(1, gateway="esendex", state="cancelled")
    found = []
    for begun_before in (False, True):
        folder = tmp_path / str(begun_before)
        trigger = deferred_by(sandbox, message_ids=ids, sms_conn_id="sms_esendex", report_path=str(folder))
        if begun_before:  # as a process leaves it that is killed before its first part
            (folder / f"begun-{trigger.owner}-1.json").write_text("{}")
        outcomes = asyncio.run(first_event(again(trigger)))["summary"]["outcomes"]
        found += [name for name, count in outcomes.items() if count]
    assert found == ["already_cancelled", "cancelled"]


# -- the loop is not held up --------------------------------------------------------------------------------------------


class ScriptedWay(ScriptedTransport):
    """A transport that costs next to nothing, so that what the loop waits for is this package."""

    async def __aenter__(self) -> ScriptedWay:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def stops_all(call: Call) -> Answer:
    return rest_says(call.message_id, "006")


@contextlib.asynccontextmanager
async def watched() -> AsyncIterator[Callable[[], tuple[float, float]]]:
    """Measure how long the loop is held up at most: in seconds, and in seconds of its own thread's work."""
    worst = [0.0, 0.0]

    async def tick() -> None:
        while True:
            wall, work = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.005)
            worst[0] = max(worst[0], time.monotonic() - wall - 0.005)
            worst[1] = max(worst[1], time.thread_time() - work)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    try:
        yield lambda: (worst[0], worst[1])
    finally:
        ticking.cancel()


@pytest.mark.parametrize("ends", ["complete", "deadline"])
def test_the_loop_is_not_held_up_by_20000_messages_and_a_slow_store(
    ends: str, tmp_path: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, carried_over = Journal._write, Journal.carried_over

    def write_slowly(self: Journal, name: str, text: str) -> None:
        time.sleep(0.4 if name.startswith("summary") else 0.02)  # a slow store, not a wait for something
        write(self, name, text)

    def read_slowly(*arguments: Any) -> Any:
        time.sleep(0.4)
        return carried_over(*arguments)

    monkeypatch.setattr(Journal, "_write", write_slowly)
    monkeypatch.setattr(Journal, "carried_over", read_slowly)
    trigger = deferred_by(
        sandbox,
        message_ids=[hex_id(number) for number in range(20_000)],
        report_path=str(tmp_path),
        requests_per_second=10_000,
        max_concurrency=64,
    )
    if ends == "deadline":
        trigger.ends_at = time.time() + 1.0
    trigger = again(trigger)
    monkeypatch.setattr(aio, "AsyncTransport", lambda *_, **__: ScriptedWay(stops_all, 0.002))

    async def run() -> tuple[Row, tuple[float, float]]:
        async with watched() as held_up:
            event = await first_event(trigger)
            await asyncio.sleep(0.02)  # one more tick, which tells of the last moments
            return event, held_up()

    gc.collect()
    gc.freeze()  # what all other tests have left in memory would be gone through again, in the loop's thread
    try:
        event, (wall, work) = asyncio.run(run())
    finally:
        gc.unfreeze()
    assert event["end"] == ends
    assert sum(event["summary"]["outcomes"].values()) == 20_000
    assert event["summary"]["report_error"] is None
    assert len(final_outcomes(tmp_path)) == 20_000
    assert work < 0.03
    assert wall < 0.2


def test_a_loop_that_is_held_up_is_noticed() -> None:
    async def run() -> tuple[float, float]:
        async with watched() as held_up:
            time.sleep(0.25)
            await asyncio.sleep(0.02)
            return held_up()

    wall, work = asyncio.run(run())
    assert wall > 0.2
    assert work < 0.1
