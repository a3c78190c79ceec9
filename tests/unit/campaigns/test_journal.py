"""The report: what a try writes, and what the next one takes over."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
from support.scripted import campaign_of, esendex, hex_id, rest
from support.waiting import wait_for

from airflow_provider_smscancel.campaigns import earlier_parts, folders
from airflow_provider_smscancel.campaigns import journal as journal_module
from airflow_provider_smscancel.campaigns.earlier import CarriedOver
from airflow_provider_smscancel.campaigns.earlier_parts import Identity
from airflow_provider_smscancel.campaigns.journal import Journal, owner_of, report_line
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REST = Identity("clickatell", "https://api.clickatell.com", "message_id")
OWNER = "0123abcd"
LONG_S = 20.0
"""Longer than any of this takes: where it is reached, something hangs."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "PART_AFTER_S", 0.02)
    monkeypatch.setattr(journal_module, "RETRY_AFTER_S", (0.01, 0.02, 0.04, 0.08, 0.16))
    monkeypatch.setattr(folders, "READ_AGAIN_AFTER_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(earlier_parts, "WRITTEN_WITHIN_S", 0.01)


def journal_in(
    folder: Any,
    *,
    owner: str = OWNER,
    try_number: int = 1,
    identity: Identity = REST,
    total: int = 10,
    clock: Callable[[], float] = time.monotonic,
) -> Journal:
    return Journal(folder, owner=owner, try_number=try_number, identity=identity, total=total, clock=clock)


def result(
    number: int, outcome: Outcome = Outcome.CANCELLED, code: str | None = "006", *, at: datetime = NOW
) -> CancelResult:
    return CancelResult(hex_id(number), outcome, code, "one line", 1, at)


def campaign(count: int = 10) -> Campaign:
    return campaign_of(rest(), count)


def write(folder: Any, results: list[CancelResult], **kind: Any) -> Journal:
    """One whole try."""
    journal = journal_in(folder, **kind)
    journal.carried_over(campaign())
    journal.start("fingerprint")
    journal.add(results)
    journal.close({"total": len(results)}, within_s=LONG_S)
    return journal


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in sorted(folder.glob("part-*")) for line in path.read_text().splitlines()
    ]


def take_over(folder: Any, **kind: Any) -> Mapping[int, CarriedOver]:
    return journal_in(folder, **{"try_number": 2, **kind}).carried_over(campaign())


# -- what is written ---------------------------------------------------------------------------------------


def test_a_line_says_everything_about_a_message(tmp_path: Path) -> None:
    write(
        tmp_path, [CancelResult("Abc-1", Outcome.TOO_LATE, "004", "status 004: late", 3, NOW)], try_number=2
    )
    assert lines_in(tmp_path) == [
        {
            "message_id": "Abc-1",
            "outcome": "too_late",
            "gateway_status": "004",
            "detail": "status 004: late",
            "attempts": 3,
            "try": 2,
            "finished_at": "2026-11-23T12:00:00+00:00",
        }
    ]


@pytest.mark.parametrize("detail", ["a\nb", "\u2028", "\ud800", '"', "ü"])
def test_no_detail_breaks_a_line(detail: str) -> None:
    line = report_line(CancelResult("id", Outcome.CANCELLED, None, detail, 1, NOW), 1)
    assert len(line.splitlines()) == 1
    assert json.loads(line)["detail"] == detail
    line.encode()


def test_the_folder_holds_parts_what_they_are_about_and_a_summary(tmp_path: Path) -> None:
    folder = tmp_path / "dag" / "run"  # made when missing
    journal = write(folder, [result(1)], try_number=3)
    assert journal.error is None
    part, run, summary = sorted(path.name for path in folder.iterdir())
    assert part.startswith(f"part-{OWNER}-3-")
    assert part.removeprefix(f"part-{OWNER}-3-")[4:] == "-000001.jsonl"
    assert run == f"run-{OWNER}.json"
    assert summary == f"summary-{OWNER}.json"
    about = json.loads((folder / run).read_text())
    assert about["gateway"] == "clickatell"
    assert about["host"] == "https://api.clickatell.com"
    assert about["id_type"] == "message_id"
    assert about["fingerprint"] == "fingerprint"
    assert json.loads((folder / summary).read_text()) == {"total": 1, "report_error": None}


