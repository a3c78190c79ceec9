from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, SentMessage, Verdict
from airflow_provider_smscancel.gateways.clickatell import ClickatellHttp

ID = "f6b9af2a2c9e5b18ee2d257e3def5d66"
OTHER_ID = "b09e1b1bdb5a070c978f03b6836b955c"
CLIENT_ID = "campaign7-0001"
PASSWORD = "päss&word=1 %"
SESSION = "5b18ee2d257e3def5d66f6b9af2a2c9e"
NUMBER = "27831234567"

MESSAGE, CLIENT = IdType.MESSAGE_ID, IdType.CLIENT_MESSAGE_ID
GATEWAY = ClickatellHttp(
    base_url="http://127.0.0.1:8099/", user="me@x", password=PASSWORD, api_id="long key="
)


def answer(text, status=200, **headers):
    body = text if isinstance(text, bytes) else text.encode()
    return Answer(status, CaseInsensitiveDict({k.replace("_", "-"): v for k, v in headers.items()}), body)


def read(text, status=200, message_id=ID, id_type=MESSAGE, **headers):
    verdicts = {
        call(message_id, id_type, answer(text, status, **headers))
        for call in (GATEWAY.read_stop, GATEWAY.read_status)
    }
    assert len(verdicts) == 1, "a stop and a status query read the same answer differently"
    return verdicts.pop()


def read_by_client_id(text, status=200):
    return read(text, status, CLIENT_ID, CLIENT)


def line(status="006", message_id=ID):
    return f"ID: {message_id} Status: {status}"


STATUS_FINDINGS = {
    "001": Finding.UNSURE,
    "002": Finding.PENDING,
    "003": Finding.SENT,
    "004": Finding.SENT,
    "005": Finding.DEAD,
    "006": Finding.CANCELLED,
    "007": Finding.DEAD,
    "008": Finding.PENDING,
    "009": Finding.DEAD,
    "010": Finding.DEAD,
    "011": Finding.PENDING,
    "012": Finding.DEAD,
    "013": Finding.DEAD,
    "014": Finding.DEAD,
    "000": Finding.UNREADABLE,
    "015": Finding.UNREADABLE,
    "106": Finding.UNREADABLE,
    "0006": Finding.UNREADABLE,
}


@pytest.mark.parametrize(("status", "finding"), STATUS_FINDINGS.items())
def test_every_status_by_either_id(status, finding):
    by_message = read(line(status))
    assert (by_message.finding, by_message.code, by_message.http_status) == (finding, status, 200)
    by_client = read_by_client_id(line(status))
    assert (by_client.finding, by_client.code) == (finding, status)
    assert by_client.detail == f"{by_message.detail}; gateway's id: {ID}"


@pytest.mark.parametrize(
    "text",
    [
        f"ID:{ID} Status:006",
        f"ID: {ID} Status: 6",
        f"ID:  {ID}\tStatus:  06",
        f"ID: {ID} Status: 006\n",
        f"\r\n  ID: {ID} Status: 006  \r\n\r\n",
        f"\ufeffID: {ID} Status: 006",
        f"id: {ID.upper()} status: 006",
        f"ID: {ID} To: {NUMBER} Status: 006",
    ],
)
def test_small_differences_in_spelling_do_not_matter(text):
    verdict = read(text)
    assert (verdict.finding, verdict.code) == (Finding.CANCELLED, "006")
    assert NUMBER not in verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "006",
        "OK",
        "OK: " + ID,
        f"ID: {ID}",
        f"ID: {ID} Status:",
        f"ID: {ID} Status: cancelled",
        f"ID: {ID} Status: 006 or so",
        f"ID: {ID} Status: 00\u0666",
        f"ID: {ID} Status: -6",
        f"ID: {ID} Status: 6.0",
        f"ID: {ID} Status: 0000006",
        f"ID: {ID}\nStatus: 006",
        f"ID: {ID}Status: 006",
        "ID: Status: 006",
        "Status: 006",
        f"{line()}\nthank you",
        f"<html>{line()}</html>",
        f"{line()}\0",
        f"{line('004')}\r{line()}",
        line() + "\x85" + line(),
        line().encode("utf-16"),
    ],
)
def test_what_is_no_plain_line_is_unreadable(text):
    for verdict in (read(text), read_by_client_id(text)):
        assert verdict.finding is Finding.UNREADABLE
        assert verdict.http_status == 200


