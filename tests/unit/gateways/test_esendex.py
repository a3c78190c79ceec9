"""Esendex US: the requests it is sent, and what its answers mean."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html import escape
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.gateways import esendex_soap
from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, SentMessage, Verdict
from airflow_provider_smscancel.gateways.esendex import REQUEST_FORMATS, EsendexUs

BASE = "https://messaging.esendex.us"
ID = "1627aea5-8e0a-4371-9022-9b504344e724"
OTHER_ID = "d73cd74b-8687-4701-8f03-f75b4d4d860d"
ZERO = "00000000-0000-0000-0000-000000000000"
KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"
SERIALIZATION = "http://schemas.microsoft.com/2003/10/Serialization/"
BY_ID = IdType.MESSAGE_ID


def esendex(request_format: str = "json", licence_key: str = KEY) -> EsendexUs:
    return EsendexUs(base_url=BASE, licence_key=licence_key, request_format=request_format)


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    """Pack a body: bytes and text as they are, anything else as JSON."""
    if isinstance(body, str):
        body = body.encode()
    return Answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def as_xml(root: str, record: dict) -> str:
    """Encode a record as the service does: booleans in lower case, null as an empty element."""
    texts = {True: "true", False: "false", None: ""}
    children = "".join(
        f"<{name}>{texts[value] if isinstance(value, bool | None) else escape(str(value))}</{name}>"
        for name, value in record.items()
    )
    return f'<{root} xmlns="http://sms2.cdyne.com">{children}</{root}>'


def keyless(**changed: object) -> dict:
    record = {
        "Cancelled": False,
        "MessageID": ID,
        "Queued": False,
        "ReferenceID": None,
        "SMSError": 0,
        "Sent": False,
        "SentDateTime": "/Date(-62135578800000-0500)/",
    }
    return {name: value for name, value in (record | changed).items() if value != "absent"}


def full(**changed: object) -> dict:
    record = {
        "Attachments": None,
        "From": "17575550000",
        "MessageID": ID,
        "MessageStatus": 201,
        "SentTime": None,
        "To": "17575559999",
    }
    return {name: value for name, value in (record | changed).items() if value != "absent"}


def read_status(body: object, status: int = 200, message_id: str = ID) -> Verdict:
    return esendex().read_status(message_id, BY_ID, answer(body, status))


# The connection


def test_the_base_url_has_no_trailing_slash():
    assert EsendexUs(base_url=BASE + "/").base_url == BASE
    assert EsendexUs(base_url=BASE + "/").stop(ID, BY_ID).url == f"{BASE}/Messaging.svc/CancelMessage"


def test_an_unknown_request_format_is_refused():
    with pytest.raises(ValueError, match=r"request_format.*json, xml, get, soap"):
        EsendexUs(base_url=BASE, request_format="yaml")


def test_the_licence_key_is_a_secret_and_not_in_the_repr():
    assert list(esendex().secrets) == [KEY]
    assert list(esendex(licence_key="").secrets) == []
    assert KEY not in repr(esendex())


def test_the_full_status_needs_a_licence_key():
    assert esendex().has_full_status is True
    assert esendex(licence_key="").has_full_status is False
    assert esendex(licence_key="").status(ID, BY_ID, full=True) == esendex().status(ID, BY_ID)


# Ids


@pytest.mark.parametrize("message_id", [ID, ID.upper(), "abcdef00-0000-0000-0000-000000000001"])
def test_a_guid_may_be_sent(message_id):
    assert esendex().id_error(message_id, BY_ID) is None
    assert esendex(licence_key="").id_error(message_id, BY_ID) is None


def test_a_clickatell_id_is_recognised():
    assert "Clickatell" in esendex().id_error(ID.replace("-", ""), BY_ID)


def test_there_are_no_client_message_ids():
    assert esendex().id_error(ID, IdType.CLIENT_MESSAGE_ID) is not None
    assert esendex().id_types == {BY_ID}


def test_ids_compare_without_regard_to_case():
    assert esendex().canonical_id(ID.upper(), BY_ID) == ID


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=100)
def test_what_is_no_guid_is_refused_without_echoing_it(text):
    error = esendex().id_error(text, BY_ID)
    assert error is not None
    assert len(text) < 12 or text not in error


# The stop


def test_a_stop_in_json():
    request = esendex("json").stop(ID, BY_ID)
    assert (request.method, request.url) == ("POST", f"{BASE}/Messaging.svc/CancelMessage")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert json.loads(request.body) == ID


def test_a_stop_in_xml():
    request = esendex("xml").stop(ID, BY_ID)
    assert (request.method, request.url) == ("POST", f"{BASE}/Messaging.svc/CancelMessage")
    assert request.headers == {"Accept": "application/xml", "Content-Type": "application/xml"}
    root = ET.fromstring(request.body)
    assert (root.tag, root.text) == (f"{{{SERIALIZATION}}}guid", ID)


def test_a_stop_by_get():
    request = esendex("get").stop(ID, BY_ID)
    url = urlsplit(request.url)
    assert (request.method, url.path, request.body) == ("GET", "/Messaging.svc/CancelMessage", None)
    assert parse_qs(url.query) == {"MessageID": [ID]}
    assert request.headers == {"Accept": "application/json"}


def test_a_stop_by_soap():
    request = esendex("soap").stop(ID, BY_ID)
    assert (request.method, request.url) == ("POST", f"{BASE}/Messaging.svc/WS")
    assert ID.encode() in request.body


@pytest.mark.parametrize("request_format", REQUEST_FORMATS)
def test_ids_are_quoted_though_they_are_checked(request_format):
    nasty = "\"'<&>?#/%\n"
    request = esendex(request_format).stop(nasty, BY_ID)
    if request.body is None:
        assert parse_qs(urlsplit(request.url).query) == {"MessageID": [nasty]}
    elif request_format == "json":
        assert json.loads(request.body) == nasty
    else:
        assert nasty in ["".join(node.itertext()) for node in ET.fromstring(request.body).iter()]
    assert parse_qs(urlsplit(esendex().status(nasty, BY_ID).url).query) == {"MessageID": [nasty]}


STOP_ANSWERS = {
    "json": lambda stopped: json.dumps(stopped),
    "get": lambda stopped: json.dumps(stopped),
    "xml": lambda stopped: f'<boolean xmlns="{SERIALIZATION}">{json.dumps(stopped)}</boolean>',
    "soap": lambda stopped: (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
        f"<a:RelatesTo>{esendex_soap.request_id(ID)}</a:RelatesTo></s:Header><s:Body>"
        '<CancelMessageResponse xmlns="http://sms2.cdyne.com"><CancelMessageResult>'
        f"{json.dumps(stopped)}</CancelMessageResult></CancelMessageResponse></s:Body></s:Envelope>"
    ),
}


@pytest.mark.parametrize("encoded_as", REQUEST_FORMATS)
@pytest.mark.parametrize("asked_in", REQUEST_FORMATS)
@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_stops_answer_is_read_in_every_format(asked_in, encoded_as, status):
    for stopped, finding in ((True, Finding.CANCELLED), (False, Finding.NOT_STOPPED)):
        verdict = esendex(asked_in).read_stop(ID, BY_ID, answer(STOP_ANSWERS[encoded_as](stopped), status))
        assert (verdict.finding, verdict.code) == (finding, json.dumps(stopped))
        assert verdict.http_status == status
        assert verdict.detail


@pytest.mark.parametrize("encoded_as", REQUEST_FORMATS)
@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (301, Finding.UNREADABLE),
        (304, Finding.UNREADABLE),
        (400, Finding.UNREADABLE),
        (401, Finding.UNREADABLE),
        (403, Finding.UNREADABLE),
        (404, Finding.UNREADABLE),
        (405, Finding.UNREADABLE),
        (429, Finding.BUSY),
        (500, Finding.FAULT),
        (502, Finding.FAULT),
        (503, Finding.FAULT),
    ],
)
def test_a_boolean_counts_only_with_a_2xx_status(encoded_as, status, finding):
    verdict = esendex().read_stop(ID, BY_ID, answer(STOP_ANSWERS[encoded_as](True), status))
    assert (verdict.finding, verdict.code, verdict.http_status) == (finding, None, status)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "null",
        "truee",
        "true true",
        "{}",
        "[]",
        "<boolean/>",
        "<boolean>TRUE</boolean>",
        "<boolean>true",
        "<boolean><x>true</x></boolean>",
        "<boolean>true<x/></boolean>",
        "<Boolean>true</Boolean>",
        "<string>true</string>",
        "<r><boolean>true</boolean></r>",
        '<!DOCTYPE b [<!ENTITY t "true">]><boolean>&t;</boolean>',
        "\x00true",
    ],
)
def test_what_is_no_boolean_is_unreadable(body):
    verdict = esendex().read_stop(ID, BY_ID, answer(body))
    assert (verdict.finding, verdict.code) == (Finding.UNREADABLE, None)


def test_retry_after_is_passed_on():
    verdict = esendex().read_stop(ID, BY_ID, answer(b"", 503, **{"Retry-After": "120"}))
    assert (verdict.finding, verdict.retry_after) == (Finding.FAULT, "120")


# The status


def test_the_default_status_is_the_call_without_a_key():
    request = esendex().status(ID, BY_ID)
    assert (request.method, request.body) == ("GET", None)
    assert request.url == f"{BASE}/Messaging.svc/GetMessageStatus?MessageID={ID}"
    assert request.headers == {"Accept": "application/json"}


def test_the_full_status_is_read_message_status():
    url = urlsplit(esendex(licence_key="a&b").status(ID, BY_ID, full=True).url)
    assert url.path == "/Messaging.svc/ReadMessageStatus"
    assert parse_qs(url.query) == {"LicenseKey": ["a&b"], "MessageId": [ID]}


KEYLESS_ROWS = [
    (keyless(), Finding.PENDING, "pending"),
    (keyless(Cancelled=True), Finding.CANCELLED, "cancelled"),
    (keyless(Sent=True), Finding.SENT, "sent"),
    (keyless(Queued=True), Finding.SENT, "queued"),
    (keyless(Sent=True, Queued=True), Finding.SENT, "sent"),
    (keyless(Sent=True, Cancelled=True), Finding.UNREADABLE, None),
    (keyless(Queued=True, Cancelled=True), Finding.UNREADABLE, None),
    (keyless(Sent=True, SMSError=1), Finding.SENT, "sent"),
    (keyless(Cancelled=True, SMSError=3), Finding.CANCELLED, "cancelled"),
    (keyless(Cancelled=True, SMSError=7), Finding.UNREADABLE, None),
    (keyless(SMSError=7), Finding.UNKNOWN_ID, "SMSError 7"),
    (keyless(SMSError=7, MessageID=ZERO), Finding.UNKNOWN_ID, "SMSError 7"),
    (keyless(SMSError=7, MessageID="absent"), Finding.UNKNOWN_ID, "SMSError 7"),
    (keyless(SMSError=7, MessageID=None), Finding.UNKNOWN_ID, "SMSError 7"),
    (keyless(SMSError=7, MessageID=OTHER_ID), Finding.UNREADABLE, None),
    (keyless(SMSError=7, MessageID=ZERO, Cancelled=True), Finding.UNREADABLE, None),
    *(
        (keyless(SMSError=number), Finding.DEAD, f"SMSError {number}")
        for number in (1, 2, 3, 4, 5, 6, 8, 9, 10)
    ),
    (keyless(SMSError=-1), Finding.UNREADABLE, None),
    (keyless(SMSError=None), Finding.UNREADABLE, None),
    (keyless(SMSError="555 123 4567"), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, MessageID=OTHER_ID), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, MessageID=ZERO), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, MessageID="absent"), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, Sent="absent"), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, Queued=None), Finding.UNREADABLE, None),
    (keyless(Cancelled="yes"), Finding.UNREADABLE, None),
    (keyless(Cancelled="absent"), Finding.UNREADABLE, None),
    (keyless(Sent="absent", SMSError=3), Finding.UNREADABLE, None),
    (keyless(SMSError="absent"), Finding.UNREADABLE, None),
    (keyless(Cancelled=True, MessageID=ID.upper()), Finding.CANCELLED, "cancelled"),
]


@pytest.mark.parametrize(("record", "finding", "code"), KEYLESS_ROWS)
def test_the_status_without_a_key_in_json_and_in_xml(record, finding, code):
    for body in (record, as_xml("SMSResponse", record), "\ufeff" + as_xml("SMSResponse", record)):
        verdict = read_status(body)
        assert (verdict.finding, verdict.code) == (finding, code)


@pytest.mark.parametrize("text", ["true", "True", 1, [True], {"a": True}])
def test_in_json_only_a_boolean_is_a_boolean(text):
    assert read_status(keyless(Cancelled=text)).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    "spelling", ["NotFound", "notfound", "NOTFOUND", "MessageIDNotFound", "Not_Found", "7"]
)
def test_not_found_by_name(spelling):
    verdict = read_status(as_xml("SMSResponse", keyless(SMSError=spelling, MessageID=ZERO)))
    assert (verdict.finding, verdict.code) == (Finding.UNKNOWN_ID, "SMSError 7")


@pytest.mark.parametrize(
    ("spelling", "finding", "code"),
    [
        ("NoError", Finding.PENDING, "pending"),
        ("noerror", Finding.PENDING, "pending"),
        ("None", Finding.PENDING, "pending"),
        ("STOPfromPhoneNumber", Finding.DEAD, "SMSError 1"),
        ("phonenumberinvalid", Finding.DEAD, "SMSError 3"),
        ("SomethingNew", Finding.DEAD, "SMSError"),
        ("15551234567", Finding.UNREADABLE, None),
    ],
)
def test_errors_by_name(spelling, finding, code):
    verdict = read_status(as_xml("SMSResponse", keyless(SMSError=spelling)))
    assert (verdict.finding, verdict.code) == (finding, code)


FULL_STATUSES = [
    (0, "Hold", Finding.PENDING),
    (200, "Sent", Finding.SENT),
    (201, "Ready", Finding.PENDING),
    (202, "Processing", Finding.SENT),
    (400, "InvalidDID", Finding.DEAD),
    (401, "InvalidLicenseKey", Finding.ACCOUNT),
    (402, "AccountSuspended", Finding.ACCOUNT),
    (403, "StopOnPhoneNumber", Finding.DEAD),
    (404, "MissingDIDOrInvalidMessageID", Finding.UNKNOWN_ID),
    (405, "InvalidDateTime", Finding.DEAD),
    (406, "InvalidDestination", Finding.DEAD),
    (411, "NoMessage", Finding.DEAD),
    (413, "MessageExceedsLimit", Finding.DEAD),
    (506, "Failed", Finding.DEAD),
    (507, "Cancelled", Finding.CANCELLED),
    (508, "FailedByProvider", Finding.DEAD),
]


@pytest.mark.parametrize(("number", "name", "finding"), FULL_STATUSES)
def test_the_full_status_in_json_and_in_xml(number, name, finding):
    bodies = [full(MessageStatus=number)]
    bodies += [
        as_xml("OutgoingMessageResponse", full(MessageStatus=spelling))
        for spelling in (name, name.lower(), name.upper(), number)
    ]
    for body in bodies:
        verdict = read_status(body)
        assert (verdict.finding, verdict.code) == (finding, str(number))
        assert name in verdict.detail


@pytest.mark.parametrize(("number", "name", "finding"), FULL_STATUSES)
def test_the_full_status_must_name_the_message(number, name, finding):
    assert read_status(full(MessageStatus=number, MessageID=ID.upper())).finding is finding
    assert read_status(full(MessageStatus=number, MessageID=OTHER_ID)).finding is Finding.UNREADABLE
    nobodys = finding if finding in (Finding.UNKNOWN_ID, Finding.ACCOUNT) else Finding.UNREADABLE
    for nobody in (ZERO, None, "absent"):
        assert read_status(full(MessageStatus=number, MessageID=nobody)).finding is nobodys


@pytest.mark.parametrize(
    "value", [1, 203, 5070, -507, 507.5, True, None, "", "NotCancelled", [507], "\uff15\uff10\uff17"]
)
def test_an_undocumented_status_is_unreadable(value):
    verdict = read_status(full(MessageStatus=value))
    assert (verdict.finding, verdict.code) == (Finding.UNREADABLE, None)


@pytest.mark.parametrize(
    "body",
    [
        b"true",
        b"[]",
        b"{}",
        b"",
        json.dumps([full(MessageStatus=507)]),
        full(MessageStatus=507) | keyless(Cancelled=True),
        "<boolean>true</boolean>",
        "<a><b>" + as_xml("SMSResponse", keyless(Cancelled=True)) + "</b></a>",
        json.dumps({"SMSResponse": keyless(Cancelled=True)}),
    ],
)
def test_what_has_not_the_shape_of_a_status_is_unreadable(body):
    assert read_status(body).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    ("status", "finding"),
    [(429, Finding.BUSY), (500, Finding.FAULT), (404, Finding.UNREADABLE), (401, Finding.UNREADABLE)],
)
def test_a_status_counts_only_with_a_2xx_status(status, finding):
    for record in (full(MessageStatus=507), keyless(Cancelled=True)):
        assert read_status(record, status).finding is finding


# The account


def test_the_account_check_is_read_only_and_needs_the_key():
    assert esendex(licence_key="").account_check() is None
    request = esendex(licence_key="a&b").account_check()
    url = urlsplit(request.url)
    assert (request.method, url.path) == ("GET", "/Messaging.svc/GetPostbackSettingsForLicenseKey")
    assert parse_qs(url.query) == {"LicenseKey": ["a&b"]}


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        ([{"PostbackUrl": "", "ReturnCode": 0}], Finding.ACCEPTED),
        ({"ReturnCode": 0}, Finding.ACCEPTED),
        ([{"ReturnCode": 5}], Finding.ACCEPTED),
        ([{"ReturnCode": 0}, {"ReturnCode": 0}], Finding.ACCEPTED),
        ([{"ReturnCode": 1}], Finding.ACCOUNT),
        ({"ReturnCode": 1}, Finding.ACCOUNT),
        ([{"ReturnCode": 0}, {"ReturnCode": 1}], Finding.ACCOUNT),
        ("<A><P><ReturnCode>0</ReturnCode><X/></P></A>", Finding.ACCEPTED),
        (
            "<A><P><ReturnCode>NoError</ReturnCode></P><P><ReturnCode>NotFound</ReturnCode></P></A>",
            Finding.ACCEPTED,
        ),
        ("<A><P><ReturnCode>InvalidLicenseKey</ReturnCode><X/></P></A>", Finding.ACCOUNT),
        ("<A><P><ReturnCode>1</ReturnCode></P></A>", Finding.ACCOUNT),
        ([], Finding.UNREADABLE),
        ([{}], Finding.UNREADABLE),
        ([1], Finding.UNREADABLE),
        (True, Finding.UNREADABLE),
        ({"ReturnCode": True}, Finding.UNREADABLE),
        ({"ReturnCode": None}, Finding.UNREADABLE),
        ("<html><body><p>hello</p></body></html>", Finding.UNREADABLE),
        ("", Finding.UNREADABLE),
    ],
)
def test_only_return_code_1_refuses_the_account(body, finding):
    assert esendex().read_account_check(answer(body)).finding is finding


@pytest.mark.parametrize(
    ("status", "finding"), [(404, Finding.UNREADABLE), (500, Finding.FAULT), (429, Finding.BUSY)]
)
def test_the_account_check_counts_only_with_a_2xx_status(status, finding):
    assert esendex().read_account_check(answer([{"ReturnCode": 1}], status)).finding is finding


# Sending


def send(to=("17575559999",), text="hello", scheduled_at=None, client_message_id=None, licence_key=KEY):
    return esendex(licence_key=licence_key).send(
        list(to), text, scheduled_at=scheduled_at, client_message_id=client_message_id
    )


def test_a_scheduled_send():
    request = send(
        ["+1 (757) 555-9999", "757.555.8888"],
        "grüß \ud83d",
        datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC),
        "ref-1",
    )
    assert (request.method, request.url) == ("POST", f"{BASE}/Messaging.svc/SendMessage")
    assert request.headers == {"Accept": "application/json", "Content-Type": "application/json"}
    assert json.loads(request.body) == {
        "Body": "grüß \ud83d",
        "LicenseKey": KEY,
        "To": ["+17575559999", "7575558888"],
        "UseMMS": False,
        "ScheduledDateTime": "/Date(2000000000000)/",
        "ReferenceID": "ref-1",
    }


def test_a_send_at_once_without_a_reference_says_nothing_of_either():
    assert set(json.loads(send().body)) == {"Body", "LicenseKey", "To", "UseMMS"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"licence_key": ""}, "licence key"),
        ({"scheduled_at": datetime(2033, 1, 1)}, "timezone"),  # noqa: DTZ001 (what is refused)
        ({"to": []}, "no recipient"),
        ({"to": ["17575559999", "my-secret-number"]}, "recipient 2"),
        ({"to": ["1757555999९"]}, "recipient 1"),
        ({"to": [""]}, "recipient 1"),
        ({"to": ["1+7575559999"]}, "recipient 1"),
        ({"text": ""}, "text"),
    ],
)
def test_an_impossible_send_is_refused_without_echoing_a_number(arguments, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        send(**arguments)
    assert "secret" not in str(caught.value)
    assert "757" not in str(caught.value)


def read_send(to, body, status=200):
    return esendex().read_send(to, answer(body, status))


def test_recipients_are_matched_by_their_numbers():
    to = ["+1 757 555 0001", "7575550002", "447700900123"]
    records = [
        full(To="011447700900123", MessageID=OTHER_ID),
        full(To="17575550002", MessageStatus=406, MessageID=ZERO),
        full(To="7575550001"),
    ]
    one, two, three = read_send(to, records)
    assert one == SentMessage(ID, None, to[0])
    assert (two.message_id, two.to) == (None, to[1])
    assert "406 InvalidDestination" in two.error
    assert three == SentMessage(OTHER_ID, None, to[2])


def test_recipients_without_a_number_are_matched_by_order():
    records = [full(To=None), full(To="absent", MessageID=OTHER_ID)]
    assert [one.message_id for one in read_send(["7575550001", "7575550002"], records)] == [ID, OTHER_ID]


def test_the_same_recipient_twice_gets_both_ids():
    records = [full(), full(MessageID=OTHER_ID)]
    assert [one.message_id for one in read_send(["17575559999"] * 2, records)] == [ID, OTHER_ID]


def test_a_recipient_whom_the_answer_does_not_mention_does_not_cost_the_others_their_ids():
    one, two = read_send(["7575550001", "17575559999"], [full()])
    assert (one.message_id, two.message_id) == (None, ID)
    assert "may have been sent" in one.error


@pytest.mark.parametrize(
    ("to", "records"),
    [
        (["7575550001", "7575550002"], [full(To=None)]),
        (["7575550001"], [full(To=None), full(To=None)]),
        (["7575550001"], [full(To="7575550002")]),
        (["7575550001"], [full(To="7575550001"), full(To="7575550001")]),
    ],
)
def test_recipients_that_do_not_match_make_the_answer_unreadable(to, records):
    verdict = read_send(to, records)
    assert verdict.finding is Finding.UNREADABLE
    assert "757" not in f"{verdict}"


@pytest.mark.parametrize(
    ("record", "message_id"),
    [
        (full(MessageStatus=0), ID),
        (full(MessageStatus=200), ID),
        (full(MessageStatus=202), ID),
        (full(MessageStatus=999), ID),
        (full(MessageStatus="absent"), ID),
        (full(MessageStatus=506), None),
        (full(MessageStatus=507), None),
        (full(MessageStatus=401), None),
        (full(MessageID=ZERO), None),
        (full(MessageID=None), None),
        (full(MessageID="nonsense"), None),
        (full(MessageID=12), None),
    ],
)
def test_one_recipients_outcome(record, message_id):
    one, other = read_send(["17575559999", "7575550001"], [record, full(To="7575550001")])
    assert one.message_id == message_id
    assert (one.error is None) == (message_id is not None)
    assert other.message_id == ID


@pytest.mark.parametrize("number", [401, 402])
def test_a_send_refused_for_the_account_is_about_the_account(number):
    records = [full(MessageStatus=number, MessageID=ZERO, To=None)]
    verdict = read_send(["7575550001", "7575550002"], records)
    assert (verdict.finding, verdict.code) == (Finding.ACCOUNT, str(number))


@pytest.mark.parametrize(
    "body", ["", "true", "[]", "{}", "[{}]", "[1]", '"x"', "<html><body><p>x</p></body></html>"]
)
def test_what_is_no_answer_to_a_send_is_unreadable(body):
    assert read_send(["7575550001"], body).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (400, "<html><title>Request Error</title></html>", Finding.FAULT),
        (500, [full()], Finding.FAULT),
        (429, [full()], Finding.BUSY),
        (404, [full()], Finding.UNREADABLE),
    ],
)
def test_a_send_counts_only_with_a_2xx_status(status, body, finding):
    assert read_send(["17575559999"], body, status).finding is finding


def test_a_sent_number_is_not_in_the_repr():
    assert "757" not in repr(read_send(["17575559999"], [full(MessageID=OTHER_ID)]))


# Cancelling everything


def test_cancel_all_posts_the_licence_key():
    request = esendex().cancel_all()
    assert (request.method, request.url) == ("POST", f"{BASE}/Messaging.svc/CancelAllMessages")
    assert json.loads(request.body) == KEY


def test_cancel_all_needs_the_licence_key():
    with pytest.raises(ValueError, match="licence key"):
        esendex(licence_key="").cancel_all()


def test_cancel_alls_answer_is_a_boolean_or_says_why_not():
    assert esendex().read_cancel_all(answer(b"true")) is True
    assert esendex().read_cancel_all(answer(b"false")) is False
    assert esendex().read_cancel_all(answer(STOP_ANSWERS["xml"](False))) is False
    assert esendex().read_cancel_all(answer(b'"true"')).finding is Finding.UNREADABLE
    assert esendex().read_cancel_all(answer(b"true", 500)).finding is Finding.FAULT


# Noise


def is_a_confirmed_stop(status: int, body: bytes) -> bool:
    """Say independently, and generously, whether some reader could take this for a confirmed stop of ID."""
    if not 200 <= status <= 299:
        return False
    try:
        if json.loads(body.decode("utf-8-sig")) is True:
            return True
    except (ValueError, RecursionError):
        pass
    try:
        root = ET.fromstring(body.removeprefix(b"\xef\xbb\xbf").strip())
    except (ET.ParseError, ValueError, LookupError):
        return False
    local = {node: node.tag.rpartition("}")[2].rpartition(":")[2] for node in root.iter()}
    if any(
        local[node] == "RelatesTo" and (node.text or "").strip().lower() != esendex_soap.request_id(ID)
        for node in local
    ):
        return False
    said = [(node.text or "").strip() for node in local if local[node] in ("boolean", "CancelMessageResult")]
    return len(said) == 1 and said[0] in ("true", "1")


def mutated(sample: bytes):
    """Cut a valid answer somewhere and put some other bytes in between."""
    edges = st.integers(0, len(sample))
    filler = st.one_of(
        st.binary(max_size=8), st.sampled_from([b"true", b"false", b"<x/>", b"&#49;", b" ", b"1", b"0"])
    )
    return st.builds(lambda i, j, new: sample[: min(i, j)] + new + sample[max(i, j) :], edges, edges, filler)


SAMPLES = [STOP_ANSWERS[name](stopped).encode() for name in REQUEST_FORMATS for stopped in (True, False)]
NOISE = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(SAMPLES).flatmap(mutated),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*full(), *keyless(), "ReturnCode"]), inner, max_size=7)
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
)
STATUSES = st.sampled_from([200, 200, 200, 204, 299, 301, 400, 401, 404, 429, 500, 503])


@given(STATUSES, NOISE)
@settings(deadline=None, max_examples=500)
def test_noise_is_survived_and_never_taken_for_a_confirmed_stop(status, body):
    noise = answer(body, status)
    verdict = esendex().read_stop(ID, BY_ID, noise)
    assert verdict.finding is not Finding.CANCELLED or is_a_confirmed_stop(status, body)
    assert isinstance(esendex().read_account_check(noise), Verdict)
    assert isinstance(esendex().read_send(["17575559999"], noise), Verdict | list)
    assert isinstance(esendex().read_cancel_all(noise), Verdict | bool)
    assert isinstance(esendex().read_status(ID, BY_ID, noise), Verdict)


ANY_VALUE = st.sampled_from(
    [True, False, None, "absent", "true", "false", "", 0, 1, 7, 200, 507, "Cancelled", ID, ZERO, OTHER_ID]
)
ANY_RECORD = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["Cancelled", "MessageID", "Queued", "SMSError", "Sent", "MessageStatus"], ANY_VALUE
    ),
) | st.builds(
    keyless,
    Cancelled=ANY_VALUE,
    MessageID=st.sampled_from([ID, ZERO, OTHER_ID]),
    Sent=ANY_VALUE,
    Queued=ANY_VALUE,
    SMSError=st.sampled_from([0, 0, 3, 7, None]),
)


@given(ANY_RECORD, st.booleans())
@settings(deadline=None, max_examples=500)
def test_a_status_says_cancelled_only_in_so_many_words(record, in_xml):
    verdict = read_status(as_xml("R", record) if in_xml else record)
    if verdict.finding is Finding.CANCELLED:
        assert record["MessageID"] == ID
        if "MessageStatus" in record:
            assert record["MessageStatus"] in (507, "Cancelled")
        else:
            truths, falsehoods = ((True, "true", 1), (False, "false", 0)) if in_xml else ((True,), (False,))
            assert record["Cancelled"] in truths
            assert record["Sent"] in falsehoods
            assert record["Queued"] in falsehoods
            assert record["SMSError"] != 7


@given(NOISE.filter(lambda body: len(body) > 12), STATUSES)
@settings(deadline=None, max_examples=200)
def test_no_verdict_repeats_an_answers_bytes(body, status):
    verdict = esendex().read_stop(ID, BY_ID, answer(b"secret-15551234567" + body, status))
    assert "secret" not in repr(verdict)
    assert "1555" not in repr(verdict)