@pytest.mark.parametrize(("total", "at"), [(10, 100), (10_000, 100), (30_000, 300)])
def test_a_part_is_cut_at_one_percent_of_the_campaign_but_not_below_a_hundred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, at: int
) -> None:
    monkeypatch.setattr(journal_module, "PART_AFTER_S", 3600.0)
    folder = Watched(tmp_path)
    journal = journal_in(folder, total=total)
    journal.start("f")
    journal.add([result(number) for number in range(at - 1)])
    journal.add([result(at)])
    assert folder.wait_for("part-")
    journal.add([result(at + 1)])
    journal.close({}, within_s=LONG_S)
    assert [len(path.read_bytes().splitlines()) for path in sorted(tmp_path.glob("part-*"))] == [at, 1]


def test_a_part_is_written_after_a_while_however_few_lines_it_has(tmp_path: Path) -> None:
    folder = Watched(tmp_path)
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(1)])
    assert folder.wait_for("part-")
    assert len(lines_in(tmp_path)) == 1
    journal.close({}, within_s=LONG_S)


def test_nothing_settled_writes_no_part(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.start("f")
    journal.close({}, within_s=LONG_S)
    assert journal.error is None
    assert list(tmp_path.glob("part-*")) == []


def test_an_owner_names_one_task_of_one_run() -> None:
    task = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": -1}
    assert owner_of(**task) == "ea6759e2" == owner_of(**task)  # type: ignore[arg-type]
    others = [{"dag_id": "x"}, {"task_id": "x"}, {"run_id": "x"}, {"map_index": 0}]
    assert len({owner_of(**(task | other)) for other in others} | {owner_of(**task)}) == 5  # type: ignore[arg-type]
    assert owner_of(dag_id="a", task_id="b", run_id="", map_index=1) != owner_of(
        dag_id="ab", task_id="", run_id="", map_index=1
    )


# -- what the next try takes over --------------------------------------------------------------------------


def test_what_is_settled_for_good_is_taken_over_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, [result(number, outcome) for number, outcome in enumerate(Outcome, start=1)])
    assert {index: found.outcome.value for index, found in take_over(tmp_path).items()} == {
        0: "cancelled",
        1: "already_cancelled",
        2: "too_late",
        3: "will_not_send",
    }


def test_the_gateways_code_is_taken_over(tmp_path: Path) -> None:
    write(tmp_path, [result(1, Outcome.TOO_LATE, "004"), result(2, Outcome.CANCELLED, None)])
    assert take_over(tmp_path) == {
        0: CarriedOver(Outcome.TOO_LATE, "004"),
        1: CarriedOver(Outcome.CANCELLED, None),
    }


def test_an_id_is_recognised_in_any_spelling_and_strange_ids_are_passed_over(tmp_path: Path) -> None:
    spelled = CancelResult(hex_id(10).upper(), Outcome.CANCELLED, "006", "", 1, NOW)
    foreign = CancelResult("f" * 32, Outcome.CANCELLED, "006", "", 1, NOW)
    rejected = CancelResult("line 17", Outcome.REJECTED, None, "", 0, NOW)
    write(tmp_path, [spelled, foreign, rejected])
    assert set(take_over(tmp_path)) == {9}


def test_a_folder_that_is_empty_or_missing_carries_nothing_over(tmp_path: Path) -> None:
    assert take_over(tmp_path) == {}
    assert take_over(tmp_path / "missing") == {}