@pytest.mark.parametrize(
    "text",
    [
        line(message_id=OTHER_ID),
        line(message_id=ID[:-1]),
        line(message_id=ID + "0"),
        line(message_id="é" * 32),
        f"{line()}\n{line()}",
        f"{line()}\n{line(message_id=OTHER_ID)}",
        f"{line()}\nERR: 103, Unknown API message ID",
    ],
)
def test_by_message_id_one_line_has_to_name_that_very_id(text):
    assert read(text).finding is Finding.UNREADABLE


@pytest.mark.parametrize("status", [302, 400, 401, 404])
def test_a_line_does_not_count_without_a_2xx(status):
    assert read(line(), status).finding is Finding.UNREADABLE


# --- errors ---------------------------------------------------------------------------------------

REFUSALS = "101 102 105 106 107 109 113 114 115 116 120 121 122 123 128"

ERROR_FINDINGS = {
    "001": Finding.ACCOUNT,
    "002": Finding.ACCOUNT,
    "003": Finding.SESSION,
    "004": Finding.ACCOUNT,
    "005": Finding.SESSION,
    "007": Finding.ACCOUNT,
    **dict.fromkeys(REFUSALS.split(), Finding.REFUSED),
    "103": Finding.UNKNOWN_ID,
    "104": Finding.UNKNOWN_ID,
    "108": Finding.ACCOUNT,
    "130": Finding.BUSY,
    "201": Finding.REFUSED,
    "202": Finding.REFUSED,
    "301": Finding.REFUSED,
    "901": Finding.FAULT,
    "006": Finding.REFUSED,
    "999": Finding.REFUSED,
}


@pytest.mark.parametrize(("code", "finding"), ERROR_FINDINGS.items())
def test_every_error_code(code, finding):
    for verdict in (
        read(f"ERR: {code}, Words: {NUMBER}"),
        read_by_client_id(f"ERR: {code}, Words: {NUMBER}"),
    ):
        assert (verdict.finding, verdict.code, verdict.http_status) == (finding, code, 200)
        assert f"error {code}" in verdict.detail
        assert "Words" not in verdict.detail
        assert NUMBER not in verdict.detail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ERR: 007", "007"),
        ("ERR:007", "007"),
        ("ERR: 007\n", "007"),
        ("ERR: 007\r\n\r\n", "007"),
        ("\ufeffERR: 007, IP lockdown", "007"),
        ("err: 7, x", "007"),
        ("ERR: 1, Auth fail", "001"),
        ("ERR:001,Authentication failed", "001"),
        ("ERR: 001,", "001"),
        ("ERR: 001 , Authentication failed", "001"),
        ("ERR: 001: Authentication: failed, again, and: again", "001"),
        (b"ERR: 001, \xff\xfe\x00\x85 text in no known encoding", "001"),
        ("ERR: 001, x\nERR: 001, y", "001"),
    ],
)
def test_an_error_is_read_however_it_is_written(text, code):
    assert (read(text).finding, read(text).code) == (Finding.ACCOUNT, code)


@pytest.mark.parametrize(
    "text", ["ERR: some text", "ERR:", "ERR: 27831234567", "ERR: 1 thing, 2 things", "ERR: -1"]
)
def test_an_error_without_a_code_is_a_fault(text):
    verdict = read(text)
    assert (verdict.finding, verdict.code) == (Finding.FAULT, None)
    assert verdict.detail == "an error without a code"


