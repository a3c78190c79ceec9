"""What a retry takes up where there is no report: Airflow's task state store."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from support.operating import FakeTask, Play, Played, Seed, requests_so_far, states
from support.state_store import MemoryStore

from airflow_provider_smscancel.campaigns import checkpoint, folders
from airflow_provider_smscancel.campaigns.checkpoint import INDEX_KEY
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.operators.state_store import state_store_of
from airflow_provider_smscancel.sandbox import ESENDEX
from airflow_provider_smscancel.sandbox.server import SandboxServer

UNKNOWN = "0123456789abcdef0123456789abcdef"
PlayWithStore = Callable[..., Played]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def try_(play: Play, store: MemoryStore) -> PlayWithStore:
    """Run one try, of the number given, of a task whose Airflow has a task state store."""

    def run(number: int, ids: list[str], **parameters: Any) -> Played:
        return play(
            FakeTask(try_number=number), message_ids=ids, context={"task_state_store": store}, **parameters
        )

    return run


def can_be_stopped(sandbox: SandboxServer, ids: list[str]) -> None:
    for message_id in ids:
        message = sandbox.state.find("clickatell", message_id)
        assert message is not None
        message.sent_at, message.code = None, None


# -- what a retry takes up ----------------------------------------------------------------------------------------------


def test_a_retry_without_a_report_asks_only_for_what_is_open_and_covers_the_whole_campaign(
    sandbox: SandboxServer, in_doubt: Seed, seed: Seed, try_: PlayWithStore
) -> None:
    good, late, dead, doubtful = seed(5), seed(2, state="sent"), seed(1, state="failed"), in_doubt(2)
    ids = [*good, *late, *dead, *doubtful]
    first = try_(1, ids)
    first.failed_retryably()
    assert first.outcomes == {"cancelled": 5, "too_late": 2, "will_not_send": 1, "unconfirmed": 2}

    can_be_stopped(sandbox, doubtful)
    second = try_(2, [each.upper() for each in reversed(ids)])
    assert second.requests == second.summary["requests"] == 2
    assert second.outcomes == {"cancelled": 7, "too_late": 2, "will_not_send": 1}
    assert second.summary["total"] == 10
    told = {row["message_id"].lower(): (row["outcome"], row["gateway_status"]) for row in second.not_stopped}
    assert told == {
        row["message_id"]: (row["outcome"], row["gateway_status"])
        for row in first.not_stopped
        if row["message_id"] in late
    }
    assert {status for _, status in told.values()} == {"003"}
    second.failed_for_good()
    logged = second.told.said("error").lower()
    assert all(message_id in logged for message_id in [*late, *dead])  # the first try's log may be lost
    assert "8 of 10 messages were settled by an earlier try: 2 are taken up." in second.told.said("info")


def test_unknown_messages_are_asked_again(seed: Seed, try_: PlayWithStore) -> None:
    ids = [*seed(2), UNKNOWN]
    try_(1, ids).failed_for_good()
    second = try_(2, ids)
    assert second.outcomes == {"cancelled": 2, "not_found": 1}
    assert second.summary["requests"] < 3 + 2


def test_another_list_or_another_gateway_is_asked_from_the_start(
    in_doubt: Seed, seed: Seed, try_: PlayWithStore
) -> None:
    ids = [*seed(3), *in_doubt(1)]
    try_(1, ids).failed_retryably()
    assert try_(2, ids[:3]).requests >= 3


def test_the_word_cancelled_is_ours_where_an_earlier_try_has_left_something(
    seed: Seed, try_: PlayWithStore
) -> None:
    late, gone = seed(1, gateway=ESENDEX, state="sent"), seed(1, gateway=ESENDEX, state="cancelled")
    ids = [*late, *gone]
    assert try_(1, ids, sms_conn_id="sms_esendex").outcomes == {"too_late": 1, "already_cancelled": 1}
    again = try_(2, ids, sms_conn_id="sms_esendex")
    assert again.outcomes == {"too_late": 1, "already_cancelled": 1}  # settled then, not asked now
    assert again.requests == 0


def test_what_is_settled_is_kept_while_the_run_goes_on(
    sandbox: SandboxServer,
    seed: Seed,
    store: MemoryStore,
    try_: PlayWithStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.05)
    stopped_by_then: list[int] = []

    def note_how_far_it_is(kind: str) -> bool:
        if kind == "set":
            stopped_by_then.append(requests_so_far(sandbox))
        return False

    store.fails = note_how_far_it_is
    assert try_(1, seed(100), requests_per_second=200).outcomes == {"cancelled": 100}
    assert 0 < stopped_by_then[0] < 100
    assert len(stopped_by_then) > 3


# -- what is left in the store ------------------------------------------------------------------------------------------


def test_success_leaves_nothing_so_that_a_task_that_is_cleared_asks_again(
    sandbox: SandboxServer, in_doubt: Seed, seed: Seed, store: MemoryStore, try_: PlayWithStore
) -> None:
    store.values["job_id"] = '"of a subclass"'
    ids, doubtful = seed(3), in_doubt(1)
    try_(1, [*ids, *doubtful]).failed_retryably()
    assert len(store.values) == 3
    can_be_stopped(sandbox, doubtful)
    assert try_(2, [*ids, *doubtful]).error is None
    assert store.values == {"job_id": '"of a subclass"'}
    assert try_(3, [*ids, *doubtful]).requests >= 4


def test_a_failure_for_good_keeps_what_is_settled_for_a_task_that_is_cleared(
    seed: Seed, try_: PlayWithStore
) -> None:
    ids = [*seed(3), *seed(1, state="sent")]
    try_(1, ids).failed_for_good()
    cleared = try_(2, ids)
    cleared.failed_for_good()
    assert cleared.requests == 0
    assert cleared.outcomes == {"cancelled": 3, "too_late": 1}


def test_a_kill_while_the_store_is_cleared_fails_the_task_all_the_same(
    seed: Seed, store: MemoryStore, try_: PlayWithStore
) -> None:
    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        store.fails = lambda kind: operator.on_kill() or False if kind == "delete" else False  # type: ignore[func-returns-value]
        return operator.execute(context)

    played = try_(1, seed(3), execute=execute)
    assert played.outcomes == {"cancelled": 3}
    played.failed_retryably()


# -- when it is left alone ----------------------------------------------------------------------------------------------


def test_with_a_report_the_store_is_left_alone(
    tmp_path: Path, in_doubt: Seed, seed: Seed, store: MemoryStore, try_: PlayWithStore
) -> None:
    try_(1, [*seed(2), *in_doubt(1)], report_path=str(tmp_path))
    assert store.calls == []


def test_a_dry_run_neither_reads_nor_writes_the_store(
    in_doubt: Seed, seed: Seed, store: MemoryStore, try_: PlayWithStore
) -> None:
    ids = [*seed(2), *in_doubt(1)]
    try_(1, ids)
    before, store.calls = dict(store.values), []
    assert try_(2, ids, dry_run=True).summary["states"]["cancelled"] == 2
    assert (store.values, store.calls) == (before, [])


def test_handing_over_to_the_triggerer_leaves_the_store_alone(
    seed: Seed, store: MemoryStore, play: Play
) -> None:
    def execute(operator: CancelMessageOperator, context: dict[str, Any]) -> Any:
        with pytest.raises(TaskDeferred):
            operator.execute(context)

    context = {"task_state_store": store}
    played = play(message_ids=seed(2), deferrable=True, context=context, execute=execute)
    assert played.error is None
    assert store.calls == []


# -- what is said -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("has_a_store", "said"),
    [(False, "asks for every message again"), (True, "knows from Airflow's task state store")],
)
def test_the_warning_that_there_is_no_record_says_what_a_retry_does(
    has_a_store: bool, said: str, seed: Seed, store: MemoryStore, play: Play
) -> None:
    context = {"task_state_store": store} if has_a_store else {}
    warning = play(message_ids=seed(1), context=context).told.said("warning")
    assert "No record of single messages is kept" in warning
    assert said in warning


# -- a store that refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["get", "set", "delete"])
def test_a_store_that_refuses_does_not_fail_the_task(
    kind: str,
    sandbox: SandboxServer,
    seed: Seed,
    store: MemoryStore,
    try_: PlayWithStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(folders, "READ_AGAIN_AFTER_S", (0.01,))
    store.fails = lambda each: each == kind
    ids = seed(5)
    played = try_(1, ids)
    assert played.error is None
    assert played.outcomes == {"cancelled": 5}
    assert states(sandbox, ids) == {"cancelled": 5}


def test_junk_in_the_store_is_passed_over(
    in_doubt: Seed, seed: Seed, store: MemoryStore, try_: PlayWithStore
) -> None:
    ids = [*seed(3), *in_doubt(1)]
    try_(1, ids)
    for key in store.values:
        if key != INDEX_KEY:
            store.values[key] = store.values[key][:-9] + '00000000"}'[-9:]
    second = try_(2, ids)
    assert second.outcomes == {"cancelled": 3, "unconfirmed": 1}
    assert second.requests >= 4


# -- a time limit -------------------------------------------------------------------------------------------------------


class TimeLimit(BaseException):
    """Comes like Airflow's own: from the alarm's handler, past every ``except Exception``."""


@pytest.fixture
def alarm() -> Iterator[None]:
    def strike(*_: object) -> None:
        raise TimeLimit

    before = signal.signal(signal.SIGALRM, strike)
    yield
    signal.signal(signal.SIGALRM, before)


class Supervisor(MemoryStore):
    """A store behind questions and answers: an answer that nobody fetches is taken for that to the next question."""

    def __init__(self) -> None:
        super().__init__()
        self.unfetched = 0

    def _call(self, kind: str, key: str) -> None:
        super()._call(kind, key)
        self.unfetched += 1
        signal.raise_signal(signal.SIGALRM)
        self.unfetched -= 1


@pytest.mark.parametrize("call", [("get", "a"), ("set", "a", 1), ("delete", "a")])
def test_a_time_limit_does_not_tear_a_call_apart_and_strikes_right_after_it(
    call: tuple[Any, ...], alarm: None
) -> None:
    supervisor = Supervisor()
    store = state_store_of({"task_state_store": supervisor})
    name, *arguments = call
    with pytest.raises(TimeLimit):
        getattr(store, name)(*arguments)
    assert supervisor.unfetched == 0
    with pytest.raises(TimeLimit):
        signal.raise_signal(signal.SIGALRM)  # the handler is in its place again


def test_outside_of_the_main_thread_the_store_works_without_alarms(alarm: None) -> None:
    memory = MemoryStore()
    store = state_store_of({"task_state_store": memory})
    assert store is not None
    thread = threading.Thread(target=store.set, args=("a", 1))
    thread.start()
    thread.join()
    assert memory.values == {"a": "1"}


def test_an_airflow_without_a_task_state_store_gives_none() -> None:
    assert state_store_of({}) is None