def test_a_torn_last_line_costs_its_message_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, [result(1), result(2), result(3)])
    (part,) = tmp_path.glob("part-*")
    part.write_bytes(part.read_bytes()[:-40])
    assert set(take_over(tmp_path)) == {0, 1}
    assert "1 lines that can't be read" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"x" * 200_000,
        b'{"message_id": "%s", "outcome": "stopped", "gateway_status": null, "try": 1, "finished_at": ""}',
        b'{"message_id": "%s", "outcome": "cancelled", "gateway_status": null, "try": 1e999, "finished_at": ""}',
        b'{"message_id": "%s", "outcome": "cancelled", "gateway_status": null, "try": "x", "finished_at": ""}',
        b'{"message_id": "%s", "outcome": "cancelled", "gateway_status": null, "try": 1}',
    ],
)
def test_a_line_of_noise_is_passed_over_and_the_rest_of_the_part_is_read(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, [result(1)])
    (part,) = tmp_path.glob("part-*")
    part.write_bytes(line.replace(b"%s", hex_id(2).encode()) + b"\n" + part.read_bytes())
    assert set(take_over(tmp_path)) == {0}


def test_of_several_lines_about_a_message_the_last_by_try_and_time_counts(tmp_path: Path) -> None:
    later, much_later = NOW + timedelta(microseconds=1), NOW + timedelta(hours=2)
    write(
        tmp_path,
        [
            result(1, Outcome.TOO_LATE, at=much_later),
            result(2, Outcome.TOO_LATE, at=later),
            result(2, Outcome.CANCELLED, at=NOW),
            result(3, Outcome.UNCONFIRMED, at=later),
            result(3, Outcome.CANCELLED, at=NOW),
        ],
    )
    write(tmp_path, [result(1, Outcome.CANCELLED, at=NOW), result(4, Outcome.CANCELLED)], try_number=2)
    found = take_over(tmp_path, try_number=3)
    assert {index: carried.outcome.value for index, carried in found.items()} == {
        0: "cancelled",  # the later try, though the earlier clock
        1: "too_late",
        3: "cancelled",
    }


def test_the_tenth_try_is_later_than_the_ninth(tmp_path: Path) -> None:
    write(tmp_path, [result(1, Outcome.TOO_LATE)], try_number=9)
    write(tmp_path, [result(1, Outcome.CANCELLED)], try_number=10)
    assert take_over(tmp_path, try_number=11)[0].outcome is Outcome.CANCELLED


def test_parts_of_other_owners_are_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, [result(1)], owner="ffffffff")
    write(tmp_path, [result(2)])
    assert set(take_over(tmp_path)) == {1}
    assert set(take_over(tmp_path, owner="ffffffff")) == {0}
    assert take_over(tmp_path, owner="eeeeeeee") == {}


def test_files_with_other_names_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, [result(1)])
    (part,) = tmp_path.glob("part-*")
    for name in (f"{part.name}.tmp", f"copy of {part.name}", f"states-{OWNER}.jsonl", f"part-{OWNER}.jsonl"):
        (tmp_path / name).write_text(report_line(result(2), 9) + "\n")
    assert set(take_over(tmp_path)) == {0}


OTHERS = [
    Identity("esendex", "https://api.clickatell.com", "message_id"),
    Identity("clickatell", "http://127.0.0.1:8099", "message_id"),
    Identity("clickatell", "https://api.clickatell.com", "client_message_id"),
]


@pytest.mark.parametrize("other", OTHERS)
def test_parts_about_another_gateway_host_or_kind_of_id_are_never_taken_for_ours(
    tmp_path: Path, other: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [result(1)], identity=other)
    assert take_over(tmp_path) == {}
    assert "another gateway, host or id_type" in caplog.text


@pytest.mark.parametrize("other", OTHERS)
def test_parts_that_were_not_ours_in_one_try_are_not_ours_in_the_next(
    tmp_path: Path, other: Identity
) -> None:
    write(tmp_path, [result(1)], identity=other)
    write(tmp_path, [result(2)], try_number=2)
    assert set(take_over(tmp_path, try_number=3)) == {1}
    write(tmp_path, [result(3)], try_number=3)
    assert set(take_over(tmp_path, try_number=4)) == {1, 2}


def test_going_back_to_the_first_connection_takes_nothing_from_either(tmp_path: Path) -> None:
    write(tmp_path, [result(1)], identity=REST)
    write(tmp_path, [result(2)], identity=OTHERS[1], try_number=2)
    assert take_over(tmp_path, try_number=3) == {}
    write(tmp_path, [result(3)], try_number=3)
    assert set(take_over(tmp_path, try_number=4)) == {2}