@pytest.mark.parametrize(
    "text", ["ERR: 001, x\nERR: 103, y", f"ERR: 001, x\n{line()}", "ERR: 001, x\nand so on"]
)
def test_lines_that_disagree_are_unreadable(text):
    assert read(text).finding is Finding.UNREADABLE
    assert read_by_client_id(text).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    ("status", "text", "finding"),
    [
        (401, "ERR: 001, Authentication failed", Finding.ACCOUNT),
        (404, "ERR: 103, Unknown API message ID", Finding.UNKNOWN_ID),
        (429, "ERR: 001, Authentication failed", Finding.BUSY),
        (429, line(), Finding.BUSY),
        (429, "", Finding.BUSY),
        (500, "ERR: 001, x", Finding.FAULT),
        (500, line(), Finding.FAULT),
        (503, "", Finding.FAULT),
        (302, "ERR: 103, x", Finding.UNREADABLE),
        (401, "", Finding.UNREADABLE),
        (404, "Not found", Finding.UNREADABLE),
        (200, "<html>sign in</html>", Finding.UNREADABLE),
    ],
)
def test_http_statuses(status, text, finding):
    verdict = read(text, status, retry_after="9")
    assert (verdict.finding, verdict.http_status, verdict.retry_after) == (finding, status, "9")


# --- by client id ---------------------------------------------------------------------------------


def test_by_client_id_every_line_has_to_say_cancelled():
    ids = [f"{n:032x}" for n in range(7)]
    verdict = read_by_client_id("\r\n".join(line(message_id=message_id) for message_id in ids))
    assert (verdict.finding, verdict.code) == (Finding.CANCELLED, "006")
    assert verdict.detail == f"status 006: cancelled; gateway's id: {', '.join(ids[:5])} and 2 more"


@pytest.mark.parametrize("other", ["004", "001", "002", "013", "099"])
def test_by_client_id_mixed_statuses_are_unreadable(other):
    for text in (f"{line()}\n{line(other, OTHER_ID)}", f"{line(other, OTHER_ID)}\n{line()}"):
        assert read_by_client_id(text).finding is Finding.UNREADABLE


def test_by_client_id_lines_may_agree_on_another_finding():
    verdict = read_by_client_id(f"{line('003')}\n{line('004', OTHER_ID)}")
    assert (verdict.finding, verdict.code) == (Finding.SENT, None)
    assert "003" in verdict.detail
    assert "004" in verdict.detail
    assert read_by_client_id(f"{line('004')}\n{line('004', OTHER_ID)}").code == "004"


@pytest.mark.parametrize("text", [f"ID: {ID}", f"{line()}\nID: {OTHER_ID}", f"{line()}\nERR: 104, x"])
def test_by_client_id_a_line_without_a_status_is_unreadable(text):
    assert read_by_client_id(text).finding is Finding.UNREADABLE


def test_by_client_id_an_id_of_another_shape_is_not_repeated():
    verdict = read_by_client_id("ID: +27831234567 Status: 006")
    assert (verdict.finding, verdict.detail) == (Finding.CANCELLED, "status 006: cancelled")


# --- arbitrary answers ----------------------------------------------------------------------------


def may_be_cancelled(body, message_id):
    """Whether a body could be a word of cancellation about this message, by a check that knows no format."""
    return (
        message_id.lower().encode() in body.lower() and re.search(rb"(?<!\d)0{0,2}6(?!\d)", body) is not None
    )


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(100, 599))
def test_arbitrary_bytes_never_cancel(body, status):
    for verdict in (read(body, status), read_by_client_id(body, status)):
        assert verdict.finding is not Finding.CANCELLED
        assert verdict.http_status == status


KEYWORDS = ["ID: ", "ERR: ", "Status: ", " Status: ", " To: ", ", ", "\n", "\r", "\0", " "]
VALUES = [ID, ID.upper(), OTHER_ID, NUMBER, "006", "004", "6", "103"]
LINES = [line(), line("004"), line(message_id=OTHER_ID)]
PIECE = st.sampled_from(["", "", *KEYWORDS, *VALUES, *LINES])
PIECES = st.lists(PIECE, max_size=6).map("".join) | st.tuples(PIECE, st.just(line()), PIECE).map("".join)


