"""The report of each message, and what a retry takes up from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from support.operating import FakeTask, Play, Seed, final_outcomes, read_report, states

from airflow_provider_smscancel.campaigns import cancel_job, journal
from airflow_provider_smscancel.campaigns.journal import Journal, owner_of
from airflow_provider_smscancel.common.report_folder import default_report_path
from airflow_provider_smscancel.sandbox import ESENDEX
from airflow_provider_smscancel.sandbox.server import SandboxServer

UNKNOWN = "0123456789abcdef0123456789abcdef"
OWNER = owner_of(dag_id="kill_switch", task_id="cancel", run_id="run_1", map_index=-1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "spring"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a store that refuses a second, not a minute."""
    monkeypatch.setattr(journal, "RETRY_AFTER_S", (0.05, 0.05, 0.05))
    monkeypatch.setattr(cancel_job, "LAST_PART_S", 1.0)


# -- what is written ----------------------------------------------------------------------------------------------------


def test_the_report_has_a_line_for_every_message(folder: Path, seed: Seed, play: Play) -> None:
    good, late = seed(3), seed(1, state="sent")
    played = play(message_ids=[*good, *late, UNKNOWN, "not an id"], report_path=str(folder))
    assert final_outcomes(folder) == {
        **dict.fromkeys(good, "cancelled"),
        late[0]: "too_late",
        UNKNOWN: "not_found",
        "item 6": "rejected",
    }
    for row in read_report(folder):
        assert set(row) == {
            "message_id",
            "outcome",
            "gateway_status",
            "detail",
            "attempts",
            "try",
            "finished_at",
        }
        assert row["try"] == 1
    assert played.summary["report"] == str(folder)
    assert json.loads((folder / f"summary-{OWNER}.json").read_text()) == played.summary
    run = json.loads((folder / f"run-{OWNER}.json").read_text())
    assert {run["gateway"], run["id_type"]} == {"clickatell", "message_id"}
    assert {path.name.split("-")[1].removesuffix(".json") for path in folder.iterdir()} == {OWNER}


def test_without_a_report_a_warning_comes_before_the_first_request_and_the_ids_at_the_end(
    seed: Seed, play: Play
) -> None:
    good, late = seed(2), seed(2, state="sent")
    played = play(message_ids=[*good, *late])
    warning = next(line for line in played.told if "No record of single messages" in line[1])
    assert (warning[0], warning[2]) == ("warning", 0)
    for name in ("report_path", "report_folder"):
        assert name in warning[1]
    logged = played.told.said("error")
    assert all(message_id in logged for message_id in late)
    assert not any(message_id in logged for message_id in good)


def test_with_a_report_neither_is_logged(folder: Path, seed: Seed, play: Play) -> None:
    (late,) = seed(1, state="sent")
    played = play(message_ids=[late], report_path=str(folder))
    assert "No record" not in played.told.said("warning")
    assert late not in str(played.told)


def test_a_dry_run_neither_reads_nor_writes_the_report(folder: Path, seed: Seed, play: Play) -> None:
    ids = seed(2)
    play(message_ids=ids, report_path=str(folder), dry_run=True)
    assert not folder.exists()
    play(message_ids=ids, report_path=str(folder))
    before = sorted(path.name for path in folder.iterdir())
    assert play(message_ids=ids, report_path=str(folder), dry_run=True).summary["states"]["cancelled"] == 2
    assert sorted(path.name for path in folder.iterdir()) == before


# -- where it is written ------------------------------------------------------------------------------------------------


@pytest.fixture
def report_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", f"{tmp_path / 'all'}/")
    return tmp_path / "all"


def test_the_report_folder_of_the_configuration_gives_each_task_a_folder_of_its_own(
    report_folder: Path, seed: Seed, play: Play
) -> None:
    ids = seed(1)
    played = play(FakeTask(run_id="manual__2030-01-01T00:00:00+00:00"), message_ids=ids)
    expected = report_folder / "kill_switch" / "manual__2030-01-01T00:00:00+00:00" / "cancel"
    assert played.summary["report"] == str(expected)
    assert final_outcomes(expected) == {ids[0]: "cancelled"}
    assert "No record" not in played.told.said("warning")


def test_report_path_beats_the_configuration(
    report_folder: Path, folder: Path, seed: Seed, play: Play
) -> None:
    assert play(message_ids=seed(1), report_path=str(folder)).summary["report"] == str(folder)
    assert not report_folder.exists()


def test_a_blank_report_path_counts_as_none(report_folder: Path, seed: Seed, play: Play) -> None:
    assert play(message_ids=seed(1), report_path="  ").summary["report"].startswith(str(report_folder))


@pytest.mark.parametrize("run_id", ["..", "../../elsewhere", "/etc", "a/../../b", "."])
def test_a_run_id_does_not_lead_out_of_the_report_folder(
    run_id: str, report_folder: Path, seed: Seed, play: Play
) -> None:
    report = play(FakeTask(run_id=run_id), message_ids=seed(1)).summary["report"]
    assert Path(report).resolve().parent.parent == report_folder / "kill_switch"