@pytest.mark.parametrize("content", [None, b"", b'{"gateway": "clickat', b"[]", b"\xff"])
def test_parts_that_do_not_say_what_they_are_about_are_not_ours(
    tmp_path: Path, content: bytes | None
) -> None:
    write(tmp_path, [result(1)])
    run = tmp_path / f"run-{OWNER}.json"
    run.unlink() if content is None else run.write_bytes(content)
    assert take_over(tmp_path) == {}


def test_what_the_parts_are_about_is_not_written_again_when_nothing_changed(tmp_path: Path) -> None:
    write(tmp_path, [result(1)])
    folder = Watched(tmp_path)
    write(folder, [result(2)], try_number=2)
    assert [name for name in folder.written if name.startswith("run-")] == []


def test_each_process_writes_parts_of_its_own(tmp_path: Path) -> None:
    for number in range(1, 6):
        write(tmp_path, [result(number)])  # the same try, begun anew each time
    assert set(take_over(tmp_path)) == {0, 1, 2, 3, 4}


def test_a_try_that_was_given_up_and_writes_on_is_not_believed_when_it_was_about_another_host(
    tmp_path: Path,
) -> None:
    given_up = journal_in(tmp_path, identity=OTHERS[1])
    given_up.carried_over(campaign())
    given_up.start("fingerprint")
    wait_for(lambda: list(tmp_path.glob("run-*")), "what its parts will be about")
    write(tmp_path, [result(1)], try_number=2)
    given_up.add([result(2)])
    given_up.close(None, within_s=LONG_S)
    assert len(list(tmp_path.glob("part-*"))) == 2
    assert set(take_over(tmp_path, try_number=3)) == {0}


@pytest.mark.parametrize("members", [{"not_ours": None}, {"not_ours": [7]}, {"from_try": "x"}])
def test_a_run_file_that_does_not_say_clearly_which_parts_are_ours_makes_none_ours(
    tmp_path: Path, members: dict[str, Any]
) -> None:
    write(tmp_path, [result(1)])
    run = tmp_path / f"run-{OWNER}.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | members))
    assert take_over(tmp_path) == {}


def test_a_run_file_that_is_just_being_written_does_not_disown_the_parts(tmp_path: Path) -> None:
    write(tmp_path, [result(1)])
    run = tmp_path / f"run-{OWNER}.json"
    whole = run.read_bytes()
    run.write_bytes(b"")

    def written_meanwhile(name: str, times: int) -> bool:
        if name == "read run" and times == 2:
            run.write_bytes(whole)
        return False

    assert set(take_over(Watched(tmp_path, written_meanwhile))) == {0}


def test_in_a_run_that_was_made_anew_and_counts_its_tries_from_1_the_last_line_is_the_new_one(
    tmp_path: Path,
) -> None:
    write(tmp_path, [result(1, Outcome.UNCONFIRMED, None, at=NOW + timedelta(hours=1))], try_number=3)
    write(tmp_path, [result(1)], try_number=1)
    assert (
        max(lines_in(tmp_path), key=lambda line: (line["try"], line["finished_at"]))["outcome"] == "cancelled"
    )
    assert take_over(tmp_path) == {0: CarriedOver(Outcome.CANCELLED, "006")}


def test_guids_are_recognised_in_any_spelling(tmp_path: Path) -> None:
    identity = Identity("esendex", "https://messaging.esendex.us", "message_id")
    messages = campaign_of(esendex(), 3)
    spelled = CancelResult(messages.ids[1].upper(), Outcome.CANCELLED, "true", "", 1, NOW)
    write(tmp_path, [spelled], identity=identity)
    journal = journal_in(tmp_path, identity=identity, try_number=2)
    assert set(journal.carried_over(messages)) == {1}


# -- a store that refuses ----------------------------------------------------------------------------------