@settings(deadline=None, max_examples=600)
@given(PIECES, st.sampled_from([200, 200, 202, 302, 401, 404, 429, 500]))
def test_almost_right_answers_cancel_only_when_they_say_so(text, status):
    verdict = read(text, status)
    assert NUMBER not in verdict.detail
    if verdict.finding is Finding.CANCELLED:
        assert status < 300
        assert may_be_cancelled(text.encode(), ID)
        assert "004" not in text
        assert OTHER_ID not in text
        assert "ERR" not in text


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.sampled_from(sorted(STATUS_FINDINGS)))
def test_every_id_and_status_makes_the_round_trip(message_id, status):
    verdict = read(line(status, message_id), message_id=message_id)
    assert (verdict.finding, verdict.code) == (STATUS_FINDINGS[status], status)


# --- requests -------------------------------------------------------------------------------------

CREDENTIALS = {"user": ["me@x"], "password": [PASSWORD], "api_id": ["long key="]}


@pytest.mark.parametrize(
    ("request_", "command", "parameters"),
    [
        (GATEWAY.stop(ID, MESSAGE), "delmsg", {**CREDENTIALS, "apimsgid": [ID]}),
        (GATEWAY.stop(CLIENT_ID, CLIENT), "delmsg", {**CREDENTIALS, "climsgid": [CLIENT_ID]}),
        (GATEWAY.stop("a&b=c", MESSAGE), "delmsg", {**CREDENTIALS, "apimsgid": ["a&b=c"]}),
        (GATEWAY.stop(ID, MESSAGE, SESSION), "delmsg", {"session_id": [SESSION], "apimsgid": [ID]}),
        (GATEWAY.status(ID, MESSAGE, full=True), "querymsg", {**CREDENTIALS, "apimsgid": [ID]}),
        (
            GATEWAY.status(CLIENT_ID, CLIENT, SESSION),
            "querymsg",
            {"session_id": [SESSION], "climsgid": [CLIENT_ID]},
        ),
        (GATEWAY.login(), "auth", CREDENTIALS),
        (GATEWAY.ping(SESSION), "ping", {"session_id": [SESSION]}),
        (GATEWAY.account_check(), "getbalance", CREDENTIALS),
        (GATEWAY.balance(), "getbalance", CREDENTIALS),
    ],
)
def test_every_call_is_a_form_in_a_post_with_nothing_in_the_url(request_, command, parameters):
    assert request_.method == "POST"
    assert request_.url == f"http://127.0.0.1:8099/http/{command}"
    assert request_.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request_.body.decode("ascii"), strict_parsing=True) == parameters


def test_no_repr_shows_a_credential():
    for value in (GATEWAY, GATEWAY.stop(ID, MESSAGE, SESSION), GATEWAY.login()):
        for secret in (PASSWORD, SESSION, "long key="):
            assert secret not in repr(value)
    assert GATEWAY.secrets == (PASSWORD,)


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ({"user": "", "password": "Xq9", "api_id": "7"}, "login"),
        ({"user": "Xq9", "password": "", "api_id": "7"}, "password"),
        ({"user": "Xq9", "password": "Xq9", "api_id": ""}, "api_id"),
        ({"user": "Xq9", "password": "Xq9\ud800", "api_id": "7"}, "password"),
    ],
)
def test_credentials_that_can_not_work_are_named_without_echo(credentials, named):
    with pytest.raises(ValueError, match=named) as caught:
        ClickatellHttp(**credentials)
    assert "Xq9" not in str(caught.value)


def test_what_the_canceller_needs_to_know():
    assert (GATEWAY.name, GATEWAY.label, GATEWAY.sends_early_s) == ("clickatell", "Clickatell", 300)
    assert (GATEWAY.uses_session, GATEWAY.id_types) == (True, {MESSAGE, CLIENT})
    assert GATEWAY.base_url == "http://127.0.0.1:8099"


