"""Clickatell's REST API is served as strictly as its pages say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import xmltodict

if TYPE_CHECKING:
    import requests

    from airflow_provider_smscancel.sandbox.server import SandboxServer

HEADERS = {"X-Version": "1", "Accept": "application/json", "Authorization": "Bearer sandbox-token"}
UNKNOWN = "0123456789abcdef0123456789abcdef"

Seed = Callable[..., str]
Truth = Callable[[], dict[str, dict[str, Any]]]
MoveClock = Callable[[timedelta], datetime]


class Rest:
    def __init__(self, url: str, session: requests.Session) -> None:
        self._url = url + "/rest"
        self._session = session

    def __call__(self, method: str, path: str, *, without: str = "", **settings: Any) -> requests.Response:
        headers = {**HEADERS, **settings.pop("headers", {})}
        headers.pop(without, None)
        if without == "Accept":
            headers["Accept"] = None
        return self._session.request(method, self._url + path, headers=headers, timeout=10, **settings)


@pytest.fixture
def rest(sandbox: SandboxServer, session: requests.Session) -> Rest:
    return Rest(sandbox.url, session)


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_scheduled_message_is_stopped_in_the_vendors_own_words(
    rest: Rest, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    answer = rest("DELETE", f"/message/{message_id}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "data": {
            "messageStatus": "006",
            "description": "User cancelled message delivery",
            "apiMessageId": message_id,
        }
    }
    assert truth()[message_id]["state"] == "cancelled"
    assert truth()[message_id]["cancelled_at"] is not None


def test_xml_is_answered_when_accept_asks_for_it(rest: Rest, seed: Seed) -> None:
    message_id = seed("clickatell")
    answer = rest("DELETE", f"/message/{message_id}", headers={"Accept": "application/xml"})
    assert answer.headers["Content-Type"] == "application/xml"
    assert xmltodict.parse(answer.content) == {
        "response": {
            "data": {
                "messageStatus": "006",
                "description": "User cancelled message delivery",
                "apiMessageId": message_id,
            }
        }
    }


def test_an_error_asked_for_in_xml_comes_in_xml(rest: Rest) -> None:
    answer = rest("DELETE", f"/message/{UNKNOWN}", headers={"Accept": "application/xml"})
    assert xmltodict.parse(answer.content)["response"]["error"]["code"] == "161"


@pytest.mark.parametrize("version", [None, "2", "1.0", ""])
def test_a_missing_or_other_version_is_165(rest: Rest, seed: Seed, truth: Truth, version: str | None) -> None:
    message_id = seed("clickatell")
    answer = rest("DELETE", f"/message/{message_id}", headers={"X-Version": version})
    assert error_of(answer) == (400, "165")
    assert truth()[message_id]["state"] == "scheduled"


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/jsonx"])
def test_an_accept_header_that_names_no_known_format_is_166(
    rest: Rest, seed: Seed, accept: str | None
) -> None:
    without = "Accept" if accept is None else ""
    answer = rest("DELETE", f"/message/{seed('clickatell')}", without=without, headers={"Accept": accept})
    assert error_of(answer) == (400, "166")


@pytest.mark.parametrize("token", [None, "Bearer other", "sandbox-token", "Basic c2FuZGJveA==", "Bearer"])
def test_a_missing_or_wrong_token_is_401_with_001(
    rest: Rest, seed: Seed, truth: Truth, token: str | None
) -> None:
    message_id = seed("clickatell")
    answer = rest("DELETE", f"/message/{message_id}", headers={"Authorization": token})
    assert error_of(answer) == (401, "001")
    assert truth()[message_id]["state"] == "scheduled"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/message/{UNKNOWN}"),
        ("PUT", "/message"),
        ("GET", "/message"),
        ("DELETE", "/account/balance"),
    ],
)
def test_another_method_is_405_with_160(rest: Rest, method: str, path: str) -> None:
    assert error_of(rest(method, path)) == (405, "160")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_send_with_another_content_type_is_167(rest: Rest, content_type: str | None) -> None:
    answer = rest("POST", "/message", data=b"{}", headers={"Content-Type": content_type})
    assert error_of(answer) == (400, "167")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/message/" + UNKNOWN, (404, "161")),
        ("/message/a%20b", (400, "101")),
        ("/message/" + "a" * 65, (400, "101")),
        ("/message/", (400, "109")),
        ("/messages/" + UNKNOWN, (404, "161")),
    ],
)
def test_a_stop_of_what_there_is_not_is_refused(rest: Rest, path: str, expected: tuple[int, str]) -> None:
    assert error_of(rest("DELETE", path)) == expected


def test_a_status_query_for_an_unknown_id_is_status_001(rest: Rest) -> None:
    answer = rest("GET", f"/message/{UNKNOWN}")
    assert (answer.status_code, answer.json()["data"]["messageStatus"]) == (200, "001")


def test_an_id_is_found_in_either_letter_case(rest: Rest, seed: Seed) -> None:
    message_id = seed("clickatell", id="ABCDEF6789abcdef0123456789abcdef")
    assert rest("DELETE", f"/message/{message_id.swapcase()}").json()["data"]["messageStatus"] == "006"


def test_a_second_stop_answers_006_again(rest: Rest, seed: Seed, truth: Truth) -> None:
    message_id = seed("clickatell")
    rest("DELETE", f"/message/{message_id}")
    first = truth()[message_id]
    assert rest("DELETE", f"/message/{message_id}").json()["data"]["messageStatus"] == "006"
    assert truth()[message_id]["cancelled_at"] == first["cancelled_at"]
    assert truth()[message_id]["stop_requests"] == 2


def test_a_queued_message_can_still_be_stopped(rest: Rest, seed: Seed, truth: Truth) -> None:
    message_id = seed("clickatell", state="queued")
    assert rest("DELETE", f"/message/{message_id}").json()["data"]["messageStatus"] == "006"
    assert truth()[message_id]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("state", "given", "code"),
    [("sent", None, "003"), ("sent", "004", "004"), ("failed", None, "005"), ("failed", "012", "012")],
)
def test_a_stop_that_comes_too_late_looks_like_a_success(
    rest: Rest, seed: Seed, truth: Truth, state: str, given: str | None, code: str
) -> None:
    message_id = seed("clickatell", state=state, code=given)
    answer = rest("DELETE", f"/message/{message_id}")
    assert answer.status_code == 200
    assert answer.json()["data"]["messageStatus"] == code
    assert truth()[message_id]["state"] == state


def test_a_message_leaves_at_its_time_and_is_then_received(
    rest: Rest, seed: Seed, truth: Truth, move_clock: MoveClock
) -> None:
    leaves_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    message_id = seed("clickatell", scheduled_at=leaves_at.isoformat())
    seen = []
    for step in (timedelta(0), timedelta(hours=2)):
        move_clock(step)
        seen.append(rest("GET", f"/message/{message_id}").json()["data"]["messageStatus"])
    assert seen == ["011", "004"]
    assert truth()[message_id]["sent_at"] == leaves_at.isoformat().replace("+00:00", "Z")


def send(rest: Rest, **members: Any) -> requests.Response:
    return rest("POST", "/message", json={"text": "Hello", "to": ["27999000001"], **members})


def test_a_send_with_a_time_schedules(rest: Rest, truth: Truth) -> None:
    leaves_at = (datetime.now(UTC) + timedelta(days=6)).replace(microsecond=0)
    answer = send(rest, scheduledDeliveryTime=leaves_at.strftime("%Y-%m-%dT%H:%M:%SZ"), clientMessageId="c1")
    assert answer.status_code == 202
    (entry,) = answer.json()["data"]["message"]
    assert (entry["accepted"], entry["to"]) == (True, "27999000001")
    assert len(entry["apiMessageId"]) == 32
    row = truth()[entry["apiMessageId"]]
    assert (row["state"], row["client_message_id"], row["to"]) == ("scheduled", "c1", "27999000001")
    assert row["scheduled_at"] == leaves_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_send_without_a_time_leaves_at_once(rest: Rest, truth: Truth) -> None:
    (entry,) = send(rest).json()["data"]["message"]
    assert truth()[entry["apiMessageId"]]["state"] == "sent"


def test_recipients_that_differ_are_answered_with_207(rest: Rest) -> None:
    answer = send(rest, to=["27999000001", "12", "0799000001"])
    assert answer.status_code == 207
    entries = answer.json()["data"]["message"]
    assert [entry["accepted"] for entry in entries] == [True, False, False]
    assert [entry["error"]["code"] for entry in entries[1:]] == ["105", "114"]
    assert entries[1]["apiMessageId"] == ""


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"clientMessageId": "a b"}, (400, "120")),
        ({"scheduledDeliveryTime": "2999-01-01T00:00:00Z"}, (400, "101")),
        ({"scheduledDeliveryTime": "2015-01-01T13:00:00"}, (400, "101")),
        ({"scheduledDeliveryTime": "tomorrow"}, (400, "101")),
        ({"scheduledDeliveryTime": 5}, (400, "101")),
        ({"to": []}, (400, "101")),
        ({"to": "27999000001"}, (400, "101")),
        ({"text": ""}, (400, "101")),
    ],
)
def test_a_send_that_makes_no_sense_is_refused_whole(
    rest: Rest, truth: Truth, members: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert error_of(send(rest, **members)) == expected
    assert truth() == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_100(rest: Rest, body: bytes) -> None:
    answer = rest("POST", "/message", data=body, headers={"Content-Type": "application/json"})
    assert error_of(answer) == (400, "100")


def test_the_balance_is_a_text(rest: Rest) -> None:
    assert rest("GET", "/account/balance").json() == {"data": {"balance": "300.50"}}
    in_xml = rest("GET", "/account/balance", headers={"Accept": "application/xml"})
    assert xmltodict.parse(in_xml.content) == {"response": {"data": {"balance": "300.50"}}}
