"""Commands as a person meets them: on a real pseudo-terminal, with Ctrl-C, signals and lines that are cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import COMMAND, on_a_terminal
from support.operating import Seed, final_outcomes, states, truth
from support.versions import since
from support.waiting import wait_for

from airflow_provider_smscancel.sandbox import ESENDEX_LICENSE_KEY
from airflow_provider_smscancel.sandbox.server import SandboxServer

Environment = Callable[..., dict[str, str]]
pytestmark = pytest.mark.system  # each starts Python and Airflow anew

TOTAL = 300
FIELDS = ("cancelled", "unconfirmed", "not_attempted")


@pytest.fixture
def environment(sandbox: SandboxServer) -> Environment:
    """The environment of a command whose connection takes so many messages a second."""

    def make(requests_per_second: float = 100) -> dict[str, str]:
        connection = json.loads(os.environ["AIRFLOW_CONN_SMS"])
        connection["extra"]["requests_per_second"] = requests_per_second
        return {**os.environ, "AIRFLOW_CONN_SMS": json.dumps(connection)}

    return make


def wait_for_a_third(sandbox: SandboxServer) -> None:
    def stopped() -> bool:
        return sum(row["state"] == "cancelled" for row in truth(sandbox).values()) >= TOTAL // 3

    wait_for(stopped, "a third is stopped", within_s=60)


def check_the_report(report: Path, ids: list[str], sandbox: SandboxServer) -> None:
    """Check that each message has an outcome, and that it agrees with the gateway's own record."""
    outcomes = final_outcomes(report)
    assert set(outcomes) == set(ids)
    assert set(outcomes.values()) <= set(FIELDS)
    record = truth(sandbox)
    for message_id, outcome in outcomes.items():
        if outcome != "unconfirmed":
            assert (outcome == "cancelled") == (record[message_id]["state"] == "cancelled")
    assert 0 < sum(outcome == "cancelled" for outcome in outcomes.values()) < TOTAL


def test_a_person_is_asked_sees_a_bar_and_gets_a_table(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(TOTAL)
    arguments = ["cancel", "--conn-id", "sms", "--id", ",".join(ids)]
    with on_a_terminal(arguments, environment()) as terminal:
        terminal.wait_for("Cancel them? [y/N]")
        assert states(sandbox, ids) == {"scheduled": TOTAL}
        terminal.type("y\n")
        terminal.wait_for("\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 10)
        assert terminal.wait() == 0
    assert states(sandbox, ids) == {"cancelled": TOTAL}
    assert f"/{TOTAL}" in terminal.seen  # of the bar
    assert "settled," not in terminal.seen  # the lines that a file gets in place of the bar
    assert "Done: cancelled 300 of 300 messages." in terminal.seen


def test_ids_can_be_pasted_at_the_terminal_and_the_question_still_be_answered(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(3)
    with on_a_terminal(["cancel", "--conn-id", "sms", "--id", "-"], environment()) as terminal:
        terminal.wait_for("end with Ctrl-D")
        terminal.type("\n".join(ids) + "\n\x04")
        terminal.wait_for("Cancel them? [y/N]")
        terminal.type("yes\n")
        assert terminal.wait() == 0
    assert states(sandbox, ids) == {"cancelled": 3}


def test_ctrl_c_at_the_question_sends_nothing(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(3)
    with on_a_terminal(["cancel", "--conn-id", "sms", "--id", *ids], environment()) as terminal:
        terminal.wait_for("Cancel them? [y/N]")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert "Interrupted. Nothing was sent." in terminal.seen
    assert "Traceback" not in terminal.seen
    assert states(sandbox, ids) == {"scheduled": 3}


def test_ctrl_c_in_the_middle_writes_down_what_is_known_and_shows_it(
    seed: Seed, sandbox: SandboxServer, environment: Environment, tmp_path: Path
) -> None:
    ids = seed(TOTAL)
    arguments = ["cancel", "--conn-id", "sms", "--yes", "--report", str(tmp_path), "--id", ",".join(ids)]
    with on_a_terminal(arguments, environment()) as terminal:
        wait_for_a_third(sandbox)
        terminal.type("\x03")
        terminal.type("\x03")  # somebody who is impatient
        assert terminal.wait() == 130
    check_the_report(tmp_path, ids, sandbox)
    assert "not_attempted" in terminal.seen
    assert "The run was stopped before every message was asked." in terminal.seen
    assert f"run the same command with --report {tmp_path}" in " ".join(terminal.seen.split())
    assert "Traceback" not in terminal.seen


def test_a_terminal_that_is_closed_ends_the_run_in_order(
    seed: Seed, sandbox: SandboxServer, environment: Environment, tmp_path: Path
) -> None:
    ids = seed(TOTAL)
    arguments = ["cancel", "--conn-id", "sms", "--yes", "--report", str(tmp_path), "--id", ",".join(ids)]
    with on_a_terminal(arguments, environment()) as terminal:
        wait_for_a_third(sandbox)
        terminal.hang_up()
        assert terminal.wait() == 128 + signal.SIGHUP
    check_the_report(tmp_path, ids, sandbox)


def test_sigterm_writes_down_what_is_known_and_json_says_it(
    seed: Seed, sandbox: SandboxServer, environment: Environment, tmp_path: Path
) -> None:
    ids = seed(TOTAL)
    command = [*COMMAND, "cancel", "--conn-id", "sms", "--yes", "--report", str(tmp_path), "-o", "json"]
    with subprocess.Popen(
        [*command, "--id", ",".join(ids)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_a_third(sandbox)
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    found = json.loads(out)
    assert found["end"] == "stopped"
    assert sum(found["outcomes"].values()) == TOTAL
    assert "Ending: no new request" in err
    check_the_report(tmp_path, ids, sandbox)


@since("3", "import that outlives a standard error which nobody reads: it warns while it is imported")
def test_a_pipe_that_nobody_reads_any_more_does_not_stop_the_stopping(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(20)
    with subprocess.Popen(
        [*COMMAND, "cancel", "--conn-id", "sms", "--yes", "--id", ",".join(ids)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        assert process.wait(60) == 0
    assert states(sandbox, ids) == {"cancelled": 20}


def test_cancel_all_asks_for_the_last_four_characters_without_showing_them(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(3, gateway="esendex")
    with on_a_terminal(["cancel-all", "--conn-id", "sms_esendex"], environment()) as terminal:
        terminal.wait_for("Last four characters of the licence key (not shown):")
        assert "EVERYBODY" in terminal.seen
        terminal.type(ESENDEX_LICENSE_KEY[-4:] + "\n")
        assert terminal.wait() == 0
    assert states(sandbox, ids) == {"cancelled": 3}
    assert ESENDEX_LICENSE_KEY[-4:] not in terminal.seen.replace("127.0.0.1", "")


def test_ctrl_c_at_the_question_of_cancel_all_sends_nothing(
    seed: Seed, sandbox: SandboxServer, environment: Environment
) -> None:
    ids = seed(3, gateway="esendex")
    with on_a_terminal(["cancel-all", "--conn-id", "sms_esendex"], environment()) as terminal:
        terminal.wait_for("Last four characters of the licence key (not shown):")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert states(sandbox, ids) == {"scheduled": 3}
    assert "Traceback" not in terminal.seen