def test_ids_of_both_kinds():
    for id_type in IdType:
        assert GATEWAY.id_error("a-B_9", id_type) is None
        for wrong in ("", "Xq 9", "Xq9\n", "x" * 65, "é"):
            problem = GATEWAY.id_error(wrong, id_type)
            assert problem is not None
            assert not wrong or wrong not in problem
    assert GATEWAY.canonical_id(ID.upper(), MESSAGE) == ID
    assert GATEWAY.canonical_id(ID.upper(), CLIENT) == ID.upper()


# --- sessions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [f"OK: {SESSION}", f"OK:{SESSION}", f"ok: {SESSION}\r\n", f"\ufeffOK: {SESSION}\n\n"]
)
def test_a_login_gives_a_session(text):
    assert GATEWAY.read_login(answer(text)) == SESSION


def test_a_phone_number_in_place_of_the_gateways_id_is_not_repeated():
    text = f"ID: 27831234567 Status: 006\nID: {ID} Status: 006"
    verdict = GATEWAY.read_stop("mine", IdType.CLIENT_MESSAGE_ID, answer(text))
    assert verdict.detail == f"status 006: cancelled; gateway's id: {ID}"


@pytest.mark.parametrize(
    ("text", "status", "finding"),
    [
        ("ERR: 001, Authentication failed", 200, Finding.ACCOUNT),
        ("ERR: 002, x", 200, Finding.ACCOUNT),
        ("ERR: 004, x", 200, Finding.ACCOUNT),
        ("ERR: 007", 200, Finding.ACCOUNT),
        ("ERR: 108, x", 200, Finding.ACCOUNT),
        ("ERR: 005, x", 200, Finding.FAULT),
        ("ERR: 103, x", 200, Finding.REFUSED),
        ("ERR: 901", 200, Finding.FAULT),
        ("OK:", 200, Finding.UNREADABLE),
        (f"OK: {SESSION}\nOK: {SESSION}", 200, Finding.UNREADABLE),
        ("OK: a b", 200, Finding.UNREADABLE),
        ("OK: a;b", 200, Finding.UNREADABLE),
        ("OK: " + "a" * 129, 200, Finding.UNREADABLE),
        (f"OK: {SESSION}", 404, Finding.UNREADABLE),
        (line(), 200, Finding.UNREADABLE),
        ("", 503, Finding.FAULT),
        ("", 429, Finding.BUSY),
    ],
)
def test_a_login_that_fails_says_why(text, status, finding):
    verdict = GATEWAY.read_login(answer(text, status))
    assert isinstance(verdict, Verdict)
    assert verdict.finding is finding
    assert SESSION not in verdict.detail


@pytest.mark.parametrize(
    ("text", "status", "alive"),
    [
        (f"OK: {SESSION}", 200, True),
        ("OK:", 200, True),
        ("OK:\r\n", 200, True),
        ("ERR: 003, Session ID expired", 200, False),
        ("", 200, False),
        ("OK: not a token", 200, False),
        ("OK:", 502, False),
        ("<html>OK:</html>", 200, False),
    ],
)
def test_a_ping_tells_whether_the_session_is_alive(text, status, alive):
    assert GATEWAY.read_ping(answer(text, status)) is alive


# --- balance --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Credit: 123.0", "123.0"),
        ("Credits: 123.00\n", "123.00"),
        ("credit:5", "5"),
        ("Credit: -0.5", "-0.5"),
    ],
)
def test_a_balance_is_read(text, amount):
    assert GATEWAY.read_balance(answer(text)) == Decimal(amount)
    assert GATEWAY.read_account_check(answer(text)).finding is Finding.ACCEPTED


