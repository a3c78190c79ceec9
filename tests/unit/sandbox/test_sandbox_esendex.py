"""Esendex US over REST is served as strictly, and as oddly, as its pages say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
import xmltodict

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer

LICENSE_KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"
OTHER_KEY = "11111111-2222-4333-8444-555555555555"
UNKNOWN = "1627aea5-8e0a-4371-9022-9b504344e724"
ZERO = "00000000-0000-0000-0000-000000000000"
NAMESPACE = "http://schemas.microsoft.com/2003/10/Serialization/"
TRUE_XML = f'<boolean xmlns="{NAMESPACE}">true</boolean>'
FALSE_XML = f'<boolean xmlns="{NAMESPACE}">false</boolean>'

Seed = Callable[..., str]
Truth = Callable[[], dict[str, dict[str, Any]]]
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(sandbox: SandboxServer, session: requests.Session) -> Ask:
    def request(
        method: str, path: str, accept: str | None = "application/json", **settings: Any
    ) -> requests.Response:
        headers = {"Accept": accept, **settings.pop("headers", {})}
        return session.request(method, f"{sandbox.url}/{path}", headers=headers, timeout=10, **settings)

    return request


@pytest.fixture
def stop(ask: Ask) -> Callable[..., requests.Response]:
    """POST a body to CancelMessage."""

    def post(body: str, content_type: str | None = "application/json", **settings: Any) -> requests.Response:
        return ask(
            "POST",
            "messaging.svc/CancelMessage",
            data=body.encode(),
            headers={"Content-Type": content_type},
            **settings,
        )

    return post


def assert_request_error(answer: requests.Response) -> None:
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("text/html")
    assert xmltodict.parse(answer.content)["html"]["head"]["title"] == "Request Error"


def test_a_quoted_guid_is_stopped(stop: Ask, seed: Seed, truth: Truth) -> None:
    message_id = seed("esendex")
    answer = stop(f'"{message_id}"')
    assert (answer.status_code, answer.text) == (200, "true")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert truth()[message_id]["state"] == "cancelled"


def test_a_guid_is_found_in_either_letter_case(stop: Ask, seed: Seed) -> None:
    assert stop(f'"{seed("esendex").upper()}"').text == "true"


def test_an_unquoted_guid_parses_only_when_it_begins_with_a_digit(stop: Ask, seed: Seed) -> None:
    assert stop(seed("esendex", id="1bcdef12-1111-4111-8111-111111111111")).text == "true"
    assert_request_error(stop(seed("esendex", id="abcdef12-1111-4111-8111-111111111111")))


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/xml", "text/xml"])
def test_xml_is_the_default(stop: Ask, seed: Seed, accept: str | None) -> None:
    answer = stop(f'"{seed("esendex")}"', accept=accept)
    assert answer.text == TRUE_XML
    assert answer.headers["Content-Type"].startswith("application/xml")


def test_the_most_wanted_format_counts(stop: Ask, seed: Seed) -> None:
    answer = stop(f'"{seed("esendex")}"', accept="application/xml;q=0.5, application/json")
    assert answer.text == "true"


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml; charset=utf-8"])
def test_an_xml_body_stops_too(stop: Ask, seed: Seed, content_type: str) -> None:
    message_id = seed("esendex")
    body = f'<guid xmlns="{NAMESPACE}">{message_id}</guid>'
    assert stop(body, content_type, accept="application/xml").text == TRUE_XML
    assert stop(body, content_type, accept="application/xml").text == FALSE_XML


def test_a_get_stops_too_whatever_the_letter_case_of_path_and_name(ask: Ask, seed: Seed) -> None:
    for path, name in [
        ("messaging.svc/CancelMessage", "MessageID"),
        ("Messaging.svc/cancelmessage", "messageid"),
        ("MESSAGING.SVC/CANCELMESSAGE", "MESSAGEID"),
    ]:
        assert ask("GET", f"{path}?{name}={seed('esendex')}").text == "true"


@pytest.mark.parametrize("state", ["queued", "sent", "cancelled", "failed"])
def test_false_says_nothing_more(stop: Ask, seed: Seed, truth: Truth, state: str) -> None:
    message_id = seed("esendex", state=state)
    assert stop(f'"{message_id}"').text == "false"
    assert truth()[message_id]["state"] == state


def test_an_unknown_and_an_absent_id_are_false_too(stop: Ask, ask: Ask) -> None:
    assert stop(f'"{UNKNOWN}"').text == "false"
    assert stop(f'"{ZERO}"').text == "false"
    assert stop("").text == "false"
    assert ask("GET", "messaging.svc/CancelMessage").text == "false"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('"1627aea5"', "application/json"),
        ("1627aea58e0a437190229b504344e724", "application/json"),
        ("null", "application/json"),
        ("{}", "application/json"),
        (f'["{UNKNOWN}"]', "application/json"),
        (f'"{UNKNOWN}', "application/json"),
        (f'"{UNKNOWN}"', None),
        (f'"{UNKNOWN}"', "text/plain"),
        (f'"{UNKNOWN}"', "application/xml"),
        (f"<guid>{UNKNOWN}</guid>", "application/xml"),
        (f'<other xmlns="{NAMESPACE}">{UNKNOWN}</other>', "application/xml"),
        (f'<guid xmlns="{NAMESPACE}">nothing</guid>', "application/xml"),
    ],
)
def test_whatever_is_malformed_is_a_request_error_page(
    stop: Ask, body: str, content_type: str | None
) -> None:
    assert_request_error(stop(body, content_type))


@pytest.mark.parametrize(
    "path",
    [
        "CancelMessage?MessageID=",
        "CancelMessage?MessageID=27999000001",
        "GetMessageStatus?MessageID=x",
        f"ReadMessageStatus?LicenseKey={LICENSE_KEY}&MessageId=x",
        f"ReadMessageStatus?LicenseKey=x&MessageId={UNKNOWN}",
        "GetPostbackSettingsForLicenseKey?LicenseKey=x",
        "CancelAllMessages?LicenseKey=x",
    ],
)
def test_a_malformed_query_is_a_request_error_page(ask: Ask, path: str) -> None:
    assert_request_error(ask("GET", f"messaging.svc/{path}"))


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("PUT", "CancelMessage"),
        ("DELETE", "CancelMessage"),
        ("GET", "SendMessage"),
        ("POST", "GetMessageStatus"),
    ],
)
def test_another_method_is_405(ask: Ask, method: str, operation: str) -> None:
    assert ask(method, f"messaging.svc/{operation}").status_code == 405


@pytest.mark.parametrize(
    "path", ["messaging.svc", "messaging.svc/", "messaging.svc/Cancel", "messaging.svcX/WS"]
)
def test_an_unknown_operation_is_a_404_page(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("state", "code", "name"),
    [
        ("queued", 202, "Processing"),
        ("sent", 200, "Sent"),
        ("cancelled", 507, "Cancelled"),
        ("failed", 506, "Failed"),
    ],
)
def test_read_message_status_is_a_number_in_json_and_a_name_in_xml(
    ask: Ask, seed: Seed, state: str, code: int, name: str
) -> None:
    message_id = seed("esendex", state=state)
    path = f"messaging.svc/ReadMessageStatus?LicenseKey={LICENSE_KEY}&MessageId={message_id}"
    in_json = ask("GET", path).json()
    assert (in_json["MessageID"], in_json["MessageStatus"]) == (message_id, code)
    (in_xml,) = xmltodict.parse(ask("GET", path, accept=None).content).values()
    assert (in_xml["MessageID"], in_xml["MessageStatus"]) == (message_id, name)


def test_a_status_that_was_asked_for_is_shown(ask: Ask, seed: Seed) -> None:
    message_id = seed("esendex", state="failed", code="508")
    path = f"messaging.svc/ReadMessageStatus?LicenseKey={LICENSE_KEY}&MessageId={message_id}"
    assert ask("GET", path).json()["MessageStatus"] == 508


def test_read_message_status_knows_wrong_keys_and_unknown_ids(ask: Ask, seed: Seed) -> None:
    message_id = seed("esendex")
    operation = "messaging.svc/ReadMessageStatus"
    wrong_key = ask("GET", f"{operation}?LicenseKey={OTHER_KEY}&MessageId={message_id}").json()
    no_key = ask("GET", f"{operation}?MessageId={message_id}").json()
    unknown_id = ask("GET", f"{operation}?LicenseKey={LICENSE_KEY}&MessageId={UNKNOWN}").json()
    assert [wrong_key["MessageStatus"], no_key["MessageStatus"]] == [401, 401]
    assert unknown_id["MessageStatus"] == 404


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("scheduled", (False, False, False, 0)),
        ("queued", (False, True, False, 0)),
        ("sent", (False, True, True, 0)),
        ("cancelled", (True, False, False, 0)),
        ("failed", (False, False, False, 8)),
    ],
)
def test_get_message_status_needs_no_key(
    ask: Ask, seed: Seed, state: str, expected: tuple[bool, bool, bool, int]
) -> None:
    message_id = seed("esendex", state=state, client_message_id="mine")
    shown = ask("GET", f"messaging.svc/GetMessageStatus?MessageID={message_id}").json()
    assert (shown["Cancelled"], shown["Queued"], shown["Sent"], shown["SMSError"]) == expected
    assert (shown["MessageID"], shown["ReferenceID"]) == (message_id, "mine")
    assert (shown["SentDateTime"] == "/Date(-62135578800000-0500)/") is (state != "sent")


def test_get_message_status_of_an_unknown_id_is_error_7(ask: Ask) -> None:
    path = f"messaging.svc/GetMessageStatus?MessageID={UNKNOWN}"
    assert ask("GET", path).json()["SMSError"] == 7
    in_xml = xmltodict.parse(ask("GET", path, accept="*/*").content)["SMSResponse"]
    assert (in_xml["SMSError"], in_xml["SentDateTime"]) == ("NotFound", "0001-01-01T00:00:00")


def test_the_postback_settings_tell_a_wrong_key(ask: Ask) -> None:
    operation = "messaging.svc/GetPostbackSettingsForLicenseKey"
    assert ask("GET", f"{operation}?LicenseKey={LICENSE_KEY.upper()}").json()[0]["ReturnCode"] == 0
    assert ask("GET", f"{operation}?LicenseKey={OTHER_KEY}").json()[0]["ReturnCode"] == 1
    assert ask("GET", operation).json()[0]["ReturnCode"] == 1


def test_cancel_all_takes_the_licence_key_and_nothing_else(ask: Ask, seed: Seed, truth: Truth) -> None:
    ids = [seed("esendex", state=state) for state in ("scheduled", "queued", "sent")]
    other_gateway = seed("clickatell")
    path, headers = "messaging.svc/CancelAllMessages", {"Content-Type": "application/json"}
    assert ask("POST", path, data=f'"{ids[0]}"', headers=headers).text == "false"
    assert truth()[ids[0]]["state"] == "scheduled"
    assert ask("POST", path, data=f'"{LICENSE_KEY}"', headers=headers).text == "true"
    assert [truth()[message_id]["state"] for message_id in ids] == ["cancelled", "queued", "sent"]
    assert truth()[other_gateway]["state"] == "scheduled"


@pytest.fixture
def send(ask: Ask) -> Ask:
    def post(accept: str = "application/json", **members: Any) -> requests.Response:
        order = {"Body": "Hi", "LicenseKey": LICENSE_KEY, "To": ["7575559999"], "UseMMS": False, **members}
        return ask("POST", "messaging.svc/SendMessage", accept=accept, json=order)

    return post


def date(moment: datetime) -> str:
    return f"/Date({int(moment.timestamp() * 1000)})/"


def test_a_send_with_a_date_schedules_without_a_horizon(send: Ask, truth: Truth) -> None:
    leaves_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=400)
    (entry,) = send(ScheduledDateTime=date(leaves_at), ReferenceID="r1", From="17575550100").json()
    assert set(entry) == {"MessageID", "MessageStatus", "To", "From", "SentTime", "Attachments"}
    assert entry["MessageStatus"] in (0, 201)
    row = truth()[entry["MessageID"]]
    assert (row["state"], row["client_message_id"], row["to"]) == ("scheduled", "r1", "7575559999")
    assert row["scheduled_at"] == leaves_at.isoformat().replace("+00:00", "Z")


def test_a_send_without_a_date_leaves_at_once(send: Ask, truth: Truth) -> None:
    (entry,) = send().json()
    assert truth()[entry["MessageID"]]["state"] == "sent"
    assert re.fullmatch(r"/Date\([0-9]{13}-0500\)/", entry["SentTime"])


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"LicenseKey": OTHER_KEY}, 401),
        ({"LicenseKey": None}, 401),
        ({"ScheduledDateTime": "/Date(9999999999999+0000)/"}, 405),
        ({"ScheduledDateTime": "/Date(9999999999999-0500)/"}, 405),
        ({"To": ["12"]}, 406),
        ({"Body": ""}, 411),
        ({"From": "me"}, 400),
    ],
)
def test_a_refused_send_has_the_all_zero_guid(
    send: Ask, truth: Truth, members: dict[str, Any], status: int
) -> None:
    (entry,) = send(**members).json()
    assert (entry["MessageID"], entry["MessageStatus"]) == (ZERO, status)
    assert truth() == {}


@pytest.mark.parametrize(
    "members",
    [
        {"ScheduledDateTime": "2030-01-01T00:00:00Z"},
        {"ScheduledDateTime": 9999999999999},
        {"LicenseKey": "x"},
        {"To": "7575559999"},
        {"To": [7575559999]},
        {"Body": 5},
    ],
)
def test_a_send_that_can_not_be_digested_is_a_request_error_page(send: Ask, members: dict[str, Any]) -> None:
    assert_request_error(send(**members))


def test_a_send_to_several_answers_one_entry_each_also_in_xml(send: Ask) -> None:
    answer = send("application/xml", To=["7575559999", "12"])
    entries = xmltodict.parse(answer.content)["ArrayOfOutgoingMessageResponse"]["OutgoingMessageResponse"]
    assert [entry["To"] for entry in entries] == ["7575559999", "12"]
    assert entries[0]["MessageStatus"] == "Sent"
    assert entries[1]["MessageStatus"] == "InvalidDestination"


def test_slashes_in_json_are_escaped_as_dotnet_does(send: Ask) -> None:
    text = send().text
    assert r"\/Date(" in text
    json.loads(text)
