from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, SentMessage, Verdict
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

ID = "360586640fe9846954897dffe6c13dfc"
OTHER_ID = "b09e1b1bdb5a070c978f03b6836b955c"
TOKEN = "a.very-secret_token"
NUMBER = "27831234567"

GATEWAY = ClickatellRest(base_url="http://127.0.0.1:8099", token=TOKEN)


def as_json(document):
    return json.dumps(document).encode()


def as_xml(document):
    """Write what `as_json` writes, the way the vendor's XML sample has it."""

    def element(name, value):
        if isinstance(value, list):
            return "".join(element(name, item) for item in value)
        if isinstance(value, dict):
            inner = "".join(element(key, item) for key, item in value.items())
        elif value is None:
            return f"<{name}/>"
        else:
            inner = escape(json.dumps(value) if isinstance(value, bool) else str(value))
        return f"<{name}>{inner}</{name}>"

    return f'<?xml version="1.0"?>{element("response", document)}'.encode()


@pytest.fixture(params=[as_json, as_xml], ids=["json", "xml"])
def encode(request):
    return request.param


def about(message_id=ID, status="006", **more):
    return {"data": {"messageStatus": status, "description": "words", "apiMessageId": message_id, **more}}


def error(code, description=f"No route to {NUMBER}"):
    return {"error": {"code": code, "description": description, "documentation": "http://127.0.0.1/x"}}


def answer(body, status=200, **headers):
    return Answer(status, CaseInsensitiveDict({k.replace("_", "-"): v for k, v in headers.items()}), body)


def read(body, status=200, message_id=ID, **headers):
    verdicts = {
        call(message_id, IdType.MESSAGE_ID, answer(body, status, **headers))
        for call in (GATEWAY.read_stop, GATEWAY.read_status)
    }
    assert len(verdicts) == 1, "a stop and a status query read the same answer differently"
    return verdicts.pop()


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
}


@pytest.mark.parametrize(("status", "finding"), STATUS_FINDINGS.items())
def test_every_documented_status(encode, status, finding):
    verdict = read(encode(about(status=status)))
    assert (verdict.finding, verdict.code, verdict.http_status) == (finding, status, 200)
    assert verdict.detail.startswith(f"status {status}: ")
    assert "words" not in verdict.detail, "the gateway's own text may hold anything"


@pytest.mark.parametrize("status", [6, "6", "06"])
def test_a_status_as_an_integer_or_unpadded(status):
    assert read(as_json(about(status=status))) == read(as_json(about()))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("000", "000"),
        ("015", "015"),
        ("106", "106"),
        ("0006", "0006"),
        (True, None),
        (6.0, None),
        (-6, None),
        ("", None),
        ("006 ", None),
        ("006\n", None),
        ("\u0660\u0660\u0666", None),
        ("cancelled", None),
        (None, None),
        (["006"], None),
        ({"code": "006"}, None),
    ],
)
def test_any_other_status_is_unreadable_and_its_code_is_kept(status, code):
    verdict = read(as_json(about(status=status)))
    assert (verdict.finding, verdict.code) == (Finding.UNREADABLE, code)


def test_a_status_that_is_missing_is_unreadable():
    assert read(as_json({"data": {"apiMessageId": ID}})).finding is Finding.UNREADABLE


@pytest.mark.parametrize("status", [200, 201, 202, 207])
def test_data_counts_with_any_2xx(encode, status):
    verdict = read(encode(about()), status)
    assert (verdict.finding, verdict.http_status) == (Finding.CANCELLED, status)


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (302, Finding.UNREADABLE),
        (400, Finding.UNREADABLE),
        (401, Finding.ACCOUNT),
        (403, Finding.UNREADABLE),
        (404, Finding.UNREADABLE),
        (429, Finding.BUSY),
        (500, Finding.FAULT),
        (503, Finding.FAULT),
    ],
)
def test_data_does_not_count_without_a_2xx(encode, status, finding):
    assert read(encode(about()), status).finding is finding