@pytest.mark.parametrize(
    ("text", "status", "finding"),
    [
        ("Credit: much", 200, Finding.UNREADABLE),
        ("Credit: 1.2.3", 200, Finding.UNREADABLE),
        ("Credit: 12 and more", 200, Finding.UNREADABLE),
        ("", 200, Finding.UNREADABLE),
        ("Credit: 12", 404, Finding.UNREADABLE),
        ("ERR: 001, Authentication failed", 200, Finding.ACCOUNT),
        ("ERR: 007", 200, Finding.ACCOUNT),
        ("ERR: 103, x", 200, Finding.REFUSED),
        ("ERR: oh dear", 200, Finding.FAULT),
        ("", 429, Finding.BUSY),
        ("", 500, Finding.FAULT),
    ],
)
def test_an_account_check_that_fails_says_why(text, status, finding):
    assert GATEWAY.read_account_check(answer(text, status)).finding is finding


# --- sending --------------------------------------------------------------------------------------

NUMBERS = ("27831234567", "+27830000001")


def send(to=NUMBERS, text="Hi", scheduled_at=None, client_message_id=None):
    request = GATEWAY.send(to, text, scheduled_at=scheduled_at, client_message_id=client_message_id)
    assert request.url == "http://127.0.0.1:8099/http/sendmsg"
    return {name: values[0] for name, values in parse_qs(request.body.decode("ascii")).items()}


def test_a_send_carries_what_was_asked_for():
    at = datetime(2030, 1, 1, 15, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    form = send(text="a & b", scheduled_at=at, client_message_id="c1")
    assert form == {
        "user": "me@x",
        "password": PASSWORD,
        "api_id": "long key=",
        "to": "27831234567,27830000001",
        "text": "a & b",
        "scheduled_time": "1893502800",
        "climsgid": "c1",
    }
    assert send().keys() == {"user", "password", "api_id", "to", "text"}


def test_text_beyond_ascii_goes_as_unicode():
    form = send(text="Grüße 😀")
    assert form["unicode"] == "1"
    assert bytes.fromhex(form["text"]).decode("utf-16-be") == "Grüße 😀"


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["27831234567", "083-123"]},
        {"to": ["27831234567", "27831234567"]},
        {"text": ""},
        {"text": "a\ud800"},
        {"scheduled_at": datetime(2030, 1, 1)},  # noqa: DTZ001 (a naive time is what is tested)
        {"client_message_id": "c-1"},
        {"client_message_id": "c" * 33},
        {"client_message_id": ""},
    ],
)
def test_a_send_that_can_not_work_is_refused_without_echo(wrong):
    with pytest.raises(ValueError, match=r"\w") as caught:
        send(**wrong)
    assert not re.search(r"\d{3}", str(caught.value))
    assert caught.value.__context__ is None


def read_send(text, status=200, to=NUMBERS):
    return GATEWAY.read_send(to, answer(text, status))


def test_recipients_are_matched_by_number_whatever_their_order():
    sent = read_send(f"ERR: 114, Cannot route message To: 27830000001\r\nID: {ID} To: 27831234567\r\n")
    assert sent == [
        SentMessage(ID, None, "27831234567"),
        SentMessage(None, "error 114: no route to the destination", "+27830000001"),
    ]
    assert "2783" not in repr(sent)


@pytest.mark.parametrize("text", [f"ID: {ID}", f"ID: {ID} To: 27831234567\n", f"ID:{ID} To:+27831234567"])
def test_one_recipient(text):
    assert read_send(text, to=NUMBERS[:1]) == [SentMessage(ID, None, "27831234567")]


def test_recipients_without_numbers_are_matched_by_order():
    assert read_send(f"ID: {ID}\nERR: 105") == [
        SentMessage(ID, None, NUMBERS[0]),
        SentMessage(None, "error 105: invalid destination number", NUMBERS[1]),
    ]


@pytest.mark.parametrize(
    ("tail", "error"),
    [
        ("114, Cannot route message To: 27831234567", "error 114: no route to the destination"),
        ("114 To: 27831234567", "error 114: no route to the destination"),
        ("999, 27831234567 is odd, To: 27831234567", "error 999"),
        ("who knows To: 27831234567", "an error without a code"),
    ],
)
def test_one_refused_recipient_is_an_entry_with_our_own_words(tail, error):
    assert read_send(f"ERR: {tail}", to=NUMBERS[:1]) == [SentMessage(None, error, "27831234567")]


