"""How a run ends before its time, and how fast it is when it does not."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.failing_store import StoreThatFails
from support.operating import FakeTask, Play, Seed, final_outcomes, read_report, requests_so_far, truth
from support.state_store import MemoryStore

from airflow_provider_smscancel._airflow import AirflowException
from airflow_provider_smscancel.campaigns import cancel_job, job, manifest_lines
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.common import campaign_source
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

Execute = Callable[[CancelMessageOperator, dict[str, Any]], Any]


class TimeLimit(BaseException):
    """Comes like Airflow's own: from a signal's handler, past every ``except Exception``."""


@contextmanager
def signal_at(sandbox: SandboxServer, requests: int, handler: Callable[[], None]) -> Iterator[None]:
    """Once the sandbox has seen so many requests, call the handler in the main thread, wherever that is by then."""
    over = threading.Event()
    main_thread = threading.get_ident()

    def watch() -> None:
        while requests_so_far(sandbox) < requests:
            if over.wait(0.002):
                return
        signal.pthread_kill(main_thread, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, before)


def killed_at(sandbox: SandboxServer, requests: int, took: list[float] | None = None) -> Execute:
    """Execute, and have ``on_kill`` called from a signal's handler in the middle.

    :param took: takes the seconds from the kill to the end.
    """

    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        killed: list[float] = []

        def kill() -> None:
            killed.append(time.monotonic())
            operator.on_kill()

        try:
            with signal_at(sandbox, requests, kill):
                return operator.execute(context)
        finally:
            assert killed, "the run was over before it was killed"
            if took is not None:
                took.append(time.monotonic() - killed[0])

    return execute


# -- on_kill ------------------------------------------------------------------------------------------------------------


def test_a_kill_ends_the_run_within_4_seconds_and_leaves_a_report_that_a_retry_takes_up(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(400)
    sandbox.state.latency = 0.1
    took: list[float] = []
    killed = play(message_ids=ids, report_path=str(tmp_path / "r"), execute=killed_at(sandbox, 100, took))
    text = killed.failed_retryably()
    assert "A retry takes up what is open." in text
    assert took[0] < 4
    assert sum(killed.outcomes.values()) == killed.summary["total"] == 400
    assert 0 < killed.outcomes["cancelled"] < 400
    assert killed.outcomes["not_attempted"] > 0
    assert set(final_outcomes(tmp_path / "r")) == set(ids)

    sandbox.state.latency = 0.0
    retry = play(FakeTask(try_number=2), message_ids=ids, report_path=str(tmp_path / "r"))
    assert retry.error is None
    assert retry.outcomes == {"cancelled": 400}
    assert set(final_outcomes(tmp_path / "r").values()) == {"cancelled"}
    assert killed.requests + retry.requests <= 400 + 16


@pytest.mark.parametrize("ended_at", ["kill", "time limit"])
def test_without_a_report_a_run_that_is_ended_leaves_in_the_store_what_a_retry_takes_up(
    ended_at: str, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids, store = seed(400), MemoryStore()
    context = {"task_state_store": store}
    sandbox.state.latency = 0.1
    took: list[float] = []
    execute = killed_at(sandbox, 100, took) if ended_at == "kill" else struck_at(sandbox, 100)
    ended = play(message_ids=ids, context=context, execute=execute)
    ended.failed_retryably()
    assert max(took, default=0.0) < 4
    assert 0 < ended.outcomes["cancelled"] < 400

    sandbox.state.latency = 0.0
    retry = play(FakeTask(try_number=2), message_ids=ids, context=context)
    assert retry.error is None
    assert retry.outcomes == {"cancelled": 400}
    assert ended.requests + retry.requests <= 400 + 16
    assert store.values == {}


def test_what_was_in_flight_at_a_kill_is_cut_and_stays_in_doubt(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(10)
    sandbox.state.latency = 30.0
    took: list[float] = []
    played = play(
        message_ids=ids,
        max_concurrency=4,
        report_path=str(tmp_path / "r"),
        execute=killed_at(sandbox, 4, took),
    )
    played.failed_retryably()
    assert took[0] < 4
    assert played.outcomes == {"unconfirmed": 4, "not_attempted": 6}
    assert len(read_report(tmp_path / "r")) == 10


def test_no_new_request_is_made_after_a_kill(sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    ids = seed(400)
    sandbox.state.latency = 0.2
    at_the_kill: list[int] = []

    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        def kill() -> None:
            operator.on_kill()
            at_the_kill.append(sum(message.stop_requests for message in sandbox.state.messages()))

        with signal_at(sandbox, 40, kill):
            return operator.execute(context)

    play(message_ids=ids, execute=execute).failed_retryably()
    stopped = sum(row["stop_requests"] for row in truth(sandbox).values())
    assert at_the_kill[0] > 0
    assert stopped - at_the_kill[0] <= 16  # what was on its way


def test_a_kill_fails_the_task_even_if_nothing_is_in_fail_on(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    sandbox.state.latency = 0.2
    played = play(message_ids=seed(200), fail_on=[], execute=killed_at(sandbox, 30))
    played.failed_retryably()


def test_a_kill_after_the_last_answer_fails_the_task_all_the_same(
    tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        close = Journal.close

        def kill_then_close(self: Journal, *arguments: Any, **options: Any) -> None:
            operator.on_kill()
            close(self, *arguments, **options)

        monkeypatch.setattr(Journal, "close", kill_then_close)
        return operator.execute(context)

    ids = seed(3)
    played = play(message_ids=ids, report_path=str(tmp_path), execute=execute)
    assert played.outcomes == {"cancelled": 3}
    played.failed_retryably()


@pytest.mark.parametrize("parameters", [{}, {"on_empty": "succeed"}, {"on_empty": "skip"}, {"dry_run": True}])
def test_a_kill_before_the_first_request_sends_nothing_and_fails_retryably(
    parameters: dict[str, Any], seed: Seed, play: Play
) -> None:
    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        operator.on_kill()
        return operator.execute(context)

    played = play(message_ids=[] if "on_empty" in parameters else seed(3), execute=execute, **parameters)
    played.failed_retryably()
    assert played.requests == 0


def test_a_dry_run_can_be_killed(sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    sandbox.state.latency = 0.2
    played = play(message_ids=seed(200), dry_run=True, execute=killed_at(sandbox, 30))
    assert "Nothing was cancelled" in played.failed_retryably()
    assert sum(played.summary["states"].values()) == 200


# -- time limits --------------------------------------------------------------------------------------------------------


def test_the_run_ends_itself_10_seconds_before_execution_timeout(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(200)
    started = time.monotonic()
    played = play(
        message_ids=ids,
        requests_per_second=50,
        execution_timeout=timedelta(seconds=11),
        report_path=str(tmp_path),
    )
    took = time.monotonic() - started
    assert "execution_timeout" in played.failed_retryably()
    assert 0.9 < took < 8
    assert 0 < played.outcomes["cancelled"] <= 55
    assert played.outcomes["not_attempted"] == 200 - played.outcomes["cancelled"]
    assert set(final_outcomes(tmp_path)) == set(ids)


def test_a_time_limit_under_10_seconds_still_leaves_time_to_stop_messages(seed: Seed, play: Play) -> None:
    assert play(message_ids=seed(20), execution_timeout=timedelta(seconds=8)).error is None


def test_a_store_that_refuses_does_not_hold_a_run_beyond_its_time_limit(
    tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(cancel_job, "AFTER_DEADLINE_S", 2.0)
    started = time.monotonic()
    played = play(
        message_ids=seed(3),
        report_path=str(tmp_path / "taken" / "r"),
        execution_timeout=timedelta(seconds=10.5),
    )
    played.failed_retryably()
    assert played.summary["report_error"]
    assert time.monotonic() - started < 6


def struck_at(sandbox: SandboxServer, requests: int) -> Execute:
    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        def strike() -> None:
            raise TimeLimit

        try:
            with signal_at(sandbox, requests, strike):
                return operator.execute(context)
        except TimeLimit:
            operator.on_kill()  # as Airflow does
            raise AirflowException("Timeout") from None

    return execute


def test_a_time_limit_that_strikes_in_the_middle_leaves_a_whole_report_and_the_xcoms(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(400)
    sandbox.state.latency = 0.05
    played = play(message_ids=ids, report_path=str(tmp_path), execute=struck_at(sandbox, 120))
    played.failed_retryably()
    assert sum(played.outcomes.values()) == 400
    assert 0 < played.outcomes["cancelled"] < 400
    outcomes = final_outcomes(tmp_path)
    assert set(outcomes) == set(ids)
    stopped = {message_id for message_id, outcome in outcomes.items() if outcome == "cancelled"}
    assert len(stopped) == played.outcomes["cancelled"]
    assert stopped <= {row["id"] for row in truth(sandbox).values() if row["state"] == "cancelled"}
    assert len(read_report(tmp_path)) == 400


@pytest.mark.parametrize("requests", [1, 150, 430, 810, 1300])
def test_wherever_a_time_limit_strikes_no_message_is_lost(
    requests: int, tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(1500)
    played = play(
        message_ids=ids, max_concurrency=64, report_path=str(tmp_path), execute=struck_at(sandbox, requests)
    )
    assert sum(played.outcomes.values()) == 1500
    assert {row["message_id"] for row in read_report(tmp_path)} == set(ids)
    assert len(read_report(tmp_path)) == 1500


def test_what_there_is_no_time_to_hand_over_is_counted_as_in_doubt(
    sandbox: SandboxServer, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "CUT_SHORT_S", 0.1)
    sandbox.state.latency = 3.0
    played = play(message_ids=seed(30), execute=killed_at(sandbox, 10))
    played.failed_retryably()
    assert set(played.outcomes) == {
        "unconfirmed",
        "not_attempted",
    }  # what was in flight, and what was never asked
    assert sum(played.outcomes.values()) == 30
    assert f"{played.outcomes['unconfirmed']} messages" in played.told.said("error")


def test_a_defect_inside_fails_the_task_and_leaves_a_whole_report(
    tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Defect(Exception):
        pass

    read = ClickatellRest.read_stop
    left = 20

    def read_or_break(self: ClickatellRest, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Defect
        return read(self, *arguments)

    monkeypatch.setattr(ClickatellRest, "read_stop", read_or_break)
    ids = seed(60)
    played = play(message_ids=ids, report_path=str(tmp_path))
    assert isinstance(played.error, Defect)
    assert played.outcomes["cancelled"] == 20
    assert sum(played.outcomes.values()) == 60
    assert set(final_outcomes(tmp_path)) == set(ids)


# -- a gateway that is down ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [timedelta(seconds=1), 1, 1.0])
def test_the_run_gives_up_on_a_gateway_that_stays_down(patience: Any, tmp_path: Path, play: Play) -> None:
    ids = [f"{number:032x}" for number in range(20)]
    started = time.monotonic()
    played = play(
        sms_conn_id="sms_down", message_ids=ids, give_up_after=patience, report_path=str(tmp_path), fail_on=[]
    )
    assert "give_up_after" in played.failed_retryably()
    assert 0.9 < time.monotonic() - started < 6
    assert played.outcomes == {"not_attempted": 20}
    assert set(final_outcomes(tmp_path).values()) == {"not_attempted"}


def test_the_run_goes_on_once_the_gateway_is_back(sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    ids = seed(40)
    sandbox.state.faults.configure(share=1.0, kinds=["502"])

    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        with signal_at(sandbox, 12, lambda: sandbox.state.faults.configure(profile="none")):
            return operator.execute(context)

    played = play(message_ids=ids, execute=execute)
    assert played.error is None
    assert played.outcomes == {"cancelled": 40}


# -- speed and progress -------------------------------------------------------------------------------------------------


def test_2000_messages_take_a_small_part_of_what_one_after_the_other_would(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(2000)
    sandbox.state.latency = 0.05
    started = time.monotonic()
    played = play(message_ids=ids, max_concurrency=64, requests_per_second=2000, report_path=str(tmp_path))
    took = time.monotonic() - started
    assert played.error is None
    assert played.outcomes == {"cancelled": 2000}
    assert took < 2000 * 0.05 / 10


def test_the_log_tells_how_it_goes_every_few_seconds(
    sandbox: SandboxServer, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "PROGRESS_EVERY_S", 0.3)
    played = play(message_ids=[*seed(100), *seed(20, state="sent")], requests_per_second=100)
    lines = [text for level, text, _ in played.told if level == "info" and "settled" in text]
    assert len(lines) >= 2
    assert "of 120 settled" in lines[-1]
    assert "a second" in lines[-1]
    assert "cancelled " in lines[-1]
    assert lines[-1].rstrip(".").endswith("left")


def test_a_store_that_fails_while_the_manifest_is_read_makes_a_retry_that_reads_the_rest(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_lines, "PIECE_BYTES", 200)
    ids = seed(20)
    store = StoreThatFails("\n".join(["message_id", *ids]).encode(), good_reads=2)
    opened = campaign_source.open_path
    monkeypatch.setattr(
        campaign_source, "open_path", lambda name, text: store if name == "manifest" else opened(name, text)
    )
    played = play(manifest="s3://bucket/campaign.csv", report_path=str(tmp_path))
    played.failed_retryably()
    assert 0 < played.outcomes["cancelled"] < 20
    assert "A retry reads it again" in str(played.error)
    store.good_reads = 1000
    again = play(FakeTask(try_number=2), manifest="s3://bucket/campaign.csv", report_path=str(tmp_path))
    assert again.error is None
    assert again.outcomes == {"cancelled": 20}
    assert requests_so_far(sandbox) == 20


def test_a_dry_run_over_half_a_list_is_no_success(
    sandbox: SandboxServer, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest_lines, "PIECE_BYTES", 200)
    store = StoreThatFails("\n".join(["message_id", *seed(20)]).encode(), good_reads=2)
    monkeypatch.setattr(campaign_source, "open_path", lambda name, text: store)
    played = play(manifest="s3://bucket/campaign.csv", dry_run=True)
    played.failed_retryably()
    assert "was read to line" in str(played.error)
    assert "Nothing was cancelled: it was a dry run." in str(played.error)
    assert 0 < requests_so_far(sandbox) < 20


def test_a_store_that_can_not_be_reached_at_first_is_worth_a_retry(
    play: Play, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoreThatFails(b"message_id\n", good_reads=0)
    monkeypatch.setattr(campaign_source, "open_path", lambda name, text: store)
    played = play(manifest="s3://bucket/campaign.csv")
    assert type(played.error) is AirflowException
    assert "Nothing was sent" in str(played.error)
    assert requests_so_far(sandbox) == 0