def test_either_format_is_read_whichever_was_asked_for():
    xml = ClickatellRest(token=TOKEN, response_format="xml")
    for gateway in (GATEWAY, xml):
        for body in (as_json(about()), as_xml(about()), b"\xef\xbb\xbf\r\n" + as_json(about())):
            assert gateway.read_stop(ID, IdType.MESSAGE_ID, answer(body)).finding is Finding.CANCELLED


def test_retry_after_travels_along_with_every_verdict():
    for body, status in [
        (as_json(about()), 200),
        (as_json(error("901")), 200),
        (b"", 429),
        (b"", 503),
        (b"", 404),
        (b"", 401),
        (as_json(about(OTHER_ID)), 200),
    ]:
        verdict = read(body, status, retry_after="30")
        assert (verdict.retry_after, verdict.http_status) == ("30", status)


REFUSALS = "100 101 102 105 106 109 113 114 116 120 122 123 128"

ERROR_FINDINGS = [
    (400, "001", Finding.ACCOUNT),
    (401, "001", Finding.ACCOUNT),
    (401, "007", Finding.ACCOUNT),
    (400, "007", Finding.ACCOUNT),
    (400, "108", Finding.ACCOUNT),
    (400, "165", Finding.ACCOUNT),
    (404, "161", Finding.UNKNOWN_ID),
    (400, "103", Finding.UNKNOWN_ID),
    (400, "104", Finding.UNKNOWN_ID),
    (503, "901", Finding.FAULT),
    (500, "901", Finding.FAULT),
    (400, "901", Finding.FAULT),
    (402, "301", Finding.REFUSED),
    (405, "160", Finding.REFUSED),
    (406, "166", Finding.REFUSED),
    (415, "167", Finding.REFUSED),
    (410, "121", Finding.REFUSED),
    *((400, code, Finding.REFUSED) for code in REFUSALS.split()),
    (400, "999", Finding.REFUSED),
    (403, "114", Finding.REFUSED),
    (400, "130", Finding.BUSY),
    (429, "001", Finding.BUSY),
    (429, "161", Finding.BUSY),
    (500, "161", Finding.FAULT),
    (302, "161", Finding.UNREADABLE),
]


@pytest.mark.parametrize(("status", "code", "finding"), ERROR_FINDINGS)
def test_every_error_envelope(encode, status, code, finding):
    verdict = read(encode(error(code)), status)
    assert (verdict.finding, verdict.http_status) == (finding, status)
    if finding is not Finding.UNREADABLE:
        assert verdict.code == code
        assert f"error {code}" in verdict.detail
    assert "No route" not in verdict.detail
    assert NUMBER not in repr(verdict)


@pytest.mark.parametrize(("status", "code", "finding"), [row for row in ERROR_FINDINGS if row[0] < 402][:8])
def test_an_error_envelope_with_a_200_counts_as_the_error(encode, status, code, finding):
    assert read(encode(error(code)), 200).finding is finding


@pytest.mark.parametrize("code", ["1", 1, "01"])
def test_an_error_code_as_an_integer_or_unpadded(code):
    verdict = read(as_json(error(code)), 400)
    assert (verdict.finding, verdict.code) == (Finding.ACCOUNT, "001")


def test_an_error_as_the_root_of_an_xml_answer():
    body = b"<error><code>161</code><description>x</description></error>"
    assert read(body, 404).finding is Finding.UNKNOWN_ID


@pytest.mark.parametrize("body", [b"", b"<html>Unauthorized</html>", as_json({"error": "no"})])
def test_a_401_is_about_the_account_whatever_it_holds(body):
    verdict = read(body, 401)
    assert (verdict.finding, verdict.code) == (Finding.ACCOUNT, None)
    assert "token" in verdict.detail


@pytest.mark.parametrize(("code", "advice"), [("007", "address"), ("165", "X-Version"), ("108", "API id")])
def test_an_account_refusal_says_what_to_do(code, advice):
    assert advice in read(as_json(error(code)), 400).detail


