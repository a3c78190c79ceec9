"""`cancel` stops what the list names, says so for each message, and sends nothing before somebody has agreed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from support.commands import Run
from support.operating import Seed, final_outcomes, read_report, states

from airflow_provider_smscancel.campaigns import cancel_job
from airflow_provider_smscancel.sandbox.server import SandboxServer


def manifest_of(folder: Path, ids: list[str], name: str = "campaign.csv") -> str:
    path = folder / name
    path.write_text("\n".join(["message_id", *ids]) + "\n")
    return str(path)


# -- what becomes of the messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("conn_id", "gateway"), [("sms", "clickatell"), ("sms_esendex", "esendex")])
def test_a_manifest_is_stopped_and_the_exit_status_is_0(
    run: Run, seed: Seed, sandbox: SandboxServer, tmp_path: Path, conn_id: str, gateway: str
) -> None:
    ids = seed(30, gateway=gateway)
    done = run("cancel", "--conn-id", conn_id, "--manifest", manifest_of(tmp_path, ids), "--yes")
    assert done.status == 0
    assert states(sandbox, ids) == {"cancelled": 30}
    assert "Every message is stopped" in done.err
    assert [line.split() for line in done.out.splitlines() if line.split()[:1] == ["cancelled"]] == [
        ["cancelled", "30"]
    ]


def test_one_message_too_late_makes_the_exit_status_1_and_is_named(run: Run, seed: Seed) -> None:
    ids, late = seed(3), seed(1, state="sent", code="004")
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", *ids, *late)
    assert done.status == 1
    assert [line.split() for line in done.out.splitlines() if late[0] in line] == [
        [late[0], "too_late", "004"]
    ]
    assert "1 of 4 messages were not stopped." in done.err
    assert "Asking again would not change that." in done.err


def test_a_message_that_will_not_be_sent_anyway_is_no_failure(run: Run, seed: Seed) -> None:
    assert run("cancel", "--conn-id", "sms", "--yes", "--id", *seed(2, state="failed")).status == 0


def test_ids_may_be_repeated_and_separated_by_commas_and_blanks(
    run: Run, seed: Seed, sandbox: SandboxServer
) -> None:
    ids = seed(6)
    done = run(
        *("cancel", "--conn-id", "sms", "--yes", "--output", "json"),
        *("--id", f"{ids[0]},{ids[1]}", ids[2], "--id", f"{ids[3]} {ids[4]}", "--id", ids[5], ids[0]),
    )
    assert done.status == 0
    assert done.outcomes == {"cancelled": 6}
    assert done.json["duplicates"] == 1
    assert states(sandbox, ids) == {"cancelled": 6}


@pytest.mark.parametrize("form", ["lines", "json"])
def test_a_dash_reads_ids_from_standard_input(run: Run, seed: Seed, form: str) -> None:
    ids = seed(5)
    text = "\n".join(ids) + "\n" if form == "lines" else str(ids).replace("'", '"')
    done = run("cancel", "--conn-id", "sms", "--yes", "-o", "json", "--id", "-", stdin=text)
    assert done.outcomes == {"cancelled": 5}


def test_client_ids_are_stopped_through_the_http_api(run: Run, seed: Seed, sandbox: SandboxServer) -> None:
    ids = seed(3, prefix="campaign-")
    done = run(
        *("cancel", "--conn-id", "sms_http", "--yes", "--id-type", "client_message_id"),
        *("--id", "campaign-0", "campaign-1", "campaign-2"),
    )
    assert done.status == 0, done
    assert states(sandbox, ids) == {"cancelled": 3}


def test_a_malformed_row_is_named_by_its_position_and_does_not_hold_up_the_rest(run: Run, seed: Seed) -> None:
    ids = seed(2)
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", ids[0], "+447700900123", ids[1])
    assert done.status == 1
    assert "item 2" in done.out
    assert "447700900123" not in done.out + done.err


def test_a_dry_run_asks_without_being_confirmed_and_stops_nothing(
    run: Run, seed: Seed, sandbox: SandboxServer, tmp_path: Path
) -> None:
    ids = [*seed(4), *seed(1, state="sent")]
    report = tmp_path / "report"
    done = run("cancel", "--conn-id", "sms", "--dry-run", "--report", str(report), "--id", *ids)
    assert done.status == 0
    assert states(sandbox, ids) == {"scheduled": 4, "sent": 1}
    assert [
        line.split() for line in done.out.splitlines() if line.split()[:1] in (["pending"], ["sent"])
    ] == [
        ["pending", "4"],
        ["sent", "1"],
    ]
    assert "Dry run, nothing was cancelled" in done.err
    assert not report.exists()


def test_the_options_of_the_pace_reach_the_run(run: Run, seed: Seed) -> None:
    done = run(
        *("cancel", "--conn-id", "sms", "--yes", "--requests-per-second", "500", "--max-concurrency", "3"),
        *("--campaign", "wrong price", "--id", *seed(2)),
    )
    assert (
        "Stopping 2 messages at Clickatell (campaign 'wrong price'): at most 500 requests a second, 3 at"
        in done.err
    )


# -- asking -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["y\n", "yes\n", "  YES \n"])
def test_it_says_what_it_is_about_to_do_and_goes_on_when_somebody_agrees(
    run: Run, seed: Seed, sandbox: SandboxServer, answer: str
) -> None:
    ids = seed(3)
    done = run("cancel", "--conn-id", "sms", "--id", *ids, "rejected!", typed=answer)
    for said in ("3 messages", "Clickatell", "sms, http://127.0.0.1:", "2000 requests a second", "1 rows"):
        assert said in done.err
    assert states(sandbox, ids) == {"cancelled": 3}


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yesterday\n", "1\n"])
def test_anything_but_yes_cancels_nothing_and_leaves_no_report(
    run: Run, seed: Seed, tmp_path: Path, answer: str
) -> None:
    report = tmp_path / "report"
    done = run("cancel", "--conn-id", "sms", "--report", str(report), "--id", *seed(3), typed=answer)
    assert done.status == 1
    assert done.requests == 0
    assert done.out == ""
    assert "Nothing was cancelled: the answer was not yes." in done.err
    assert not report.exists()


def test_without_a_terminal_it_wants_yes_and_sends_nothing(run: Run, seed: Seed) -> None:
    done = run("cancel", "--conn-id", "sms", "--id", *seed(3), stdin="yes\n")
    assert "Give --yes to cancel without being asked." in done.refused_before_anything()


# -- the report ---------------------------------------------------------------------------------------------------------


def test_the_same_command_with_the_same_report_takes_up_what_is_open(
    run: Run, seed: Seed, in_doubt: Seed, sandbox: SandboxServer, tmp_path: Path
) -> None:
    settled, doubtful = seed(20), in_doubt(3)
    report = tmp_path / "report"
    command = ("cancel", "--conn-id", "sms", "--yes", "-o", "json", "--report", str(report))
    command += ("--manifest", manifest_of(tmp_path, settled + doubtful))
    first = run(*command)
    assert first.status == 1
    assert first.outcomes == {"cancelled": 20, "unconfirmed": 3}
    assert f"run the same command with --report {report}" in first.err

    asked = {row["message_id"] for row in read_report(report)}
    second = run(*command)
    assert asked == set(settled + doubtful)
    assert second.outcomes == {"cancelled": 20, "unconfirmed": 3}
    rows = read_report(report)
    assert {row["message_id"] for row in rows if row["try"] == 2} == set(doubtful)
    assert {row["try"] for row in rows} == {1, 2}
    assert "20 of 23 messages were settled by an earlier try: 3 are taken up." in second.err


def test_a_list_that_was_mended_meanwhile_still_resumes(run: Run, seed: Seed, tmp_path: Path) -> None:
    ids = seed(10)
    command = ("cancel", "--conn-id", "sms", "--yes", "-o", "json", "--report", str(tmp_path / "report"))
    run(*command, "--manifest", manifest_of(tmp_path, ids[:6]))
    done = run(*command, "--manifest", manifest_of(tmp_path, ids))
    assert done.requests == 4
    assert done.outcomes == {"cancelled": 10}
    assert len(final_outcomes(tmp_path / "report")) == 10


@pytest.mark.parametrize(
    ("second", "why"),
    [(("--conn-id", "sms_esendex"), "another gateway"), (("--campaign", "another"), "another campaign")],
)
def test_what_another_campaign_has_settled_is_not_taken_for_ours(
    run: Run, seed: Seed, tmp_path: Path, second: tuple[str, ...], why: str
) -> None:
    ids = seed(1, gateway="esendex")  # an id that is well-formed at both
    command = ("cancel", "--yes", "-o", "json", "--report", str(tmp_path), "--id", *ids)
    run(*command, "--conn-id", "sms_esendex" if why == "another campaign" else "sms")
    done = run(*command, *(second if "--conn-id" in second else ("--conn-id", "sms_esendex", *second)))
    assert done.requests > 0
    assert "settled by an earlier try" not in done.err


def test_client_ids_that_are_used_again_for_another_campaign_are_asked(
    run: Run, seed: Seed, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """An id that the sender chose may name another message next week: what was cancelled then says nothing about it."""
    command = ("cancel", "--conn-id", "sms_http", "--yes", "--id-type", "client_message_id")
    command += ("--report", str(tmp_path / "report"))
    seed(2, prefix="customer-")
    assert run(*command, "--id", "customer-0", "customer-1").status == 0
    sandbox.state.reset()
    ids = seed(3, prefix="customer-")
    assert run(*command, "--id", "customer-0", "customer-1", "customer-2").status == 0
    assert states(sandbox, ids) == {"cancelled": 3}


def test_a_relative_path_means_the_current_folder(
    run: Run, seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest_of(tmp_path, seed(2), "list.csv")
    done = run(
        "cancel", "--conn-id", "sms", "--yes", "--manifest", "list.csv", "--report", "there", "-o", "json"
    )
    assert done.status == 0
    assert done.json["report"] == str(tmp_path / "there")
    assert len(final_outcomes(tmp_path / "there")) == 2


def test_without_an_option_the_report_is_a_new_folder_under_the_configured_one(
    run: Run, seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", str(tmp_path))
    ids = seed(2)
    reports = [
        run("cancel", "--conn-id", "sms", "--yes", "-o", "json", "--id", *ids).json["report"]
        for _ in range(2)
    ]
    assert reports[0] != reports[1]
    for report in reports:
        assert Path(report).parent == tmp_path / "command_line"
        assert len(final_outcomes(report)) == 2


def test_without_a_report_every_id_that_is_not_stopped_goes_to_standard_error(run: Run, seed: Seed) -> None:
    late = seed(130, state="sent")
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", *late)
    assert done.status == 1
    assert sum(message_id in done.out for message_id in late) == 100
    assert "30 more were not stopped: they are named above, after 'Not stopped:'." in done.out
    named = [line for line in done.err.splitlines() if line.startswith("Not stopped: ")]
    assert {word for line in named for word in line.split()[2:]} == set(late)


def test_a_report_that_can_not_be_written_is_said_and_makes_the_exit_status_1(
    run: Run, seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel_job, "LAST_PART_S", 0.2)
    in_the_way = tmp_path / "report"
    in_the_way.write_text("a file where the folder should be")
    done = run(
        "cancel", "--conn-id", "sms", "--yes", "--report", str(in_the_way), "-o", "json", "--id", *seed(2)
    )
    assert done.status == 1
    assert done.outcomes == {"cancelled": 2}
    assert done.json["report_error"]
    assert "The report is not complete" in done.err


# -- what goes where ------------------------------------------------------------------------------------------------------


def test_json_is_the_only_thing_on_standard_output(run: Run, seed: Seed) -> None:
    late = seed(1, state="sent", code="004")
    done = run("cancel", "--conn-id", "sms", "--yes", "--output", "json", "--id", *seed(2), *late)
    assert done.out.count("\n") == 1
    assert done.json["total"] == 3
    assert done.json["end"] == "complete"
    assert done.json["not_stopped"] == [
        {"message_id": late[0], "outcome": "too_late", "gateway_status": "004"}
    ]
    assert "Stopping 3 messages" in done.err


def test_verbose_says_what_became_of_each_message(run: Run, seed: Seed) -> None:
    stopped, late = seed(1), seed(1, state="sent", code="004")
    done = run("cancel", "--conn-id", "sms", "--yes", "-v", "-o", "json", "--id", *stopped, *late)
    assert f"{stopped[0]}: cancelled (" in done.err
    assert f"{late[0]}: too_late (status 004: received by the phone, too late to stop)" in done.err
    assert done.json["total"] == 2


def test_logging_and_the_environment_are_left_as_they_were(run: Run, seed: Seed) -> None:
    def now() -> list[object]:
        ours, root = logging.getLogger("airflow_provider_smscancel"), logging.getLogger()
        levels = [ours.level, ours.propagate, list(ours.handlers), root.level]
        return [*levels, os.environ.get("_AIRFLOW_PROCESS_CONTEXT")]

    before = now()
    run("cancel", "--conn-id", "sms", "--yes", "--id", *seed(1))
    assert now() == before
