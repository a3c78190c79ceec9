"""What bites: each trap of Clickatell's wire that once fooled, or would fool, a client. One test per trap."""

from __future__ import annotations

import json

import pytest

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType
from airflow_provider_smscancel.gateways.clickatell import ClickatellHttp, ClickatellRest

ID = "360586640fe9846954897dffe6c13dfc"
OTHER_ID = "b09e1b1bdb5a070c978f03b6836b955c"

REST = ClickatellRest(token="token")
HTTP = ClickatellHttp(user="user", password="password", api_id="1")
MESSAGE, CLIENT = IdType.MESSAGE_ID, IdType.CLIENT_MESSAGE_ID

# The answers as the vendor's pages print them, down to the odd indentation.
REST_JSON_SAMPLE = b"""{
   "data" : {
       "messageStatus" : "006",
       "description" : "User cancelled message delivery",
        "apiMessageId" : "360586640fe9846954897dffe6c13dfc"
    }
}
"""
REST_XML_SAMPLE = b"""<?xml version="1.0"?>
<response>
    <data>
    <messageStatus>006</messageStatus>
    <description>User cancelled message delivery</description>
    <apiMessageId>b09e1b1bdb5a070c978f03b6836b955c</apiMessageId>
    </data>
</response>
"""


def rest(body, status=200, message_id=ID):
    return REST.read_stop(message_id, MESSAGE, Answer(status, {}, body))


def http(text, message_id=ID, id_type=MESSAGE, status=200):
    return HTTP.read_stop(message_id, id_type, Answer(status, {}, text.encode()))


def rest_body(status="006", message_id=ID):
    return json.dumps({"data": {"messageStatus": status, "apiMessageId": message_id}}).encode()


def test_the_vendors_samples_are_read_as_the_pages_mean_them():
    assert rest(REST_JSON_SAMPLE).finding is Finding.CANCELLED
    assert rest(REST_XML_SAMPLE, message_id=OTHER_ID).finding is Finding.CANCELLED
    sample_id = "f6b9af2a2c9e5b18ee2d257e3def5d66"
    assert http(f"ID: {sample_id} Status: 006", sample_id).finding is Finding.CANCELLED
    assert http("ERR: 001, Authentication failed").finding is Finding.ACCOUNT
    assert HTTP.read_login(Answer(200, {}, f"OK: {sample_id}".encode())) == sample_id


@pytest.mark.parametrize("status", ["003", "004"])
def test_bite_1_a_stop_that_came_too_late_looks_like_a_success(status):
    for verdict in (rest(rest_body(status)), http(f"ID: {ID} Status: {status}")):
        assert (verdict.finding, verdict.code) == (Finding.SENT, status)
        assert "too late" in verdict.detail


def test_bite_1_no_status_but_006_is_a_cancellation():
    for read in (
        lambda status: rest(rest_body(status)),
        lambda status: http(f"ID: {ID} Status: {status}"),
        lambda status: http(f"ID: {ID} Status: {status}", "client-1", CLIENT),
    ):
        statuses = [f"{number:03}" for number in range(1000)]
        assert [status for status in statuses if read(status).finding is Finding.CANCELLED] == ["006"]


def test_bite_2_messages_leave_up_to_five_minutes_early():
    assert REST.sends_early_s == HTTP.sends_early_s == 5 * 60


def test_bite_3_an_answer_about_another_message_proves_nothing():
    for verdict in (
        rest(REST_XML_SAMPLE),
        rest(rest_body("004", OTHER_ID)),
        http(f"ID: {OTHER_ID} Status: 006"),
    ):
        assert verdict.finding is Finding.UNREADABLE
        assert verdict.detail == "the answer names another message"


@pytest.mark.parametrize("named", [None, "", 7, True, [ID], {"id": ID}])
def test_bite_3_an_answer_that_names_no_message_proves_nothing(named):
    assert rest(rest_body(message_id=named)).finding is Finding.UNREADABLE
    assert rest(b'{"data":{"messageStatus":"006"}}').finding is Finding.UNREADABLE


def test_bite_3_by_client_id_the_answer_names_the_gateways_own_id():
    verdict = http(f"ID: {OTHER_ID} Status: 006", "client-1", CLIENT)
    assert verdict.finding is Finding.CANCELLED
    assert f"gateway's id: {OTHER_ID}" in verdict.detail


def test_bite_4_hexadecimal_ids_compare_without_regard_to_case():
    for asked, named in [(ID, ID.upper()), (ID.upper(), ID)]:
        assert rest(rest_body(message_id=named), message_id=asked).finding is Finding.CANCELLED
        assert http(f"ID: {named} Status: 006", asked).finding is Finding.CANCELLED


def test_bite_4_any_other_id_compares_exactly():
    for asked, named in [("Abc", "abc"), ("g" * 32, "G" * 32), (ID[:-1], ID[:-1].upper())]:
        assert rest(rest_body(message_id=named), message_id=asked).finding is Finding.UNREADABLE
        assert http(f"ID: {named} Status: 006", asked).finding is Finding.UNREADABLE


def test_bite_5_an_unknown_status_settles_nothing():
    for verdict in (rest(rest_body("001")), http(f"ID: {ID} Status: 001")):
        assert verdict.finding is Finding.UNSURE


@pytest.mark.parametrize(
    ("status", "code", "finding"),
    [
        (404, "161", Finding.UNKNOWN_ID),
        (400, "103", Finding.UNKNOWN_ID),
        (400, "101", Finding.REFUSED),
        (404, None, Finding.UNREADABLE),
    ],
)
def test_bite_6_whatever_an_unknown_id_gets_from_rest(status, code, finding):
    body = b"" if code is None else json.dumps({"error": {"code": code, "description": "x"}}).encode()
    assert rest(body, status).finding is finding


def test_bite_6_whatever_an_unknown_id_gets_from_delmsg():
    assert http("ERR: 103, Unknown API Message ID").finding is Finding.UNKNOWN_ID
    assert http("ERR: 104, Unknown client message ID", "client-1", CLIENT).finding is Finding.UNKNOWN_ID


def test_bite_7_one_id_per_stop_call():
    assert REST.id_error(f"{ID},{OTHER_ID}", MESSAGE) is not None
    assert HTTP.id_error(f"{ID},{OTHER_ID}", MESSAGE) is not None


def test_bite_8_the_archived_api_is_the_default_host():
    assert REST.base_url == HTTP.base_url == "https://api.clickatell.com"


def test_an_error_arrives_with_a_200():
    assert http("ERR: 901, Internal error").finding is Finding.FAULT
    assert rest(b'{"error":{"code":"001"}}').finding is Finding.ACCOUNT


def test_a_web_page_with_a_200_cancels_nothing():
    page = f"<html><body>ID: {ID} Status: 006</body></html>"
    for verdict in (rest(page.encode()), http(page), http(page, "client-1", CLIENT)):
        assert verdict.finding is Finding.UNREADABLE
        assert "web page" in verdict.detail


def test_a_bare_404_is_some_proxys_and_not_an_unknown_id():
    for verdict in (rest(b"", 404), rest(b"404 page not found", 404), http("Not Found", status=404)):
        assert verdict.finding is Finding.UNREADABLE
        assert "proxy" in verdict.detail