@pytest.mark.parametrize("status", [200, 400, 402, 403, 404, 405, 410])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Not found",
        b"<html><body>Not Found</body></html>",
        as_json({"error": "not found"}),
        as_json({"error": {"message": "no"}}),
        as_json({"error": {"code": True}}),
        as_json({"error": {"code": "not_found"}}),
        as_json([]),
        as_json({}),
        as_json({"data": [about()["data"]]}),
        as_json({"data": None, "error": None}),
    ],
)
def test_what_is_no_clickatell_answer_is_unreadable(status, body):
    verdict = read(body, status)
    assert (verdict.finding, verdict.code, verdict.http_status) == (Finding.UNREADABLE, None, status)
    assert f"HTTP {status}" in verdict.detail


def test_data_and_an_error_together_are_unreadable(encode):
    assert read(encode({**about(), **error("161")})).finding is Finding.UNREADABLE
    assert read(encode({**about(), **error("161")}), 404).finding is Finding.UNREADABLE
    assert read(encode(about(error={"code": "161"}))).finding is Finding.UNREADABLE
    assert read(as_json({"data": [], **error("161")})).finding is Finding.UNREADABLE


def test_an_error_of_null_is_no_error():
    assert read(as_json({**about(), "error": None})).finding is Finding.CANCELLED


def test_an_answer_that_repeats_a_name_is_unreadable():
    body = f'{{"data":{{"messageStatus":"004","messageStatus":"006","apiMessageId":"{ID}"}}}}'.encode()
    assert read(body).finding is Finding.UNREADABLE
    element = f"<messageStatus>006</messageStatus><apiMessageId>{ID}</apiMessageId>"
    twice = f"<response><data><messageStatus>004</messageStatus>{element}</data></response>".encode()
    assert read(twice).finding is Finding.UNREADABLE


# --- arbitrary answers ----------------------------------------------------------------------------


def may_be_cancelled(body, message_id):
    """Whether a body could be a word of cancellation about this message, by a check that knows no format."""
    text = body.replace(b"\0", b"")
    return (
        message_id.lower().encode() in text.lower() and re.search(rb"(?<!\d)0{0,2}6(?!\d)", text) is not None
    )


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(100, 599))
def test_arbitrary_bytes_never_cancel(body, status):
    verdict = read(body, status)
    assert verdict.finding is not Finding.CANCELLED
    assert verdict.http_status == status


LOOSE = st.sampled_from(
    [ID, ID.upper(), OTHER_ID, "006", "6", 6, "004", 4, True, 6.0, None, "", "161", "x", []]
)
USUALLY_ID = st.just(ID) | LOOSE
USUALLY_CANCELLED = st.just("006") | LOOSE
ERRORS = st.none() | LOOSE | st.builds(lambda code: {"code": code}, LOOSE)
ALMOST_DATA = st.fixed_dictionaries(
    {"apiMessageId": USUALLY_ID, "messageStatus": USUALLY_CANCELLED}, optional={"error": ERRORS}
)
ALMOST = st.fixed_dictionaries(
    {"data": ALMOST_DATA | LOOSE | st.lists(ALMOST_DATA, max_size=2)}, optional={"error": ERRORS}
)


@settings(deadline=None, max_examples=400)
@given(ALMOST, st.sampled_from([200, 200, 200, 202, 302, 400, 401, 404, 429, 500]), st.booleans())
def test_almost_right_answers_cancel_exactly_when_they_say_so(document, status, in_xml):
    body = as_xml(document) if in_xml else as_json(document)
    # In XML, a list of one is the one, and what is empty is nothing.
    data = document["data"]
    if in_xml and isinstance(data, list) and len(data) == 1:
        data = data[0]
    no_error = (None, "", [], {"code": []}) if in_xml else (None,)
    said = (
        isinstance(data, dict)
        and data["apiMessageId"] in (ID, ID.upper())
        and data["messageStatus"] in ("006", "6", 6)
        and not isinstance(data["messageStatus"], float)
        and data.get("error") in no_error
        and document.get("error") in no_error
        and status in (200, 202)
    )
    assert (read(body, status).finding is Finding.CANCELLED) == said
    assert not said or may_be_cancelled(body, ID)


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.sampled_from(sorted(STATUS_FINDINGS)))
def test_every_id_and_status_makes_the_round_trip(message_id, status):
    for encode in (as_json, as_xml):
        verdict = read(encode(about(message_id, status)), message_id=message_id)
        assert (verdict.finding, verdict.code) == (STATUS_FINDINGS[status], status)


