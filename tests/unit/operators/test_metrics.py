"""What Airflow's metrics are told of a run: through a stand-in for its ``Stats``, and once with StatsD over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.deferring import again, deferral, first_event, through_the_triggerer
from support.operating import FakeTask, Play, Seed, requests_so_far, states
from support.versions import since

from airflow_provider_smscancel import _airflow
from airflow_provider_smscancel.campaigns import job as jobs
from airflow_provider_smscancel.operators import cancel_message
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

TESTS = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")


class Recorder:
    """Stands for Airflow's ``Stats``."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.times: dict[str, list[timedelta]] = {}
        self.tags: set[tuple[tuple[str, str], ...]] = set()

    def incr(self, stat: str, count: int = 1, rate: float = 1, *, tags: dict[str, str] | None = None) -> None:
        assert count > 0
        self.counts[stat] += count
        self._note(stat, tags)

    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, str] | None = None) -> None:
        self.times.setdefault(stat, []).append(dt)
        self._note(stat, tags)

    def _note(self, stat: str, tags: dict[str, str] | None) -> None:
        assert re.fullmatch(r"[a-zA-Z0-9_.]+", stat), "not every backend takes other characters"
        self.calls[stat] += 1
        self.tags.add(tuple(sorted((tags or {}).items())))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What the task's process tells; nothing else may tell anything."""
    recorder = Recorder()
    monkeypatch.setattr(cancel_message, "Stats", recorder)
    monkeypatch.setattr(_airflow, "ServerStats", Broken())
    return recorder


class Broken:
    """A backend that refuses everything."""

    def incr(self, *_: Any, **__: Any) -> None:
        raise OSError("the collector at 10.0.0.1 is gone")

    timing = incr


def test_the_counts_are_those_of_the_summary(seed: Seed, play: Play, told: Recorder) -> None:
    ids = [*seed(20), *seed(3, state="sent"), "not an id!"]
    played = play(message_ids=ids)
    outcomes = {f"smscancel.outcome.{name}": count for name, count in played.outcomes.items()}
    assert outcomes == {
        "smscancel.outcome.cancelled": 20,
        "smscancel.outcome.too_late": 3,
        "smscancel.outcome.rejected": 1,
    }
    assert told.counts == {"smscancel.requests": played.summary["requests"], **outcomes}
    assert told.tags == {(("conn_id", "sms"), ("gateway", "clickatell"))}


def test_times_are_those_of_one_request_and_of_the_run(
    sandbox: SandboxServer, seed: Seed, play: Play, told: Recorder
) -> None:
    sandbox.state.latency = 0.05
    play(message_ids=seed(40), max_concurrency=4)
    (run,) = told.times["smscancel.run_duration"]
    assert run >= timedelta(seconds=0.05 * 40 / 4)
    assert all(timedelta(seconds=0.05) <= mean < run for mean in told.times["smscancel.request_duration"])