class Watched:
    """A folder that tells what is written and can be made to fail.

    :param fails: says of a name (``listing`` for the list of names) and how often it was tried whether that fails.
    """

    def __init__(self, path: Path, fails: Callable[[str, int], bool] = lambda _name, _times: False) -> None:
        self.path = path
        self.fails = fails
        self.root = self
        self.tried: list[str] = []
        self.written: list[str] = []
        self.changed = threading.Condition()

    @property
    def name(self) -> str:
        return self.path.name

    def __truediv__(self, name: str) -> Watched:
        child = Watched(self.path / name, self.fails)
        child.root = self.root
        return child

    def iterdir(self) -> Iterator[Watched]:
        self.check("listing")
        return iter([self / path.name for path in self.path.iterdir()])

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        self.check("mkdir")
        self.path.mkdir(parents=parents, exist_ok=exist_ok)

    def open(self, mode: str) -> IO[Any]:
        if "r" in mode:
            self.check(f"read {self.name}")
            return self.path.open(mode)
        self.check(self.name)
        folder = self

        class Buffer(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    folder.path.write_bytes(self.getvalue())
                    with folder.root.changed:
                        folder.root.written.append(folder.name)
                        folder.root.changed.notify_all()
                super().close()

        return Buffer()

    def check(self, name: str) -> None:
        kind = name.partition("-")[0]
        with self.root.changed:
            self.root.tried.append(kind)
            times = self.root.tried.count(kind)
            self.root.changed.notify_all()
        if self.fails(kind, times):
            raise OSError(28, "No space left on device", "/secret/path")

    def wait_for(self, prefix: str) -> bool:
        def is_there() -> bool:
            return any(name.startswith(prefix) for name in self.root.written)

        with self.root.changed:
            return self.root.changed.wait_for(is_there, LONG_S)

    def wait_for_tries(self, kind: str, times: int) -> bool:
        with self.root.changed:
            return self.root.changed.wait_for(lambda: self.root.tried.count(kind) >= times, LONG_S)


@pytest.mark.parametrize("kind", ["mkdir", "run", "part"])
def test_a_store_that_refuses_at_first_gets_everything_in_the_end(tmp_path: Path, kind: str) -> None:
    folder = Watched(tmp_path / "new", lambda name, times: name == kind and times <= 2)
    journal = write(folder, [result(1)])
    assert journal.error is None
    assert set(take_over(tmp_path / "new")) == {0}


def test_a_store_that_refuses_for_a_moment_does_not_disown_what_was_written_before(tmp_path: Path) -> None:
    write(tmp_path, [result(1)])
    folder = Watched(tmp_path, lambda name, times: name == "read run" and times == 1)
    write(folder, [result(2)], try_number=2)
    assert set(take_over(tmp_path, try_number=3)) == {0, 1}


def test_a_store_that_does_not_answer_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [result(1)])
    answers = threading.Event()
    folder = Watched(tmp_path, lambda name, times: not answers.wait(LONG_S))
    monkeypatch.setattr(journal_module, "READ_WITHIN_S", 0.01)
    try:
        assert len(take_over(folder)) == 0
        assert "has not answered for 0.01 s: every message is asked again, which is safe" in caplog.text
    finally:
        answers.set()


@pytest.mark.parametrize("kind", ["listing", "read run", "read part"])
def test_a_store_that_refuses_once_to_be_read_does_not_cost_what_it_holds(tmp_path: Path, kind: str) -> None:
    write(tmp_path, [result(1), result(2)])
    assert set(take_over(Watched(tmp_path, lambda name, times: name == kind and times == 1))) == {0, 1}


def test_of_a_store_that_stops_answering_in_the_middle_what_it_has_told_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [result(1)])
    write(tmp_path, [result(2)], try_number=2)
    answers = threading.Event()
    folder = Watched(
        tmp_path, lambda name, times: name == "read part" and times > 1 and not answers.wait(LONG_S)
    )
    monkeypatch.setattr(journal_module, "READ_WITHIN_S", 0.2)
    try:
        assert set(take_over(folder, try_number=3)) == {0}
        assert "what it has not told is asked again" in caplog.text
    finally:
        answers.set()


