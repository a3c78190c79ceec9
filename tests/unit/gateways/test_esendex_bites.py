"""What bites about Esendex US: each trap of the service is a test of its own."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, SentMessage
from airflow_provider_smscancel.gateways.esendex import REQUEST_FORMATS, EsendexUs

ID = "1627aea5-8e0a-4371-9022-9b504344e724"
KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"
ZERO = "00000000-0000-0000-0000-000000000000"
BOM = b"\xef\xbb\xbf"
XML_NS = 'xmlns="http://schemas.microsoft.com/2003/10/Serialization/"'
ERROR_PAGE = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n'
    b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    b'"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\r\n<html xmlns="http://www.w3.org/1999/xhtml">'
    b'<head><title>Request Error</title></head><body><div id="content"><p class="heading1">Request Error</p>'
    b"<p>The server encountered an error processing the request.</p></div></body></html>"
)


def esendex(request_format: str = "json", licence_key: str = KEY) -> EsendexUs:
    return EsendexUs(
        base_url="https://messaging.esendex.us", licence_key=licence_key, request_format=request_format
    )


def read_stop(body: bytes, status: int = 200, content_type: str = "application/json"):
    return esendex().read_stop(ID, IdType.MESSAGE_ID, Answer(status, {"Content-Type": content_type}, body))


def read_status(record: dict):
    answer = Answer(200, {"Content-Type": "application/json"}, json.dumps(record).encode())
    return esendex().read_status(ID, IdType.MESSAGE_ID, answer)


def test_bite_1_false_says_nothing_more():
    verdict = read_stop(b"false")
    assert (verdict.finding, verdict.code) == (Finding.NOT_STOPPED, "false")


@pytest.mark.parametrize(
    ("number", "finding"),
    [
        (507, Finding.CANCELLED),
        (200, Finding.SENT),
        (202, Finding.SENT),
        (404, Finding.UNKNOWN_ID),
        (0, Finding.PENDING),
        (201, Finding.PENDING),
    ],
)
def test_bite_1_the_status_tells_apart_what_false_does_not(number, finding):
    assert read_status({"MessageID": ID, "MessageStatus": number}).finding is finding


def test_bite_2_false_after_a_lost_answer_is_settled_by_the_status():
    assert read_stop(b"false").finding is Finding.NOT_STOPPED
    assert read_status({"MessageID": ID, "MessageStatus": 507}).finding is Finding.CANCELLED


@pytest.mark.parametrize("request_format", REQUEST_FORMATS)
def test_bite_3_a_stop_and_a_default_status_work_without_a_licence_key_and_never_hold_it(request_format):
    for gateway in (esendex(request_format, ""), esendex(request_format)):
        for request in (gateway.stop(ID, IdType.MESSAGE_ID), gateway.status(ID, IdType.MESSAGE_ID)):
            assert KEY not in f"{request.url}{dict(request.headers)}{request.body!r}"
    assert ID not in repr(esendex(request_format).stop(ID, IdType.MESSAGE_ID)), "ids are sensitive here"


@pytest.mark.parametrize("spelling", [KEY, KEY.upper()])
@pytest.mark.parametrize("key", [KEY, KEY.upper(), f"{{{KEY}}}", KEY.replace("-", "")])
def test_bite_4_a_message_id_that_is_the_licence_key_is_refused(spelling, key):
    error = esendex(licence_key=key).id_error(spelling, IdType.MESSAGE_ID)
    assert error is not None
    assert spelling.lower() not in error.lower()


@pytest.mark.parametrize("request_format", REQUEST_FORMATS)
def test_bite_4_no_other_call_reaches_cancel_all(request_format):
    gateway = esendex(request_format)
    requests = [
        gateway.stop(ID, IdType.MESSAGE_ID),
        gateway.stop(KEY, IdType.MESSAGE_ID),
        gateway.status(ID, IdType.MESSAGE_ID),
        gateway.status(ID, IdType.MESSAGE_ID, full=True),
        gateway.account_check(),
        gateway.send(["17575559999"], "x", scheduled_at=None, client_message_id=None),
    ]
    assert not any("cancelall" in f"{request.url}{request.body!r}".lower() for request in requests)


@pytest.mark.parametrize("message_id", [ID, "abcdef00-8e0a-4371-9022-9b504344e724"])
def test_bite_5_the_guid_is_json_encoded(message_id):
    assert esendex().stop(message_id, IdType.MESSAGE_ID).body == f'"{message_id}"'.encode()
    assert esendex().cancel_all().body == f'"{KEY}"'.encode()


@pytest.mark.parametrize("request_format", ["json", "get"])
def test_bite_6_json_is_asked_for_explicitly(request_format):
    gateway = esendex(request_format)
    requests = [
        gateway.stop(ID, IdType.MESSAGE_ID),
        gateway.status(ID, IdType.MESSAGE_ID),
        gateway.status(ID, IdType.MESSAGE_ID, full=True),
        gateway.account_check(),
        gateway.send(["17575559999"], "x", scheduled_at=None, client_message_id=None),
        gateway.cancel_all(),
    ]
    assert {request.headers["Accept"] for request in requests} == {"application/json"}


@pytest.mark.parametrize("request_format", REQUEST_FORMATS)
@pytest.mark.parametrize("mark", [b"", BOM])
@pytest.mark.parametrize("body", [b"true", f"<boolean {XML_NS}>true</boolean>".encode()])
def test_bite_6_json_and_xml_are_read_whatever_was_asked_for_and_a_byte_order_mark_is_survived(
    request_format, mark, body
):
    answer = Answer(200, {}, mark + body)
    assert esendex(request_format).read_stop(ID, IdType.MESSAGE_ID, answer).finding is Finding.CANCELLED


@pytest.mark.parametrize("content_type", ["text/html; charset=UTF-8", "text/html", ""])
def test_bite_7_a_400_with_html_is_a_fault_of_theirs(content_type):
    assert read_stop(ERROR_PAGE, 400, content_type).finding is Finding.FAULT
    answer = Answer(400, {"Content-Type": content_type}, ERROR_PAGE)
    assert esendex().read_status(ID, IdType.MESSAGE_ID, answer).finding is Finding.FAULT


def test_bite_7_well_formed_html_is_no_answer_whatever_its_status():
    plain = b"<html><body>true</body></html>"
    for page in (ERROR_PAGE, plain, plain.replace(b"body", b"boolean")):
        assert read_stop(page, 200, "text/html").finding is Finding.UNREADABLE
        assert read_stop(page, 400, "text/html").finding is Finding.FAULT


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "1",
        ID[:-1],
        ID + "0",
        f"{{{ID}}}",
        ID.replace("-", ""),
        ID + "\n",
        ID.replace("1", "\uff11"),
        f" {ID}",
    ],
)
def test_bite_7_a_malformed_guid_is_refused_before_it_is_sent(malformed):
    error = esendex().id_error(malformed, IdType.MESSAGE_ID)
    assert error is not None
    assert len(malformed) < 2 or malformed.strip() not in error


def test_bite_8_the_all_zero_guid_is_no_message_id():
    assert esendex().id_error(ZERO, IdType.MESSAGE_ID) is not None


def test_bite_8_a_send_fails_by_the_all_zero_guid_or_by_its_status():
    records = [
        {"MessageID": ZERO, "MessageStatus": 406, "To": "17575550001"},
        {"MessageID": ZERO, "MessageStatus": 201, "To": "17575550002"},
        {"MessageID": ID, "MessageStatus": 405, "To": "17575550003"},
        {"MessageID": ID, "MessageStatus": 201, "To": "17575550004"},
    ]
    answer = Answer(200, {}, json.dumps(records).encode())
    sent = esendex().read_send([record["To"] for record in records], answer)
    assert [one.message_id for one in sent] == [None, None, None, ID]
    assert [one.error is None for one in sent] == [False, False, False, True]
    assert "406" in sent[0].error
    assert "405" in sent[2].error


@pytest.mark.parametrize(
    "zone",
    [UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=14)), timezone(timedelta(minutes=330))],
)
def test_bite_9_a_date_is_sent_in_utc_without_an_offset(zone):
    when = datetime(2033, 5, 18, 3, 33, 20, 123999, tzinfo=UTC).astimezone(zone)
    request = esendex().send(["17575559999"], "x", scheduled_at=when, client_message_id=None)
    assert json.loads(request.body)["ScheduledDateTime"] == "/Date(2000000000123)/"


@pytest.mark.parametrize(
    "never", ["/Date(-62135578800000-0500)/", "0001-01-01T00:00:00", None, "", "/Date(x"]
)
def test_bite_9_an_answers_dates_decide_nothing(never):
    keyless = {"MessageID": ID, "SMSError": 0, "Sent": False, "Queued": False, "Cancelled": True}
    assert read_status(keyless | {"SentDateTime": never}).finding is Finding.CANCELLED
    assert read_status({"MessageID": ID, "MessageStatus": 200, "SentTime": never}).finding is Finding.SENT


def test_bite_10_the_text_false_is_not_truthy():
    assert read_stop(f"<boolean {XML_NS}>false</boolean>".encode()).finding is Finding.NOT_STOPPED
    record = (
        f"<SMSResponse><Cancelled>false</Cancelled><MessageID>{ID}</MessageID><Queued>false</Queued>"
        "<SMSError>NoError</SMSError><Sent>false</Sent></SMSResponse>"
    )
    answer = Answer(200, {}, record.encode())
    assert esendex().read_status(ID, IdType.MESSAGE_ID, answer).finding is Finding.PENDING


@pytest.mark.parametrize(
    "body", [b'"true"', b'"false"', b"1", b"[true]", b'{"boolean":"true"}', b"True", b"TRUE"]
)
def test_bite_10_only_the_literal_boolean_counts(body):
    assert read_stop(body).finding is Finding.UNREADABLE


def test_bite_10_neither_attributes_nor_a_declared_prefix_change_how_a_boolean_is_read():
    for body in (
        f'<boolean {XML_NS} a="b">true</boolean>',
        f"<x:boolean {XML_NS.replace('xmlns', 'xmlns:x')}>true</x:boolean>",
        "<boolean>true</boolean>",
    ):
        assert read_stop(body.encode()).finding is Finding.CANCELLED


@pytest.mark.parametrize(
    "body",
    [
        b'<x:boolean xmlns:x="urn:x">true</x:boolean>',
        b'<boolean xmlns="urn:x">true</boolean>',
        b"<x:boolean>true</x:boolean>",
        b'<boolean x:nil="false">true</boolean>',
    ],
)
def test_bite_10_a_boolean_of_another_namespace_is_not_the_services(body):
    assert read_stop(body).finding is Finding.UNREADABLE


def test_bite_10_a_list_of_one_is_a_list():
    answer = (
        '<ArrayOfOutgoingMessageResponse xmlns="http://sms2.cdyne.com"><OutgoingMessageResponse>'
        f"<MessageID>{ID}</MessageID><MessageStatus>Ready</MessageStatus><To>17575559999</To>"
        "</OutgoingMessageResponse></ArrayOfOutgoingMessageResponse>"
    )
    sent = esendex().read_send(["17575559999"], Answer(200, {}, answer.encode()))
    assert sent == [SentMessage(ID, None, "17575559999")]


def test_bite_11_an_undocumented_rate_limit_is_obeyed_when_it_speaks():
    answer = Answer(429, {"Retry-After": "7"}, b"true")
    verdict = esendex().read_stop(ID, IdType.MESSAGE_ID, answer)
    assert (verdict.finding, verdict.retry_after, verdict.http_status) == (Finding.BUSY, "7", 429)
