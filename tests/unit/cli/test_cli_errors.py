"""What can be foreseen to go wrong is told in one line, with an exit status that a script can go by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Run
from support.operating import Seed

from airflow_provider_smscancel.campaigns import manifests
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
from airflow_provider_smscancel.cli import making

AN_ID = "360586640fe9846954897dffe6c13dfc"
BOTH = pytest.mark.parametrize("command", [("cancel", "--yes"), ("status",)], ids=["cancel", "status"])


@BOTH
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--conn-id", "nobody_saved_it", "--id", AN_ID),
            "The conn_id `nobody_saved_it` isn't defined in this Airflow",
        ),
        (("--conn-id", "sms_of_another_type", "--id", AN_ID), "is of type 'http'"),
        (("--conn-id", "sms_misspelled", "--id", AN_ID), "unknown key in extra: 'requests_per_secnod'"),
        (("--conn-id", "sms"), "give one of --id, --manifest"),
        (("--conn-id", "sms", "--id", " "), "give one of --id, --manifest"),
        (("--conn-id", "sms", "--id", AN_ID, "--manifest", "list.csv"), "Give only one of --id, --manifest"),
        (("--conn-id", "sms", "--manifest", "not_there.csv"), "not_there.csv: can't be opened"),
        (
            ("--conn-id", "sms", "--manifest", "~nobody_of_that_name/list.csv"),
            "no home folder of such a user",
        ),
        (("--conn-id", "sms", "--manifest", "nosuch://there/list.csv"), "can not be opened here"),
        (
            ("--conn-id", "sms", "--id", "+447700900123", "+447700900124"),
            "None of the 2 ids is one of Clickatell's",
        ),
        (("--conn-id", "sms", "--id", "[]"), "There is no message in the list"),
        (("--conn-id", "sms", "--id", AN_ID, "other", "--max-messages", "1"), "2 messages are more than"),
        (("--conn-id", "sms", "--id", AN_ID, "--max-messages", "-1"), "--max-messages must be"),
        (("--conn-id", "sms", "--id", AN_ID, "--id-type", "client_message_id"), "does not cancel by"),
        (("--conn-id", "sms", "--id", AN_ID, "--requests-per-second", "0"), "requests_per_second must be"),
        (("--conn-id", "sms", "--id", AN_ID, "--max-concurrency", "0"), "max_concurrency must be"),
        (("--conn-id", "sms", "--id", AN_ID, "--give-up-after", "nan"), "--give-up-after must be"),
    ],
)
def test_what_is_wrong_before_the_first_request_is_said_and_nothing_is_sent(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMS_OF_ANOTHER_TYPE", json.dumps({"conn_type": "http"}))
    misspelled = {"conn_type": "clickatell", "password": "a-token", "extra": {"requests_per_secnod": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_SMS_MISSPELLED", json.dumps(misspelled))
    done = run(*command, *arguments)
    assert said in done.refused_before_anything()
    assert "77009" not in done.err


def test_a_folder_for_the_report_that_can_not_be_opened_is_said_before_anything(run: Run, seed: Seed) -> None:
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", *seed(1), "--report", "nosuch://there/report")
    assert "--report: nosuch:// can not be opened here" in done.refused_before_anything()


def test_a_configured_folder_that_can_not_be_opened_is_said_before_anything(
    run: Run, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", "relative/folder")
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", *seed(1))
    assert "[smscancel] report_folder" in done.refused_before_anything()


def test_a_store_that_does_not_answer_is_said_before_anything(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: object) -> None:
        raise SourceUnavailable("manifest s3://bucket/list.csv: the store does not answer")

    monkeypatch.setattr(making, "read_manifest", unreachable)
    assert making.read_manifest is not manifests.read_manifest
    done = run("cancel", "--conn-id", "sms", "--yes", "--manifest", str(tmp_path / "list.csv"))
    assert "the store does not answer. Nothing was sent." in done.refused_before_anything()


def test_standard_input_that_is_no_text_is_said_before_anything(run: Run) -> None:
    done = run("cancel", "--conn-id", "sms", "--yes", "--id", "-", stdin=b"message_id\n\xff\xfe")
    assert "standard input is not text that can be read" in done.refused_before_anything()


@BOTH
def test_wrong_credentials_make_the_exit_status_2_and_stop_nothing(
    run: Run, seed: Seed, command: tuple[str, ...]
) -> None:
    done = run(*command, "--conn-id", "sms_wrong_token", "-o", "json", "--id", *seed(3))
    assert done.status == 2
    assert "The gateway refuses the account of connection 'sms_wrong_token'" in done.err
    assert "wrong-token" not in done.out + done.err
    assert done.json["end"] == "account_refused"
    counts = done.json["outcomes"] if command[0] == "cancel" else done.json["states"]
    assert {name: count for name, count in counts.items() if count} == (
        {"not_attempted": 3} if command[0] == "cancel" else {"unknown": 3}
    )


@BOTH
def test_a_gateway_that_is_down_makes_the_exit_status_1_and_every_message_open(
    run: Run, command: tuple[str, ...]
) -> None:
    done = run(
        *command, "--conn-id", "sms_down", "--give-up-after", "0.2", "-o", "json", "--id", AN_ID, "other"
    )
    assert done.status == 1
    assert done.json["end"] == "gateway_down"
    assert "The gateway gave no answer for too long" in done.err
    if command[0] == "cancel":
        assert done.outcomes == {"not_attempted": 2}
    else:
        assert [row["state"] for row in done.json["messages"]] == ["unknown", "unknown"]


def test_no_way_to_the_gateway_at_all_leaves_every_message_open(
    run: Run, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/there-is-no-bundle.pem")
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMS_TLS",
        json.dumps({"conn_type": "clickatell", "password": "a-token", "host": "https://127.0.0.1:9"}),
    )
    done = run(
        "cancel", "--conn-id", "sms_tls", "--yes", "-o", "json", "--give-up-after", "0.2", "--id", *seed(2)
    )
    assert done.status == 1
    assert done.json["end"] == "crashed"
    assert done.outcomes == {"not_attempted": 2}
    assert "REQUESTS_CA_BUNDLE" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "COMMAND"),
        (("cancel", "--id", AN_ID), "--conn-id"),
        (("cancel", "--conn-id", "sms", "--max-messages", "many"), "--max-messages"),
        (("cancel", "--conn-id", "sms", "--output", "xml"), "--output"),
        (("cancel-all", "--conn-id", "sms_esendex", "--last-four", "0000"), "--last-four"),
    ],
)
def test_a_command_that_can_not_be_read_makes_the_exit_status_2(
    run: Run, arguments: tuple[str, ...], named: str
) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert done.requests == 0
    assert named in done.err