def test_what_is_told_in_the_middle_adds_up(
    seed: Seed, play: Play, told: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PROGRESS_EVERY_S", 0.0)
    play(message_ids=seed(1500))
    assert told.calls["smscancel.outcome.cancelled"] > 1
    assert told.counts["smscancel.outcome.cancelled"] == told.counts["smscancel.requests"] == 1500
    assert told.calls["smscancel.run_duration"] == 1


def test_asking_again_and_being_asked_to_slow_down_are_counted(
    sandbox: SandboxServer, seed: Seed, play: Play, told: Recorder, no_pauses: None
) -> None:
    sandbox.state.rate_limit = 40
    played = play(message_ids=seed(60))
    assert played.outcomes == {"cancelled": 60}
    assert told.counts["smscancel.throttled"] > 0
    assert told.counts["smscancel.retry"] > 0
    assert told.counts["smscancel.requests"] == played.summary["requests"] > 60


def test_what_an_earlier_try_has_settled_is_not_counted_again(
    tmp_path: Path, in_doubt: Seed, seed: Seed, play: Play, told: Recorder
) -> None:
    ids = [*seed(5), *in_doubt(1)]
    play(message_ids=ids, report_path=str(tmp_path)).failed_retryably()
    assert told.counts["smscancel.outcome.cancelled"] == 5
    assert told.counts["smscancel.outcome.unconfirmed"] == 1
    play(FakeTask(try_number=2), message_ids=ids, report_path=str(tmp_path)).failed_retryably()
    assert told.counts["smscancel.outcome.cancelled"] == 5
    assert told.counts["smscancel.outcome.unconfirmed"] == 2  # of the second try


def test_a_dry_run_counts_requests_and_no_outcomes(seed: Seed, play: Play, told: Recorder) -> None:
    played = play(message_ids=seed(4), dry_run=True)
    assert told.counts == {"smscancel.requests": played.summary["requests"]}


def test_a_run_that_is_refused_is_counted_too(play: Play, told: Recorder) -> None:
    played = play(sms_conn_id="sms_wrong_token", message_ids=["a" * 32])
    assert told.counts["smscancel.outcome.not_attempted"] == 1
    assert told.counts["smscancel.requests"] == played.summary["requests"]
    assert told.calls["smscancel.run_duration"] == 1


def test_a_backend_that_fails_harms_nothing_and_is_said_once(
    seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_message, "Stats", Broken())
    monkeypatch.setattr(jobs, "PROGRESS_EVERY_S", 0.0)
    played = play(message_ids=seed(600))
    assert (played.error, played.outcomes) == (None, {"cancelled": 600})
    assert played.told.said("warning").count("metrics") == 1
    assert "10.0.0.1" not in played.told.said("warning")


def test_in_the_triggerer_its_own_metrics_are_told(
    tmp_path: Path, seed: Seed, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_triggerer = Recorder()
    monkeypatch.setattr(_airflow, "ServerStats", in_the_triggerer)
    monkeypatch.setattr(cancel_message, "Stats", Broken())
    operator = CancelMessageOperator(
        task_id="c", sms_conn_id="sms", message_ids=seed(6), report_path=str(tmp_path), deferrable=True
    )
    through_the_triggerer(operator, {"ti": FakeTask()})
    assert in_the_triggerer.counts == {"smscancel.requests": 6, "smscancel.outcome.cancelled": 6}
    assert in_the_triggerer.calls["smscancel.run_duration"] == 1
    assert in_the_triggerer.tags == {(("conn_id", "sms"), ("gateway", "clickatell"))}


def test_what_is_left_open_by_a_task_that_is_ended_in_the_triggerer_is_counted(
    tmp_path: Path, seed: Seed, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_triggerer = Recorder()
    monkeypatch.setattr(_airflow, "ServerStats", in_the_triggerer)
    sandbox.state.latency = 0.05
    operator = CancelMessageOperator(
        task_id="c", sms_conn_id="sms", message_ids=seed(400), report_path=str(tmp_path), deferrable=True
    )
    trigger = again(deferral(operator, {"ti": FakeTask()}).trigger)

    async def ended_in_the_middle() -> None:
        running = asyncio.create_task(first_event(trigger))
        while requests_so_far(sandbox) < 60:
            await asyncio.sleep(0.002)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await trigger.on_kill()

    asyncio.run(ended_in_the_middle())
    outcomes = {name: count for name, count in in_the_triggerer.counts.items() if "outcome" in name}
    assert set(outcomes) == {"smscancel.outcome.cancelled", "smscancel.outcome.not_attempted"}
    assert sum(outcomes.values()) == 400


DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

with DAG("metered"):
    CancelMessageOperator(task_id="cancel", sms_conn_id="sms", message_ids={ids!r}, report_path={report!r})
"""


@since("3.3", "supervisor that can be called as here")
def test_a_worker_sends_the_metrics_of_a_task_to_statsd(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = seed(20)
    (tmp_path / "metered.py").write_text(DAG_FILE.format(ids=ids, report=str(tmp_path / "report")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(tmp_path))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(collector.getsockname()[1]))
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
        # Airflow 3.3.2 tells a task's process where its metrics go in task_runner.main(), by stats.initialize() (and whoever
        # imports airflow.sdk.serde does it too). A worker's task comes through main(); that of a dag.test() does not.
        command = [sys.executable, "-m", "support.supervised", "metered.py", "metered", "cancel"]
        done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        datagrams = received(collector)

    assert states(sandbox, ids) == {"cancelled": 20}
    assert not [line for line in datagrams if any(message_id in line for message_id in ids)]
    counts, times = Counter[str](), set[str]()
    for line in datagrams:
        if "smscancel." in line:
            name, _, value = line.partition(":")
            number, kind = value.split("|")
            if kind == "c":
                counts[name] += int(number)
            else:
                assert kind == "ms"
                times.add(name)
    tags = "gateway=clickatell,conn_id=sms"
    assert requests_so_far(sandbox) == 20
    assert counts == {
        f"airflow.smscancel.requests,{tags}": 20,
        f"airflow.smscancel.outcome.cancelled,{tags}": 20,
    }
    assert times == {
        f"airflow.smscancel.request_duration,{tags}",
        f"airflow.smscancel.run_duration,{tags}",
    }


def received(collector: socket.socket) -> list[str]:
    """Take what has arrived: on loopback, everything that a process sent before it ended."""
    collector.setblocking(False)
    datagrams = []
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.append(collector.recv(65_536).decode())
    return datagrams