def test_the_usual_answer_is_not_built_anew_each_time():
    first, second = (
        GATEWAY.read_stop(ID, IdType.MESSAGE_ID, answer(as_json(about()), Date="now")) for _ in range(2)
    )
    assert first is second


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message_id", [ID, ID.upper(), "a", "A-b_9" * 12, "0" * 64])
def test_well_formed_ids(message_id):
    assert GATEWAY.id_error(message_id, IdType.MESSAGE_ID) is None


@pytest.mark.parametrize(
    "message_id",
    ["", " ", "a" * 65, ID + "\n", "a b", "a/b", "..", "+27831234567", "é", "\u0661", "a\0", "\ud800"],
)
def test_malformed_ids_are_named_but_not_echoed(message_id):
    problem = GATEWAY.id_error(message_id, IdType.MESSAGE_ID)
    assert problem is not None
    assert not message_id.strip() or len(message_id) < 3 or message_id not in problem


def test_client_ids_are_not_for_this_api():
    assert GATEWAY.id_types == {IdType.MESSAGE_ID}
    assert "HTTP API" in GATEWAY.id_error(ID, IdType.CLIENT_MESSAGE_ID)
    for build in (GATEWAY.stop, GATEWAY.status):
        with pytest.raises(ValueError, match="HTTP API"):
            build(ID, IdType.CLIENT_MESSAGE_ID)


def test_canonical_ids():
    assert GATEWAY.canonical_id(ID.upper(), IdType.MESSAGE_ID) == ID
    assert GATEWAY.canonical_id("Abc", IdType.MESSAGE_ID) == "Abc"


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "method", "path"),
    [
        (GATEWAY.stop(ID, IdType.MESSAGE_ID), "DELETE", f"/rest/message/{ID}"),
        (GATEWAY.stop("a/../b?c", IdType.MESSAGE_ID), "DELETE", "/rest/message/a%2F..%2Fb%3Fc"),
        (GATEWAY.status(ID, IdType.MESSAGE_ID, full=True), "GET", f"/rest/message/{ID}"),
        (GATEWAY.account_check(), "GET", "/rest/account/balance"),
        (GATEWAY.balance(), "GET", "/rest/account/balance"),
    ],
)
def test_requests_are_as_the_vendor_documents_them(request_, method, path):
    assert request_.method == method
    assert request_.url == "http://127.0.0.1:8099" + path
    assert request_.body is None
    assert request_.headers == {
        "X-Version": "1",
        "Authorization": f"Bearer {TOKEN}",
        "Accept": "application/json",
    }


def test_xml_is_asked_for_when_configured():
    gateway = ClickatellRest(token=TOKEN, response_format="xml")
    assert gateway.stop(ID, IdType.MESSAGE_ID).headers["Accept"] == "application/xml"
    assert gateway.stop(ID, IdType.MESSAGE_ID).url == f"https://api.clickatell.com/rest/message/{ID}"


def test_no_repr_shows_the_token():
    for value in (GATEWAY, GATEWAY.stop(ID, IdType.MESSAGE_ID), GATEWAY.balance()):
        assert TOKEN not in repr(value)
    assert GATEWAY.secrets == (TOKEN,)


@pytest.mark.parametrize("token", ["", "Xq Z9", "Xq9\n", "Xq9\r\nX: y", "tök", "Xq9\0", "\ud800"])
def test_a_token_that_no_header_can_carry_is_refused_without_echo(token):
    with pytest.raises(ValueError, match="token") as caught:
        ClickatellRest(token=token)
    assert not token or token not in str(caught.value)


def test_another_format_and_credentials_in_the_url_are_refused():
    with pytest.raises(ValueError, match="response_format"):
        ClickatellRest(token=TOKEN, response_format="yaml")
    with pytest.raises(ValueError, match="no credentials") as caught:
        ClickatellRest(base_url="https://me:hidden@127.0.0.1", token=TOKEN)
    assert "hidden" not in str(caught.value)