def test_a_store_that_refuses_later_keeps_what_it_has_and_gets_the_rest(tmp_path: Path) -> None:
    folder = Watched(tmp_path, lambda name, times: name == "part" and 2 <= times <= 3)
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(1)])
    assert folder.wait_for("part-")
    journal.add([result(2)])
    assert folder.wait_for_tries("part", 4)
    journal.add([result(3)])
    journal.close({}, within_s=LONG_S)
    assert journal.error is None
    assert [line["message_id"] for line in lines_in(tmp_path)] == [hex_id(1), hex_id(2), hex_id(3)]


def test_a_store_that_refuses_for_good_is_told_with_the_number_of_lines_and_no_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Watched(tmp_path, lambda name, _: name in ("part", "summary"))
    journal = write(folder, [result(1), result(2)])
    assert journal.error == (
        "the report's store refused: OSError (No space left on device); 2 lines are not in the report"
    )
    assert "secret" not in caplog.text
    assert caplog.text.count("The run goes on") == 1


def test_a_summary_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    journal = write(Watched(tmp_path, lambda name, _: name == "summary"), [result(1)])
    assert journal.error == "the report's store refused: OSError (No space left on device)"
    assert len(lines_in(tmp_path)) == 1


def test_a_failing_store_is_not_tried_at_every_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_AFTER_S", (3600.0,) * 5)
    folder = Watched(tmp_path, lambda name, _: name == "part")
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(number) for number in range(200)])
    assert folder.wait_for_tries("part", 1)
    for _ in range(50):
        journal.add([result(number) for number in range(200)])
    journal.close({}, within_s=0.5)
    assert folder.tried.count("part") <= 3  # the first, and the last at the end
    assert "10200 lines" in str(journal.error)


def test_a_try_that_could_not_see_what_is_there_does_not_make_it_its_own(tmp_path: Path) -> None:
    write(tmp_path, [result(1)], identity=OTHERS[1])
    folder = Watched(tmp_path, lambda name, times: name == "listing" and times == 1)
    write(folder, [result(2)], try_number=2)
    assert set(take_over(tmp_path, try_number=3)) == {1}


def test_a_folder_that_can_not_be_read_carries_nothing_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [result(1)])
    assert take_over(Watched(tmp_path, lambda name, _: name == "listing")) == {}
    assert "every message is asked again" in caplog.text
    assert "secret" not in caplog.text


def test_a_part_that_can_not_be_read_does_not_hold_up_the_others(tmp_path: Path) -> None:
    write(tmp_path, [result(1)])
    write(tmp_path, [result(2)], try_number=2)
    asked_in_all = 1 + len(folders.READ_AGAIN_AFTER_S)
    folder = Watched(tmp_path, lambda name, times: name == "read part" and times <= asked_in_all)
    assert set(take_over(folder, try_number=3)) == {1}


def test_a_summary_that_is_refused_once_is_written_again(tmp_path: Path) -> None:
    journal = write(Watched(tmp_path, lambda name, times: name == "summary" and times == 1), [result(1)])
    assert journal.error is None
    assert len(list(tmp_path.glob("summary-*"))) == 1


def test_a_summary_that_says_what_is_missing_is_written_as_it_is(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.start("f")
    journal.close({"report_error": "there was no time"}, within_s=LONG_S)
    (summary,) = tmp_path.glob("summary-*")
    assert json.loads(summary.read_text()) == {"report_error": "there was no time"}


@pytest.mark.parametrize("kind", ["mkdir", "part"])
def test_a_store_whose_library_ends_the_thread_gets_everything_in_the_end(tmp_path: Path, kind: str) -> None:
    def ends(name: str, times: int) -> bool:
        if name == kind and times == 1:
            raise asyncio.CancelledError  # as a library's own event loop does when it is torn down
        return False

    assert write(Watched(tmp_path / "new", ends), [result(1)]).error is None
    assert set(take_over(tmp_path / "new")) == {0}


def test_a_store_that_is_slow_gets_longer_parts_and_so_keeps_up(tmp_path: Path) -> None:
    goes_on = threading.Event()
    folder = Watched(tmp_path, lambda name, times: name == "part" and times == 1 and not goes_on.wait(LONG_S))
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(0)])
    assert folder.wait_for_tries("part", 1)
    for number in range(20):
        journal.add([result(number * 100 + each) for each in range(100)])
    goes_on.set()
    journal.close({}, within_s=LONG_S)
    assert journal.error is None
    assert [len(path.read_bytes().splitlines()) for path in sorted(tmp_path.glob("part-*"))] == [1, 2000]


