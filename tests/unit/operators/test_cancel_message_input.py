"""What the operator takes as a campaign, and what it refuses before anything is sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.operating import Play, Row, Seed, states

from airflow_provider_smscancel.sandbox import ESENDEX
from airflow_provider_smscancel.sandbox.server import SandboxServer

IDS = ["0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdee"]


# -- message_ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(list, id="list"),
        pytest.param(tuple, id="tuple"),
        pytest.param(lambda ids: [{"message_id": message_id} for message_id in ids], id="mappings"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(str, id="Python literal"),
        pytest.param("\n".join, id="lines"),
        pytest.param(", ".join, id="commas"),
        pytest.param(lambda ids: f"  {' '.join(ids)} ", id="blanks"),
        pytest.param(
            lambda ids: json.dumps([{"message_id": message_id, "scheduled_at": None} for message_id in ids]),
            id="JSON of mappings",
        ),
    ],
)
def test_message_ids_may_be(
    form: Callable[[list[str]], Any], sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(3)
    played = play(message_ids=form(ids))
    assert played.error is None
    assert played.summary["total"] == 3
    assert states(sandbox, ids) == {"cancelled": 3}


def test_the_earliest_messages_are_stopped_first(sandbox: SandboxServer, seed: Seed, play: Play) -> None:
    ids = seed(6)
    in_hours = [5, 1, 3, None, 2, 4]
    messages: list[Row] = [
        {
            "message_id": message_id,
            "scheduled_at": None
            if hours is None
            else (datetime.now(UTC) + timedelta(hours=hours)).isoformat(),
        }
        for message_id, hours in zip(ids, in_hours, strict=True)
    ]
    play(message_ids=messages, max_concurrency=1)
    stopped = {message.id: message.cancelled_at for message in sandbox.state.messages()}
    order = sorted(ids, key=lambda message_id: stopped[message_id] or 0)
    assert [in_hours[ids.index(message_id)] for message_id in order] == [None, 1, 2, 3, 4, 5]


def test_a_date_that_can_not_be_read_costs_a_message_its_place_and_no_more(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(3)
    dates = ["tomorrow", "2030-01-01T00:00:00", "2030-01-01T00:00:00Z"]
    played = play(
        message_ids=[
            {"message_id": each, "scheduled_at": date} for each, date in zip(ids, dates, strict=True)
        ]
    )
    assert played.error is None
    assert played.summary["undated"] == 2
    assert states(sandbox, ids) == {"cancelled": 3}


# -- manifest -----------------------------------------------------------------------------------------------------------


def csv_of(ids: list[str]) -> bytes:
    rows = "".join(f"+27821234567,{message_id},2030-01-01T00:00:00+02:00\n" for message_id in ids)
    return f"to,message_id,scheduled_at\n{rows}".encode()


def jsonl_of(ids: list[str]) -> bytes:
    return "".join(json.dumps({"to": "x", "message_id": message_id}) + "\n" for message_id in ids).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", csv_of),
        ("m.csv.gz", lambda ids: gzip.compress(csv_of(ids))),
        ("m.jsonl", jsonl_of),
        ("m.jsonl.gz", lambda ids: gzip.compress(jsonl_of(ids))),
    ],
)
@pytest.mark.parametrize("as_url", [False, True], ids=["path", "URL"])
def test_a_manifest_may_be(
    name: str,
    content: Callable[[list[str]], bytes],
    as_url: bool,
    tmp_path: Path,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
) -> None:
    ids = seed(3)
    path = tmp_path / name
    path.write_bytes(content(ids))
    played = play(manifest=f"file://{path}" if as_url else str(path))
    assert played.error is None
    assert played.summary["total"] == 3
    assert states(sandbox, ids) == {"cancelled": 3}


def test_a_broken_line_of_a_manifest_is_rejected_by_its_number_and_holds_nothing_up(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(2)
    path = tmp_path / "m.csv"
    path.write_text(f"message_id\n{ids[0]}\n+27 82 765 4321\n{ids[1]}\n")
    played = play(manifest=str(path))
    played.failed_for_good()
    assert played.not_stopped == [{"message_id": "line 3", "outcome": "rejected", "gateway_status": None}]
    assert states(sandbox, ids) == {"cancelled": 2}
    assert "4321" not in str(played.told)


# -- wrong from the start -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        pytest.param({}, "give one of message_ids, manifest", id="no source"),
        pytest.param({"message_ids": " \n"}, "give one of message_ids, manifest", id="blank source"),
        pytest.param(
            {"message_ids": IDS, "manifest": "/m.csv"}, "not message_ids and manifest", id="two sources"
        ),
        pytest.param({"message_ids": "None"}, "message_ids was rendered to the text 'None'", id="ids None"),
        pytest.param({"manifest": " None "}, "manifest was rendered to the text 'None'", id="manifest None"),
        pytest.param({"message_ids": 42}, "message_ids", id="a number for a list"),
        pytest.param({"message_ids": '["a1", "b2"'}, "message_ids", id="half a list"),
        pytest.param({"message_ids": {"message_id": "a1"}}, "message_ids", id="a mapping for a list"),
        pytest.param({"manifest": "m.csv"}, "manifest must be an absolute path", id="relative manifest"),
        pytest.param({"manifest": "local://m.csv"}, "manifest must be an absolute path", id="relative URL"),
        pytest.param({"manifest": "s3://[::1/m.csv"}, "manifest is a URL that can't be read", id="no URL"),
        pytest.param({"manifest": "nope://m.csv"}, "nope://", id="manifest of an unknown scheme"),
        pytest.param({"manifest": "/no/such/folder/m.csv"}, "/no/such/folder/m.csv", id="no such manifest"),
        pytest.param({"manifest": "/no/such/m.xlsx"}, ".csv", id="manifest of another format"),
        pytest.param({"message_ids": IDS, "id_type": "apimsgid"}, "id_type", id="unknown id_type"),
        pytest.param(
            {"message_ids": IDS, "id_type": "client_message_id"},
            "client_message_id",
            id="id_type of another API",
        ),
        pytest.param({"message_ids": IDS, "on_empty": "ignore"}, "on_empty must be one of", id="on_empty"),
        pytest.param(
            {"message_ids": IDS, "fail_on": ["lost"]}, "fail_on must be a list of outcomes", id="fail_on"
        ),
        pytest.param(
            {"message_ids": IDS, "fail_on": "None"}, "fail_on must be a list of outcomes", id="fail_on None"
        ),
        pytest.param({"message_ids": IDS, "max_messages": "many"}, "max_messages must be", id="max_messages"),
        pytest.param(
            {"message_ids": IDS, "max_messages": "None"}, "max_messages must be", id="max_messages None"
        ),
        pytest.param(
            {"message_ids": IDS, "max_messages": -1}, "max_messages must be", id="negative max_messages"
        ),
        pytest.param({"message_ids": IDS, "max_messages": 2.5}, "max_messages must be", id="a fraction"),
        pytest.param(
            {"message_ids": IDS, "give_up_after": "soon"}, "give_up_after must be", id="give_up_after"
        ),
        pytest.param(
            {"message_ids": IDS, "requests_per_second": 0}, "requests_per_second", id="requests_per_second"
        ),
        pytest.param({"message_ids": IDS, "max_concurrency": 1001}, "max_concurrency", id="max_concurrency"),
        pytest.param(
            {"message_ids": IDS, "sms_conn_id": ""}, "sms_conn_id is empty", id="no connection named"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "reports"}, "report_path must be an absolute", id="relative"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "file://reports/x"}, "report_path must be", id="relative URL"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "None"}, "report_path was rendered", id="report None"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "nope://x"}, "report_path: nope://", id="report scheme"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "gs://b/x"}, "report_path: gs://", id="missing provider"
        ),
        pytest.param(
            {"message_ids": IDS, "report_path": "nope://x", "dry_run": True},
            "nope://",
            id="report of a dry run",
        ),
    ],
)
def test_wrong_input_is_refused_before_anything_is_sent(parameters: Row, said: str, play: Play) -> None:
    text = play(**parameters).refused_before_anything()
    assert said in text
    assert "othing was sent" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), (f"{IDS[0]}\n{IDS[1]}\n", "header"), ("to,text\nx,y\n", "message_id")],
    ids=["empty", "header-less", "a missing column"],
)
def test_a_manifest_that_is_unusable_as_a_whole_is_refused(
    content: str, said: str, tmp_path: Path, play: Play
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(content)
    assert said in play(manifest=str(path)).refused_before_anything()


def test_a_manifest_without_rows_is_an_empty_campaign(tmp_path: Path, play: Play) -> None:
    path = tmp_path / "m.csv"
    path.write_text("message_id\n")
    assert "no message to cancel" in play(manifest=str(path)).refused_before_anything()


def test_a_list_without_any_well_formed_id_is_refused_and_the_right_gateway_is_named(play: Play) -> None:
    guids = ["1627aea5-8e0a-4371-9022-9b504344e724", "1627aea5-8e0a-4371-9022-9b504344e725"]
    text = play(sms_conn_id="sms_esendex", message_ids=IDS).refused_before_anything()
    assert "None of the 2 ids" in text
    assert "look like Clickatell's" in text
    text = play(
        sms_conn_id="sms_http", message_ids=[f"{{{guid}}}" for guid in guids]
    ).refused_before_anything()
    assert "None of the 2 ids" in text


def test_numbers_for_ids_are_refused_with_the_advice_to_quote_them(play: Play) -> None:
    text = play(message_ids=[27821234567, 27821234568]).refused_before_anything()
    assert "quote it" in text
    assert "2782123" not in text


def test_a_connection_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch, play: Play) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEB", '{"conn_type": "http", "host": "example.com"}')
    text = play(sms_conn_id="web", message_ids=IDS).refused_before_anything()
    assert "'web' is of type 'http'" in text
    assert "clickatell or esendex" in text


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        pytest.param({"extra": {"speed": 5}}, "'speed'", id="an unknown extra key"),
        pytest.param({"extra": {"timeout": 0}}, "timeout", id="a value out of range"),
        pytest.param({"host": "http://sms.example.com"}, "https", id="plain http to another machine"),
        pytest.param({"password": ""}, "password", id="no token"),
    ],
)
def test_a_wrong_connection_is_refused(
    connection: Row, said: str, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, play: Play
) -> None:
    whole = {"conn_type": "clickatell", "host": sandbox.url, "password": "sandbox-token", **connection}
    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps(whole))
    assert said in play(sms_conn_id="odd", message_ids=IDS).refused_before_anything()


def test_a_campaign_name_never_holds_up_a_campaign(seed: Seed, play: Play) -> None:
    assert play(message_ids=seed(1), campaign=2026).summary["campaign"] == "2026"
    assert play(message_ids=seed(1), campaign="None").summary["campaign"] is None
    assert play(message_ids=seed(1), campaign=" ").summary["campaign"] is None


def test_the_parameters_of_pace_override_the_connection(
    sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    play(sms_conn_id="sms_esendex", message_ids=seed(60, gateway=ESENDEX), requests_per_second=40)
    assert sandbox.state.traffic.summary()["esendex"]["max_per_second"] <= 40