def test_what_the_canceller_needs_to_know():
    assert (GATEWAY.name, GATEWAY.label, GATEWAY.sends_early_s) == ("clickatell", "Clickatell", 300)
    assert (GATEWAY.uses_session, GATEWAY.has_full_status) == (False, False)
    assert ClickatellRest(base_url="http://127.0.0.1:1/", token=TOKEN).base_url == "http://127.0.0.1:1"
    with pytest.raises(NotImplementedError):
        GATEWAY.login()


# --- balance --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("balance", "amount"),
    [("300.50", "300.50"), (300.5, "300.5"), (12, "12"), ("-0.01", "-0.01"), (1e3, "1000")],
)
def test_a_balance_is_read(encode, balance, amount):
    good = answer(encode({"data": {"balance": balance}}))
    assert GATEWAY.read_balance(good) == Decimal(amount)
    assert GATEWAY.read_account_check(good).finding is Finding.ACCEPTED


@pytest.mark.parametrize("balance", [True, None, "", "much", "1,5", "NaN", [], "1" * 40, "1e5"])
def test_a_balance_that_is_none_proves_nothing(balance):
    verdict = GATEWAY.read_account_check(answer(as_json({"data": {"balance": balance}})))
    assert verdict.finding is Finding.UNREADABLE


def test_a_balance_with_an_outlandish_exponent_proves_nothing():
    body = b'{"data":{"balance":1e999999999999999}}'
    assert GATEWAY.read_account_check(answer(body)).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    ("status", "body", "finding"),
    [
        (401, b"", Finding.ACCOUNT),
        (401, as_json(error("007")), Finding.ACCOUNT),
        (400, as_json(error("165")), Finding.ACCOUNT),
        (404, as_json(error("161")), Finding.REFUSED),
        (404, b"", Finding.UNREADABLE),
        (200, b"<html></html>", Finding.UNREADABLE),
        (429, b"", Finding.BUSY),
        (502, b"", Finding.FAULT),
    ],
)
def test_an_account_check_that_fails_says_why(status, body, finding):
    assert GATEWAY.read_account_check(answer(body, status)).finding is finding


# --- sending --------------------------------------------------------------------------------------

NUMBERS = ("27831234567", "+27830000001")


def send(to=NUMBERS, text="Hi", scheduled_at=None, client_message_id=None):
    return GATEWAY.send(to, text, scheduled_at=scheduled_at, client_message_id=client_message_id)


def test_a_send_carries_what_was_asked_for():
    at = datetime(2030, 1, 1, 15, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    request = send(text='Grüße "you" 😀', scheduled_at=at, client_message_id="c-1")
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:8099/rest/message")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Version"] == "1"
    assert json.loads(request.body) == {
        "text": 'Grüße "you" 😀',
        "to": ["27831234567", "27830000001"],
        "scheduledDeliveryTime": "2030-01-01T13:00:00Z",
        "clientMessageId": "c-1",
    }
    assert json.loads(send().body) == {"text": "Hi", "to": ["27831234567", "27830000001"]}
    assert "Content-Type" not in GATEWAY.balance().headers, "one call's header must not stick to the others"


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": []},
        {"to": ["083 123 4567"]},
        {"to": ["27831234567", "2783x"]},
        {"to": ["++27831234567"]},
        {"to": ["27831234567\n"]},
        {"to": ["\u0662\u0667\u0668"]},
        {"to": [27831234567]},
        {"to": ["27831234567", "+27831234567"]},
        {"text": ""},
        {"text": "a\ud800"},
        {"scheduled_at": datetime(2030, 1, 1)},  # noqa: DTZ001 (a naive time is what is tested)
        {"scheduled_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-2)))},
        {"client_message_id": "a b"},
        {"client_message_id": ""},
    ],
)
def test_a_send_that_can_not_work_is_refused_without_echo(wrong):
    with pytest.raises(ValueError, match=r"\w") as caught:
        send(**wrong)
    assert not re.search(r"\d{3}", str(caught.value))
    assert caught.value.__context__ is None


def accepted(to, message_id=ID):
    return {"accepted": True, "to": to, "apiMessageId": message_id}


def refused(to, code="105"):
    return {"accepted": False, "to": to, "apiMessageId": "", **error(code)}


