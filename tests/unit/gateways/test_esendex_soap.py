"""SOAP 1.2 with addressing, as far as a cancellation needs it."""

import xml.etree.ElementTree as ET
from uuid import UUID

import pytest

from airflow_provider_smscancel.gateways import esendex_soap as soap
from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType
from airflow_provider_smscancel.gateways.esendex import EsendexUs

ID = "1627aea5-8e0a-4371-9022-9b504344e724"
OTHER_ID = "d73cd74b-8687-4701-8f03-f75b4d4d860d"
ENDPOINT = "https://messaging.esendex.us/Messaging.svc/WS"
S12 = "http://www.w3.org/2003/05/soap-envelope"
S11 = "http://schemas.xmlsoap.org/soap/envelope/"
A = "http://www.w3.org/2005/08/addressing"
NAMESPACES = {"s": S12, "a": A, "m": "http://sms2.cdyne.com"}

gateway = EsendexUs(base_url="https://messaging.esendex.us", request_format="soap")


def reply(body: str, header: str = "", envelope: str = S12) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{envelope}" xmlns:a="{A}"><s:Header>{header}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def result(text: str) -> str:
    return (
        '<CancelMessageResponse xmlns="http://sms2.cdyne.com">'
        f"<CancelMessageResult>{text}</CancelMessageResult></CancelMessageResponse>"
    )


def fault12(code: str, subcode: str = "", reason: str = "for 15551234567") -> str:
    inner = f"<s:Subcode><s:Value>{subcode}</s:Value></s:Subcode>" if subcode else ""
    return (
        f"<s:Fault><s:Code><s:Value>{code}</s:Value>{inner}</s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{reason}</s:Text></s:Reason></s:Fault>'
    )


def fault11(code: str) -> str:
    return f"<s:Fault><faultcode>{code}</faultcode><faultstring>for 15551234567</faultstring></s:Fault>"


def relates_to(request_id: str) -> str:
    return f"<a:RelatesTo>{request_id}</a:RelatesTo>"


def read(body: bytes, status: int = 200):
    return gateway.read_stop(
        ID, IdType.MESSAGE_ID, Answer(status, {"Content-Type": "application/soap+xml"}, body)
    )


def test_the_request_is_soap_1_2_with_its_action_in_the_content_type():
    request = gateway.stop(ID, IdType.MESSAGE_ID)
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers["Content-Type"] == (
        'application/soap+xml; charset=utf-8; action="http://sms2.cdyne.com/Isms/CancelMessage"'
    )
    root = ET.fromstring(request.body)
    assert root.tag == f"{{{S12}}}Envelope"
    assert root.findtext("s:Body/m:CancelMessage/m:MessageID", namespaces=NAMESPACES) == ID


def test_the_request_is_addressed_with_action_message_id_to_and_reply_to():
    root = ET.fromstring(soap.cancel_envelope(ID, ENDPOINT))
    header = root.find("s:Header", NAMESPACES)
    assert header.findtext("a:Action", namespaces=NAMESPACES) == "http://sms2.cdyne.com/Isms/CancelMessage"
    assert header.findtext("a:To", namespaces=NAMESPACES) == ENDPOINT
    assert header.findtext("a:ReplyTo/a:Address", namespaces=NAMESPACES) == f"{A}/anonymous"
    assert header.findtext("a:MessageID", namespaces=NAMESPACES) == soap.request_id(ID)


def test_what_goes_into_the_envelope_is_escaped():
    root = ET.fromstring(soap.cancel_envelope("<x>&", "https://h/?a=1&b=<"))
    assert root.findtext("s:Body/m:CancelMessage/m:MessageID", namespaces=NAMESPACES) == "<x>&"
    assert root.findtext("s:Header/a:To", namespaces=NAMESPACES) == "https://h/?a=1&b=<"


def test_the_request_id_is_the_same_for_every_repeat_and_differs_between_messages():
    assert soap.request_id(ID) == soap.request_id(ID.upper())
    assert soap.request_id(ID) != soap.request_id(OTHER_ID)
    prefix, _, number = soap.request_id(ID).rpartition(":")
    assert prefix == "urn:uuid"
    assert UUID(number).version == 5
    assert ID not in soap.request_id(ID)


@pytest.mark.parametrize(
    ("text", "finding", "code"),
    [
        ("true", Finding.CANCELLED, "true"),
        ("1", Finding.CANCELLED, "true"),
        ("false", Finding.NOT_STOPPED, "false"),
        ("0", Finding.NOT_STOPPED, "false"),
        ("", Finding.UNREADABLE, None),
        ("True", Finding.UNREADABLE, None),
        ("<x>true</x>", Finding.UNREADABLE, None),
        ("<x/>true", Finding.UNREADABLE, None),
    ],
)
@pytest.mark.parametrize("envelope", [S12, S11])
def test_the_result_is_the_literal_boolean(text, finding, code, envelope):
    verdict = read(reply(result(text), relates_to(soap.request_id(ID)), envelope))
    assert (verdict.finding, verdict.code) == (finding, code)


def test_two_results_are_no_result():
    both = (
        '<CancelMessageResponse xmlns="http://sms2.cdyne.com"><CancelMessageResult>true</CancelMessageResult>'
        "<CancelMessageResult>false</CancelMessageResult></CancelMessageResponse>"
    )
    assert read(reply(both)).finding is Finding.UNREADABLE


