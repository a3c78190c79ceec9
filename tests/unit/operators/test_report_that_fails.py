"""A report whose store can't be opened, or fails in a run that ends early: it still cancels, and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.deferring import through_the_triggerer
from support.operating import Play, Seed, states

from airflow_provider_smscancel.campaigns import cancel_job, journal
from airflow_provider_smscancel.common import report_folder
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a store that refuses half a second, not a minute."""
    monkeypatch.setattr(journal, "RETRY_AFTER_S", (0.05, 0.05))
    monkeypatch.setattr(cancel_job, "LAST_PART_S", 0.5)


class NoRole:
    """A store whose credentials can't be had now."""

    def __init__(self, _: str) -> None: ...

    @property
    def fs(self) -> None:
        raise ConnectionError("the secret address of the service that gives out roles")


@pytest.mark.parametrize("how", ["on the worker", "in the triggerer", "by the configuration"])
def test_a_store_that_can_not_be_opened_now_does_not_keep_a_campaign_from_being_stopped(
    how: str,
    tmp_path: Path,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids, late = seed(3), seed(1, state="sent")
    monkeypatch.setattr(report_folder, "ObjectStoragePath", NoRole)
    deferred = how == "in the triggerer"
    execute = through_the_triggerer if deferred else CancelMessageOperator.execute
    path: str | None = str(tmp_path)
    if how == "by the configuration":
        monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", str(tmp_path))
        path = None
    played = play(message_ids=[*ids, *late], report_path=path, deferrable=deferred, execute=execute)
    assert "StoreNotOpened; 4 lines are not in the report" in played.failed_retryably()
    assert "can not be opened now (ConnectionError)" in caplog.text
    assert "secret" not in caplog.text
    assert played.outcomes == {"cancelled": 3, "too_late": 1}
    assert states(sandbox, ids) == {"cancelled": 3}
    assert deferred or late[0] in played.told.said("error")  # the triggerer has a log of its own


def test_a_run_that_was_stopped_also_says_that_its_report_is_not_complete(
    tmp_path: Path, seed: Seed, play: Play
) -> None:
    (tmp_path / "taken").write_text("a file, where the folder should be")

    def stopped(operator: CancelMessageOperator, context: dict[str, object]) -> object:
        operator.on_kill()
        return operator.execute(context)  # type: ignore[arg-type]

    text = play(message_ids=seed(3), report_path=str(tmp_path / "taken"), execute=stopped).failed_retryably()
    assert "stopped before every message was asked" in text
    assert "The report is not complete: " in text
    assert "3 lines are not in the report" in text


def test_a_refused_account_also_says_that_the_report_is_not_complete(
    tmp_path: Path, seed: Seed, play: Play
) -> None:
    (tmp_path / "taken").write_text("a file, where the folder should be")
    played = play(sms_conn_id="sms_wrong_token", message_ids=seed(3), report_path=str(tmp_path / "taken"))
    assert "The report is not complete: " in played.failed_for_good()