def read_send(body, status=202, to=NUMBERS):
    return GATEWAY.read_send(to, answer(body, status))


def test_recipients_are_matched_by_number_whatever_their_order(encode):
    body = encode({"data": {"message": [refused("27830000001"), accepted("27831234567")]}})
    sent = read_send(body, 207)
    assert sent == [
        SentMessage(ID, None, "27831234567"),
        SentMessage(None, "error 105: invalid destination number", "+27830000001"),
    ]
    assert "2783" not in repr(sent)


def test_one_recipient_is_read_in_either_format(encode):
    body = encode({"data": {"message": [accepted("27831234567")]}})
    assert read_send(body, to=NUMBERS[:1]) == [SentMessage(ID, None, "27831234567")]


def test_recipients_without_numbers_are_matched_by_order():
    entries = [{"accepted": True, "apiMessageId": ID}, {"accepted": True, "apiMessageId": OTHER_ID}]
    assert read_send(as_json({"data": {"message": entries}})) == [
        SentMessage(ID, None, NUMBERS[0]),
        SentMessage(OTHER_ID, None, NUMBERS[1]),
    ]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([accepted("27831234567")], id="one is missing"),
        pytest.param([], id="all are missing"),
        pytest.param(
            [accepted("27831234567"), accepted("27830000001", OTHER_ID), accepted("1", "x")],
            id="one too many",
        ),
        pytest.param([accepted("27831234567"), accepted("27831234567", OTHER_ID)], id="one number twice"),
        pytest.param([accepted("27831234567"), accepted("27839999999", OTHER_ID)], id="a stranger"),
        pytest.param([accepted("27830000001"), accepted(None, OTHER_ID)], id="order against number"),
        pytest.param([accepted("27831234567"), accepted("27830000001")], id="one id twice"),
        pytest.param([accepted("27831234567"), accepted("27830000001", "")], id="accepted without an id"),
        pytest.param([accepted("27831234567"), accepted("27830000001", 7)], id="an id that is a number"),
        pytest.param(
            [accepted("27831234567"), accepted("27830000001", "27830000001")],
            id="an id that is the recipient's number",
        ),
        pytest.param(
            [accepted("27831234567"), {**refused("27830000001"), "apiMessageId": OTHER_ID}],
            id="refused with an id",
        ),
        pytest.param(
            [accepted("27831234567"), {**accepted("27830000001", OTHER_ID), "error": {}}], id="both in one"
        ),
        pytest.param([accepted("27831234567"), {"to": "27830000001"}], id="neither in one"),
        pytest.param([accepted("27831234567"), "text"], id="not an entry"),
    ],
)
def test_a_send_whose_answer_leaves_doubt_is_not_guessed(entries):
    verdict = read_send(as_json({"data": {"message": entries}}))
    assert isinstance(verdict, Verdict)
    assert verdict.finding is Finding.UNREADABLE
    assert "2783" not in verdict.detail


@pytest.mark.parametrize(
    ("body", "status", "finding"),
    [
        (as_json(error("001")), 401, Finding.ACCOUNT),
        (as_json(error("301")), 402, Finding.REFUSED),
        (as_json(error("161")), 404, Finding.REFUSED),
        (b"", 429, Finding.BUSY),
        (b"", 503, Finding.FAULT),
        (b"", 404, Finding.UNREADABLE),
        (b"", 202, Finding.UNREADABLE),
        (as_json({"data": {}}), 202, Finding.UNREADABLE),
    ],
)
def test_a_send_that_fails_as_a_whole(body, status, finding):
    verdict = read_send(body, status)
    assert isinstance(verdict, Verdict)
    assert verdict.finding is finding


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(100, 599))
def test_arbitrary_answers_to_other_calls_never_crash(body, status):
    assert isinstance(read_send(body, status), Verdict)
    assert GATEWAY.read_account_check(answer(body, status)).finding is not Finding.ACCEPTED


def test_a_moment_in_utc_stays_as_it_is():
    assert b'"2030-06-01T00:00:00Z"' in send(scheduled_at=datetime(2030, 6, 1, tzinfo=UTC)).body