def test_a_wrong_report_folder_in_the_configuration_is_named(
    monkeypatch: pytest.MonkeyPatch, seed: Seed, play: Play
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", "reports")
    assert "[smscancel] report_folder" in play(message_ids=seed(1)).refused_before_anything()


# -- what a retry takes up ----------------------------------------------------------------------------------------------


def test_a_retry_asks_only_for_what_is_open(
    folder: Path, sandbox: SandboxServer, in_doubt: Seed, seed: Seed, play: Play
) -> None:
    good, late, dead, doubtful = seed(5), seed(2, state="sent"), seed(1, state="failed"), in_doubt(2)
    ids = [*good, *late, *dead, *doubtful]
    first = play(message_ids=ids, report_path=str(folder))
    first.failed_retryably()
    assert first.outcomes == {"cancelled": 5, "too_late": 2, "will_not_send": 1, "unconfirmed": 2}

    for message_id in doubtful:  # now they can be stopped
        message = sandbox.state.find("clickatell", message_id)
        assert message is not None
        message.sent_at, message.code = None, None
    second = play(FakeTask(try_number=2), message_ids=ids, report_path=str(folder))
    assert second.requests == second.summary["requests"] == 2
    assert second.outcomes == {"cancelled": 7, "too_late": 2, "will_not_send": 1}
    assert second.summary["total"] == 10
    assert sorted(row["message_id"] for row in second.not_stopped) == sorted(late)
    second.failed_for_good()
    assert {row["message_id"] for row in read_report(folder) if row["try"] == 2} == set(doubtful)
    assert final_outcomes(folder) == {
        **dict.fromkeys([*good, *doubtful], "cancelled"),
        **dict.fromkeys(late, "too_late"),
        dead[0]: "will_not_send",
    }


def test_a_retry_with_nothing_open_asks_for_nothing_and_succeeds(
    folder: Path, seed: Seed, play: Play
) -> None:
    ids = seed(3)
    play(message_ids=ids, report_path=str(folder))
    again = play(FakeTask(try_number=2), message_ids=[each.upper() for each in ids], report_path=str(folder))
    assert again.error is None
    assert again.requests == 0
    assert again.outcomes == {"cancelled": 3}
    assert again.summary["total"] == 3


def test_a_retry_takes_up_ids_that_are_new_in_the_list(folder: Path, seed: Seed, play: Play) -> None:
    ids, more = seed(3), seed(2)
    play(message_ids=ids, report_path=str(folder))
    again = play(FakeTask(try_number=2), message_ids=[*ids, *more], report_path=str(folder))
    assert again.requests == 2
    assert again.outcomes == {"cancelled": 5}


def test_unknown_and_rejected_messages_are_asked_again_by_a_later_try(
    folder: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(2)
    first = play(message_ids=[*ids, UNKNOWN, "not an id"], report_path=str(folder))
    first.failed_for_good()
    answer = requests.post(
        f"{sandbox.url}/_sandbox/messages", json=[{"gateway": "clickatell", "id": UNKNOWN}], timeout=30
    )
    assert answer.status_code == 200
    second = play(FakeTask(try_number=2), message_ids=[*ids, UNKNOWN], report_path=str(folder))
    assert second.error is None
    assert second.requests == 1
    assert second.outcomes == {"cancelled": 3}
    assert final_outcomes(folder)[UNKNOWN] == "cancelled"


def test_the_word_cancelled_is_ours_in_a_later_try(folder: Path, seed: Seed, play: Play) -> None:
    (message_id,) = seed(1, gateway=ESENDEX, state="cancelled")
    first = play(sms_conn_id="sms_esendex", message_ids=[message_id])
    assert first.outcomes == {"already_cancelled": 1}
    later = play(
        FakeTask(try_number=2), sms_conn_id="sms_esendex", message_ids=[message_id], report_path=str(folder)
    )
    assert later.outcomes == {"cancelled": 1}


def test_the_word_cancelled_is_ours_where_an_earlier_run_has_left_a_report(
    folder: Path, seed: Seed, play: Play
) -> None:
    ids = seed(1, gateway=ESENDEX)
    play(sms_conn_id="sms_esendex", message_ids=ids, report_path=str(folder))
    gone = seed(1, gateway=ESENDEX, state="cancelled")
    again = play(sms_conn_id="sms_esendex", message_ids=[*ids, *gone], report_path=str(folder))
    assert again.outcomes == {"cancelled": 2}


@pytest.mark.parametrize(
    ("ti", "parameters"),
    [
        pytest.param(FakeTask(try_number=2, map_index=3), {}, id="another map_index"),
        pytest.param(FakeTask(try_number=2, run_id="run_2"), {}, id="another run"),
        pytest.param(FakeTask(try_number=2, task_id="other"), {}, id="another task"),
        pytest.param(FakeTask(try_number=2), {"sms_conn_id": "sms_elsewhere"}, id="another host"),
    ],
)
def test_what_is_about_something_else_is_left_alone(
    ti: FakeTask,
    parameters: dict[str, Any],
    folder: Path,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    seed: Seed,
    play: Play,
) -> None:
    elsewhere = {"conn_type": "clickatell", "host": sandbox.url.replace("127.0.0.1", "localhost")}
    monkeypatch.setenv("AIRFLOW_CONN_SMS_ELSEWHERE", json.dumps({**elsewhere, "password": "sandbox-token"}))
    ids = seed(3)
    play(message_ids=ids, report_path=str(folder))
    before = {path.name: path.read_bytes() for path in folder.glob("part-*")}
    other = play(ti, message_ids=ids, report_path=str(folder), **parameters)
    assert other.error is None
    assert other.requests == 3
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_retry_survives_a_torn_part(folder: Path, seed: Seed, play: Play) -> None:
    ids = seed(3)
    play(message_ids=ids, report_path=str(folder))
    (part,) = folder.glob("part-*")
    part.write_bytes(part.read_bytes()[:-30])
    again = play(FakeTask(try_number=2), message_ids=ids, report_path=str(folder))
    assert again.error is None
    assert again.requests == 1
    assert again.outcomes == {"cancelled": 3}


# -- a store that refuses -----------------------------------------------------------------------------------------------


def test_a_folder_that_can_not_be_made_does_not_stop_the_run_but_fails_it_at_the_end(
    tmp_path: Path, impatient: None, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    (tmp_path / "taken").write_text("a file, where the folder should be")
    ids, late = seed(3), seed(1, state="sent")
    played = play(message_ids=[*ids, *late], report_path=str(tmp_path / "taken" / "reports"))
    text = played.failed_retryably()
    assert states(sandbox, ids) == {"cancelled": 3}
    assert played.outcomes == {"cancelled": 3, "too_late": 1}
    assert "4 lines are not in the report" in played.summary["report_error"]
    assert played.summary["report_error"] in text
    assert late[0] in played.told.said("error")
    assert ids[0] not in played.told.said("error")


def refusing(times: int, names: str) -> Callable[[Journal, str, str], None]:
    """Make a store that refuses the first few writes of files whose names begin so."""
    write = Journal._write
    left = times

    def write_or_refuse(self: Journal, name: str, text: str) -> None:
        nonlocal left
        if name.startswith(names) and left > 0:
            left -= 1
            raise OSError(28, "No space left on device")
        write(self, name, text)

    return write_or_refuse


def test_a_store_that_refuses_everything_fails_a_campaign_that_was_stopped(
    folder: Path,
    impatient: None,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Journal, "_write", refusing(1_000_000, "part"))
    ids = seed(3)
    played = play(message_ids=ids, report_path=str(folder))
    assert "No space left on device" in played.failed_retryably()
    assert "No space left on device" in played.summary["report_error"]
    assert states(sandbox, ids) == {"cancelled": 3}


def test_what_could_not_be_written_is_written_once_the_store_takes_it(
    folder: Path, impatient: None, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "_write", refusing(2, "part"))
    ids = seed(3)
    played = play(message_ids=ids, report_path=str(folder))
    assert played.error is None
    assert played.summary["report_error"] is None
    assert final_outcomes(folder) == dict.fromkeys(ids, "cancelled")


def test_a_summary_that_could_not_be_written_fails_the_task(
    folder: Path, impatient: None, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "_write", refusing(1_000_000, "summary"))
    played = play(message_ids=seed(1), report_path=str(folder))
    played.failed_retryably()
    assert played.summary["report_error"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/reports/../../etc", "'..'"),
        ("s3://bucket/folder?token=secret-word", "question mark"),
        ("/reports/x\n[INFO] forged", "can not be seen (\\n), at place 11"),
        ("/reports/\u202egnp", "can not be seen"),
        ("file:///reports/x::memory://y", "'::'"),
    ],
)
def test_a_report_path_that_leads_elsewhere_than_it_seems_is_refused(
    seed: Seed, play: Play, path: str, named: str
) -> None:
    said = play(message_ids=seed(1), report_path=path).refused_before_anything()
    assert named in said
    assert said.isprintable()
    assert "secret-word" not in said


def test_a_run_id_with_a_chain_of_stores_in_it_keeps_its_own_folder(report_folder: Path) -> None:
    path = default_report_path("dag", "run::memory:", "task")
    assert path == f"{report_folder}/dag/run__memory:/task"


def test_a_connection_whose_id_breaks_a_line_is_refused_in_one_line(seed: Seed, play: Play) -> None:
    said = play(message_ids=seed(1), sms_conn_id="x\n[INFO] forged").refused_before_anything()
    assert said.isprintable()