def test_the_result_of_another_operation_is_unreadable():
    body = result("true").replace("CancelMessage", "CancelAllMessages")
    assert read(reply(body)).finding is Finding.UNREADABLE


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("header", [relates_to(soap.request_id(OTHER_ID)), "<a:RelatesTo/>"])
@pytest.mark.parametrize("body", [result("true"), result("false"), fault12("s:Sender")])
def test_a_reply_to_another_request_is_unreadable(body, header, status):
    assert read(reply(body, header), status).finding is Finding.UNREADABLE


@pytest.mark.parametrize(
    ("declared", "changed"),
    [
        (f'xmlns:s="{S12}"', 'xmlns:s="urn:other"'),
        ('xmlns="http://sms2.cdyne.com"', 'xmlns="urn:other"'),
        (f'xmlns:a="{A}"', ""),
        (f'xmlns:a="{A}"', f'Axmlns:a="{A}"'),
    ],
)
def test_a_reply_with_foreign_or_undeclared_namespaces_is_unreadable(declared, changed):
    good = reply(result("true"), relates_to(soap.request_id(ID))).decode()
    assert declared in good
    assert read(good.encode()).finding is Finding.CANCELLED
    assert read(good.replace(declared, changed).encode()).finding is Finding.UNREADABLE


def test_one_foreign_relation_among_several_is_enough_to_doubt_a_reply():
    header = relates_to(soap.request_id(ID)) + relates_to(soap.request_id(OTHER_ID))
    assert read(reply(result("true"), header)).finding is Finding.UNREADABLE


def test_a_reply_without_a_relation_is_read():
    assert read(reply(result("true"))).finding is Finding.CANCELLED
    without_header = reply(result("true")).replace(b"<s:Header></s:Header>", b"")
    assert read(without_header).finding is Finding.CANCELLED


def test_a_reply_in_upper_case_letters_relates_all_the_same():
    header = relates_to(f" {soap.request_id(ID).upper()} ")
    assert read(reply(result("true"), header)).finding is Finding.CANCELLED


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize(
    ("fault", "finding", "detail"),
    [
        (fault12("s:Sender"), Finding.REFUSED, "SOAP fault: Sender"),
        (
            fault12("s:Sender", "a:ActionNotSupported"),
            Finding.REFUSED,
            "SOAP fault: Sender/ActionNotSupported",
        ),
        (fault12("s:MustUnderstand"), Finding.REFUSED, "SOAP fault: MustUnderstand"),
        (fault12("s:VersionMismatch"), Finding.REFUSED, "SOAP fault: VersionMismatch"),
        (fault12("s:Receiver"), Finding.FAULT, "SOAP fault: Receiver"),
        (
            fault12("s:Receiver", "x:InternalServiceFault"),
            Finding.FAULT,
            "SOAP fault: Receiver/InternalServiceFault",
        ),
        (
            fault12("s:Sender", "x:InternalServiceFault"),
            Finding.FAULT,
            "SOAP fault: Sender/InternalServiceFault",
        ),
        (fault12("s:Whatever"), Finding.FAULT, "SOAP fault: Whatever"),
        (fault12("s:1555 123 4567"), Finding.FAULT, "SOAP fault: without a readable code"),
        (fault11("s:Client"), Finding.REFUSED, "SOAP fault: Client"),
        (fault11("s:Client.Authentication"), Finding.REFUSED, "SOAP fault: Client.Authentication"),
        (fault11("s:Server"), Finding.FAULT, "SOAP fault: Server"),
        (fault11("x:InternalServiceFault"), Finding.FAULT, "SOAP fault: InternalServiceFault"),
        ("<s:Fault/>", Finding.FAULT, "SOAP fault: without a readable code"),
        ("<s:Fault>text</s:Fault>", Finding.FAULT, "SOAP fault: without a readable code"),
        (fault12("s:Sender") * 2, Finding.FAULT, "SOAP fault: without a readable code"),
    ],
)
def test_a_fault_is_found_whatever_the_status(fault, finding, detail, status):
    verdict = read(reply(fault), status)
    assert (verdict.finding, verdict.detail, verdict.http_status) == (finding, detail, status)


def test_a_fault_outweighs_a_result_beside_it():
    assert read(reply(result("true") + fault12("s:Sender"))).finding is Finding.REFUSED


def test_a_faults_own_words_are_not_repeated():
    verdict = read(reply(fault12("s:Sender", reason="to 15551234567: hello")), 500)
    assert "1555" not in f"{verdict}"
    assert "hello" not in f"{verdict}"


@pytest.mark.parametrize(
    ("status", "finding"), [(429, Finding.BUSY), (503, Finding.FAULT), (404, Finding.UNREADABLE)]
)
def test_other_statuses_speak_before_a_fault(status, finding):
    assert read(reply(fault12("s:Sender")), status).finding is finding


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_result_without_a_2xx_status_does_not_count(status):
    body = reply(result("true"), relates_to(soap.request_id(ID)))
    assert read(body, status).finding in (Finding.FAULT, Finding.UNREADABLE)


OF_ANOTHER = f"<s:Header>{relates_to(soap.request_id(OTHER_ID))}</s:Header>"
OF_OURS = f"<s:Header>{relates_to(soap.request_id(ID))}</s:Header>"


@pytest.mark.parametrize("second", [OF_ANOTHER, OF_OURS, "<s:Header/>"])
@pytest.mark.parametrize("before", ["<s:Header>", "<s:Body>"])
def test_a_reply_with_two_headers_of_which_one_is_about_another_stop_confirms_nothing(second, before):
    body = reply(result("true"), relates_to(soap.request_id(OTHER_ID))).decode()
    assert read(body.replace(before, second + before, 1).encode()).finding is Finding.UNREADABLE
