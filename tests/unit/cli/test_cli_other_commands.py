"""`status` says where each message is, `check` whether a connection works, `cancel-all` whom it hits before it does."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable

import pytest
from support.commands import Done, Run
from support.failing_store import StoreThatFails
from support.operating import Seed, states

from airflow_provider_smscancel.campaigns import manifest_lines
from airflow_provider_smscancel.cli import making
from airflow_provider_smscancel.sandbox import ESENDEX_LICENSE_KEY
from airflow_provider_smscancel.sandbox.server import SandboxServer

CancelAll = Callable[[str], Done]


def lines_with(text: str, out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if text in line]


# -- status -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("conn_id", "gateway"), [("sms", "clickatell"), ("sms_esendex", "esendex")])
def test_status_says_where_each_message_is_and_changes_nothing(
    run: Run, seed: Seed, sandbox: SandboxServer, conn_id: str, gateway: str
) -> None:
    waiting, sent = seed(2, gateway=gateway), seed(1, gateway=gateway, state="sent")
    done = run("status", "--conn-id", conn_id, "--id", *waiting, *sent)
    assert done.status == 0
    assert [lines_with(each, done.out)[0][1] for each in [*waiting, *sent]] == ["pending", "pending", "sent"]
    assert lines_with("pending", done.out)[-1] == ["pending", "2"]
    assert states(sandbox, [*waiting, *sent]) == {"scheduled": 2, "sent": 1}


def test_status_as_json_has_every_message_in_the_order_of_the_list(run: Run, seed: Seed) -> None:
    ids = seed(150)
    given = [ids[0], "no id!", *ids[1:]]
    done = run("status", "--conn-id", "sms", "-o", "json", "--id", json.dumps(given))
    messages = done.json["messages"]
    assert [row["message_id"] for row in messages] == [*ids, "item 2"]
    assert messages[0] == {
        "message_id": ids[0],
        "state": "pending",
        "code": "011",
        "description": "status 011: scheduled for later, not cancelled",
    }
    assert messages[-1]["state"] == "unknown"
    assert messages[-1]["description"].startswith("not a Clickatell message id")
    assert {name: count for name, count in done.json["states"].items() if count} == {
        "pending": 150,
        "unknown": 1,
    }


def test_status_as_a_table_shows_a_hundred_and_says_how_many_more_there_are(run: Run, seed: Seed) -> None:
    ids = seed(130)
    done = run("status", "--conn-id", "sms", "--id", *ids)
    assert sum(message_id in done.out for message_id in ids) == 100
    assert "30 more messages: --output json shows them all." in done.out


def test_a_message_that_the_gateway_does_not_know_is_an_answer(run: Run, sandbox: SandboxServer) -> None:
    done = run("status", "--conn-id", "sms", "--id", "f" * 32)
    assert done.status == 0
    assert lines_with("f" * 32, done.out)[0][1] == "unknown"


@pytest.mark.parametrize("command", [("status",), ("cancel", "--dry-run")], ids=["status", "dry run"])
def test_a_list_that_was_read_in_part_is_not_said_to_be_all(
    run: Run, seed: Seed, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(manifest_lines, "PIECE_BYTES", 200)
    store = StoreThatFails("\n".join(["message_id", *seed(20)]).encode(), good_reads=2)
    monkeypatch.setattr(making, "open_path", lambda name, text: store)
    done = run(*command, "--conn-id", "sms", "--manifest", "s3://bucket/campaign.csv")
    assert done.status == 1
    assert 0 < done.requests < 20
    assert "was read to line" in done.err
    assert "what comes after was not asked about" in done.err


# -- check --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conn_id", ["sms", "sms_http", "sms_esendex"])
def test_check_says_that_a_connection_works(run: Run, conn_id: str) -> None:
    done = run("check", "--conn-id", conn_id)
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith(" accepts the credentials.\n")


@pytest.mark.parametrize(
    ("conn_id", "said"), [("sms_wrong_token", "refuses the account"), ("sms_down", "No connection to")]
)
def test_check_says_what_is_wrong_and_exits_with_2(run: Run, conn_id: str, said: str) -> None:
    done = run("check", "--conn-id", conn_id, "--output", "json")
    assert done.status == 2
    assert done.json["works"] is False
    assert done.json["connection"] == conn_id
    assert said in done.json["message"]
    assert "wrong-token" not in done.out


# -- cancel-all ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cancel_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> CancelAll:
    """Run `cancel-all` at a terminal at which somebody types this. A pseudo-terminal is in test_cli_terminal.py."""

    def command(typed: str, conn_id: str = "sms_esendex") -> Done:
        monkeypatch.setattr(getpass, "getpass", lambda *_: typed)
        return run("cancel-all", "--conn-id", conn_id, typed="")

    return command


def test_cancel_all_says_whom_it_hits_and_cancels_everything(
    cancel_all: CancelAll, seed: Seed, sandbox: SandboxServer
) -> None:
    ids = seed(5, gateway="esendex")
    done = cancel_all(ESENDEX_LICENSE_KEY[-4:])
    assert done.status == 0
    assert done.requests == 1
    assert states(sandbox, ids) == {"cancelled": 5}
    assert "EVERY scheduled message of EVERYBODY who uses the licence key" in done.err
    assert "it can not be undone" in done.err
    assert ESENDEX_LICENSE_KEY[:8] not in done.out + done.err


@pytest.mark.parametrize("typed", ["", "1234", ESENDEX_LICENSE_KEY])
def test_cancel_all_sends_nothing_when_the_characters_do_not_match(
    cancel_all: CancelAll, seed: Seed, sandbox: SandboxServer, typed: str
) -> None:
    ids = seed(2, gateway="esendex")
    done = cancel_all(typed)
    assert (done.status, done.requests, done.out) == (2, 0, "")
    assert "nothing was cancelled" in done.err
    assert states(sandbox, ids) == {"scheduled": 2}


def test_cancel_all_without_an_answer_says_that_everything_may_be_cancelled(
    cancel_all: CancelAll, sandbox: SandboxServer
) -> None:
    sandbox.state.faults.configure(share=1, kinds=["act-then-drop"])
    done = cancel_all(ESENDEX_LICENSE_KEY[-4:])
    assert done.status == 1
    assert "may have been cancelled, or nothing" in done.err


def test_cancel_all_is_for_a_person(run: Run) -> None:
    done = run("cancel-all", "--conn-id", "sms_esendex", stdin="0000\n")
    assert "standard input is not a terminal" in done.refused_before_anything()


def test_cancel_all_is_for_esendex_only(run: Run) -> None:
    done = run("cancel-all", "--conn-id", "sms", typed="")
    assert "Clickatell documents no way to cancel everything" in done.refused_before_anything()
