"""A store that fails does not keep a deferred campaign from being stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.deferring import again, deferral, first_event, through_the_triggerer
from support.operating import FakeTask, Play, Row, Seed, final_outcomes, states

from airflow_provider_smscancel.campaigns import cancel_job, folders, kept_list, tenure
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer
from torture.stores import Call, Fault, Store, below_object_storage

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a store tenths of a second."""
    monkeypatch.setattr(kept_list, "WITHIN_S", 1.0)
    monkeypatch.setattr(tenure, "WITHIN_S", 0.1)
    monkeypatch.setattr(cancel_job, "LAST_PART_S", 0.5)
    monkeypatch.setattr(folders, "READ_AGAIN_AFTER_S", (0.01,))


def hangs(kind: str, name: str) -> Callable[[Call], Fault | None]:
    return lambda call: Fault.HANGS if call.kind == kind and call.name.startswith(name) else None


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_campaign_begins_though_the_store_never_says_whether_it_has_begun_before(
    kind: str, tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids, folder, store = seed(3), tmp_path / "report", Store(hangs(kind, "begun"))
    with below_object_storage(folder, store):
        played = play(
            message_ids=ids, report_path=str(folder), deferrable=True, execute=through_the_triggerer
        )
        store.let_go()
    assert store.faults
    assert played.error is None
    assert states(sandbox, ids) == {"cancelled": 3}
    assert final_outcomes(folder) == dict.fromkeys(ids, "cancelled")


def test_a_list_that_the_store_never_takes_is_stopped_by_the_worker(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids, folder, store = seed(501), tmp_path / "report", Store(hangs("write", "input"))
    with below_object_storage(folder, store):
        played = play(message_ids=ids, report_path=str(folder), deferrable=True)
        store.let_go()
    assert "can't be written to the report (TimeoutError)" in played.told.said("warning")
    assert "this runs on the worker" in played.told.said("warning")
    assert played.error is None
    assert states(sandbox, ids) == {"cancelled": 501}


def test_a_list_that_the_store_never_gives_back_fails_the_task_retryably_in_place_of_waiting_for_ever(
    tmp_path: Path, seed: Seed, play: Play
) -> None:
    folder, store = tmp_path / "report", Store(hangs("read", "input"))
    with below_object_storage(folder, store):
        played = play(
            message_ids=seed(2), report_path=str(folder), deferrable=True, execute=through_the_triggerer
        )
        store.let_go()
    assert "can't be read: TimeoutError" in played.failed_retryably()


def test_a_list_that_the_store_refuses_once_is_read_the_next_time(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    def refuses_once(call: Call) -> Fault | None:
        return Fault.REFUSED if call.kind == "read" and call.number == 1 else None

    ids, folder = seed(3), tmp_path / "report"
    with below_object_storage(folder, Store(refuses_once)):
        played = play(
            message_ids=ids, report_path=str(folder), deferrable=True, execute=through_the_triggerer
        )
    assert played.error is None
    assert states(sandbox, ids) == {"cancelled": 3}


def test_a_list_that_is_written_later_under_the_same_try_is_not_taken_for_an_earlier_one(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    """A task may be handed over twice: a worker was given up, and is not dead."""
    ids, others = seed(3), seed(2)

    def execute(operator: CancelMessageOperator, context: Row) -> Any:
        trigger = deferral(operator, context).trigger
        later = CancelMessageOperator(
            task_id="cancel",
            sms_conn_id="sms",
            message_ids=others,
            report_path=str(tmp_path),
            deferrable=True,
        )
        deferral(later, {"ti": FakeTask()})
        return operator.execute_complete(context, asyncio.run(first_event(again(trigger))))

    played = play(message_ids=ids, report_path=str(tmp_path), deferrable=True, execute=execute)
    assert played.outcomes == {"cancelled": 3}
    assert states(sandbox, others) == {"scheduled": 2}