@pytest.mark.parametrize("code", ["01", "00", "0"])
def test_a_part_of_a_status_is_not_taken_for_another_one(code):
    assert read(line(code)).finding is Finding.UNREADABLE


@pytest.mark.parametrize("text", ["ERR: 00", "ERR: 10", "ERR: 16", "ERR:0"])
def test_a_part_of_an_error_code_is_an_error_without_a_code_which_passes(text):
    verdict = read(text)
    assert (verdict.finding, verdict.code) == (Finding.FAULT, None)


@pytest.mark.parametrize("left", [1, 16, 31])
def test_a_part_of_an_id_is_not_taken_for_the_id_of_a_message_that_was_sent(left):
    verdict = read_send(f"ID: {ID[:left]}", to=NUMBERS[:1])
    assert verdict.finding is Finding.UNREADABLE
    assert "sent" in verdict.detail


@pytest.mark.parametrize(
    "text",
    [
        f"ID: {ID} To: 27831234567",
        f"ID: {ID} To: 27831234567\nID: {OTHER_ID} To: 27831234567",
        f"ID: {ID} To: 27831234567\nID: {OTHER_ID} To: 27839999999",
        f"ID: {ID} To: 27830000001\nID: {OTHER_ID}",
        f"ID: {ID} To: 27831234567\nID: {ID} To: 27830000001",
        f"ID: {ID}\nID: {OTHER_ID}\nID: x",
        f"ID: {ID}\nID: é",
        f"ID: {ID}\nID: a.b",
        f"ID: {ID}\nID: 27830000001",
        "ID: 27830000001 To: 27831234567\nID: 27831234567 To: 27830000001",
        f"ID: {ID} Status: 006\nID: {OTHER_ID}",
        f"ID: {ID}\nthank you",
        "",
        "OK",
    ],
)
def test_a_send_whose_answer_leaves_doubt_is_not_guessed(text):
    verdict = read_send(text)
    assert isinstance(verdict, Verdict)
    assert verdict.finding is Finding.UNREADABLE
    assert "2783" not in verdict.detail


@pytest.mark.parametrize(
    ("text", "status", "finding"),
    [
        ("ERR: 001, Authentication failed", 200, Finding.ACCOUNT),
        ("ERR: 301, No credit left", 200, Finding.REFUSED),
        ("ERR: 130, Limit until 1700000000", 200, Finding.BUSY),
        ("ERR: 103, x", 200, Finding.REFUSED),
        ("", 429, Finding.BUSY),
        ("", 503, Finding.FAULT),
        (f"ID: {ID}\nID: {OTHER_ID}", 404, Finding.UNREADABLE),
    ],
)
def test_a_send_that_fails_as_a_whole(text, status, finding):
    verdict = read_send(text, status)
    assert isinstance(verdict, Verdict)
    assert verdict.finding is finding


@settings(deadline=None)
@given(PIECES | st.binary(max_size=200), st.integers(100, 599))
def test_arbitrary_answers_to_other_calls_never_crash(text, status):
    given_answer = answer(text, status)
    sent = GATEWAY.read_send(NUMBERS, given_answer)
    assert isinstance(sent, Verdict) or [entry.to for entry in sent] == list(NUMBERS)
    assert GATEWAY.read_account_check(given_answer).finding is not Finding.ACCEPTED
    assert isinstance(GATEWAY.read_login(given_answer), Verdict)
    assert GATEWAY.read_ping(given_answer) is False


def test_the_password_in_place_of_the_gateways_id_is_not_repeated():
    gateway = ClickatellHttp(user="user", password="Secret-Word", api_id="api")
    text = f"ID: secret-word Status: 006\nID: x_Secret-Word_y Status: 006\nID: {ID} Status: 006"
    verdict = gateway.read_stop("mine", IdType.CLIENT_MESSAGE_ID, answer(text))
    assert verdict.detail == f"status 006: cancelled; gateway's id: {ID}"