# -- a store that hangs ------------------------------------------------------------------------------------


class Hanging(Watched):
    """A folder in which nothing ever ends until it is let go."""

    def __init__(self, path: Path, kind: str) -> None:
        self.let_go = threading.Event()

        def hangs(name: str, _times: int) -> bool:
            if name == kind:
                self.let_go.wait(LONG_S)
            return False

        super().__init__(path, hangs)


@pytest.mark.parametrize("kind", ["mkdir", "run", "part"])
def test_a_store_that_hangs_holds_up_neither_the_run_nor_its_end(tmp_path: Path, kind: str) -> None:
    folder = Hanging(tmp_path, kind)
    journal = journal_in(folder)
    begun = time.monotonic()
    journal.start("f")
    journal.add([result(1)])
    journal.close({}, within_s=0.05)
    assert time.monotonic() - begun < LONG_S / 2
    assert journal.error == "the report's store did not take the last part in time"
    folder.let_go.set()
    assert folder.wait_for("part-")  # late, but not lost


def test_what_is_added_after_a_close_that_a_store_did_not_wait_for_is_not_lost(tmp_path: Path) -> None:
    """A triggerer that ends writes what is settled; told that nobody goes on, it also writes what is open."""
    folder = Hanging(tmp_path, "part")
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(1)])
    journal.close(None, within_s=0.05)
    journal.start()
    journal.add([result(2, Outcome.NOT_ATTEMPTED, None)])
    folder.let_go.set()
    journal.close({}, within_s=LONG_S)
    assert journal.error is None
    assert [line["message_id"] for line in lines_in(tmp_path)] == [hex_id(1), hex_id(2)]


def test_a_summary_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    folder = Hanging(tmp_path, "summary")
    journal = journal_in(folder)
    journal.start("f")
    journal.add([result(1)])
    journal.close({}, within_s=0.3)
    assert journal.error == "the report's store did not take the summary in time"
    assert len(lines_in(tmp_path)) == 1
    folder.let_go.set()
    assert folder.wait_for("summary-")


def test_a_refusing_store_is_given_up_when_no_time_is_left_for_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_AFTER_S", (0.01, 3600.0, 3600.0))
    journal = journal_in(Watched(tmp_path, lambda name, _: name == "part"))
    journal.start("f")
    journal.add([result(1)])
    journal.close({}, within_s=LONG_S)
    assert "1 lines are not in the report" in str(journal.error)


def test_a_folder_that_vanishes_is_made_anew_and_what_was_in_it_is_not_said_to_be_there(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "report"
    journal = journal_in(folder)
    journal.start("print")
    journal.add([result(1)])
    wait_for(lambda: list(folder.glob("part-*")), "the first part")
    shutil.rmtree(folder)
    journal.add([result(2)])
    journal.close({}, within_s=20)
    names = sorted(path.name.partition("-")[0] for path in folder.iterdir())
    assert names == ["part", "run"]
    assert journal.error == "somebody has removed what was written of the report"


def test_a_bucket_that_is_emptied_meanwhile_is_told(tmp_path: Path) -> None:
    """Where there are no folders, no write fails for it."""
    journal = journal_in(tmp_path)
    journal.start("print")
    journal.add([result(1)])
    wait_for(lambda: list(tmp_path.glob("part-*")), "the first part")
    for path in tmp_path.iterdir():
        path.unlink()
    journal.add([result(2)])
    journal.close({}, within_s=LONG_S)
    assert journal.error == "somebody has removed what was written of the report"
