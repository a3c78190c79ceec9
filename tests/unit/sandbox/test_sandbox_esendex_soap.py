"""Esendex US over SOAP 1.2 with addressing, and over SOAP 1.1, with the faults of its framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
import xmltodict

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer

ACTION = "http://sms2.cdyne.com/Isms/CancelMessage"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SMS = "http://sms2.cdyne.com"
UNKNOWN = "1627aea5-8e0a-4371-9022-9b504344e724"

Seed = Callable[..., str]
Post = Callable[..., requests.Response]


def body_of(message_id: str) -> str:
    return f'<CancelMessage xmlns="{SMS}"><MessageID>{message_id}</MessageID></CancelMessage>'


@pytest.fixture
def soap_12(sandbox: SandboxServer, session: requests.Session) -> Post:
    def post(
        body: str, content_type: str = "application/soap+xml", **changed: str | None
    ) -> requests.Response:
        headers: dict[str, str | None] = {
            "Action": ACTION,
            "MessageID": "urn:uuid:1",
            "To": f"{sandbox.url}/Messaging.svc/WS",
            **changed,
        }
        written = "".join(f"<a:{name}>{value}</a:{name}>" for name, value in headers.items() if value)
        envelope = (
            f'<e:Envelope xmlns:e="{SOAP_12}" xmlns:a="{ADDRESSING}">'
            f"<e:Header>{written}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
        )
        return session.post(
            f"{sandbox.url}/Messaging.svc/WS",
            data=envelope,
            headers={"Content-Type": f"{content_type}; charset=utf-8"},
            timeout=10,
        )

    return post


@pytest.fixture
def soap_11(sandbox: SandboxServer, session: requests.Session) -> Post:
    def post(body: str, action: str | None = f'"{ACTION}"') -> requests.Response:
        envelope = f'<e:Envelope xmlns:e="{SOAP_11}"><e:Body>{body}</e:Body></e:Envelope>'
        return session.post(
            f"{sandbox.url}/Messaging.svc/SecureSoap",
            data=envelope,
            headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": action},
            timeout=10,
        )

    return post


def parsed(answer: requests.Response, namespace: str) -> dict[str, Any]:
    names = {namespace: "s", ADDRESSING: "a", SMS: None}
    document = xmltodict.parse(answer.content, process_namespaces=True, namespaces=names, xml_attribs=False)
    return dict(document["s:Envelope"])


def result_of(answer: requests.Response, namespace: str) -> str:
    assert answer.status_code == 200
    body = parsed(answer, namespace)["s:Body"]
    return str(body["CancelMessageResponse"]["CancelMessageResult"])


def test_soap_12_stops_and_relates_its_answer_to_the_request(soap_12: Post, seed: Seed) -> None:
    message_id = seed("esendex")
    answer = soap_12(body_of(message_id))
    assert answer.headers["Content-Type"].startswith("application/soap+xml")
    assert result_of(answer, SOAP_12) == "true"
    assert parsed(answer, SOAP_12)["s:Header"]["a:RelatesTo"] == "urn:uuid:1"
    assert result_of(soap_12(body_of(message_id)), SOAP_12) == "false"


def test_soap_11_stops_too(soap_11: Post, seed: Seed) -> None:
    message_id = seed("esendex")
    answer = soap_11(body_of(message_id))
    assert answer.headers["Content-Type"].startswith("text/xml")
    assert result_of(answer, SOAP_11) == "true"
    assert result_of(soap_11(body_of(UNKNOWN)), SOAP_11) == "false"


def test_an_absent_message_id_is_the_all_zero_guid_and_false(soap_12: Post) -> None:
    assert result_of(soap_12(f'<CancelMessage xmlns="{SMS}"/>'), SOAP_12) == "false"


def fault_12(answer: requests.Response) -> tuple[int, str, str]:
    fault = parsed(answer, SOAP_12)["s:Body"]["s:Fault"]
    code = fault["s:Code"]
    return answer.status_code, code["s:Value"], code["s:Subcode"]["s:Value"].split(":")[1]


@pytest.mark.parametrize(
    "body",
    [
        body_of("nothing"),
        body_of(""),
        f"<CancelMessage><MessageID>{UNKNOWN}</MessageID></CancelMessage>",
        f'<CancelAll xmlns="{SMS}"/>',
        "",
    ],
)
def test_a_body_that_can_not_be_read_is_a_deserialization_fault(soap_12: Post, body: str) -> None:
    assert fault_12(soap_12(body)) == (500, "s:Sender", "DeserializationFailed")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Action": "http://sms2.cdyne.com/IMessaging/CancelMessage"}, "ActionNotSupported"),
        ({"Action": None}, "MessageAddressingHeaderRequired"),
        ({"MessageID": None}, "MessageAddressingHeaderRequired"),
        ({"To": None}, "MessageAddressingHeaderRequired"),
        ({"To": "http://other.invalid/elsewhere"}, "DestinationUnreachable"),
    ],
)
def test_addressing_headers_are_checked(
    soap_12: Post, seed: Seed, changed: dict[str, str | None], code: str
) -> None:
    assert fault_12(soap_12(body_of(seed("esendex")), **changed)) == (500, "s:Sender", code)


def test_soap_11_faults_are_told_by_faultcode(soap_11: Post) -> None:
    for answer, code in [
        (soap_11(body_of("nothing")), "DeserializationFailed"),
        (soap_11(body_of(UNKNOWN), action='"other"'), "ActionNotSupported"),
        (soap_11(body_of(UNKNOWN), action=None), "ActionNotSupported"),
    ]:
        assert answer.status_code == 500
        assert parsed(answer, SOAP_11)["s:Body"]["s:Fault"]["faultcode"].endswith(f":{code}")


def test_the_other_versions_content_type_is_415(soap_12: Post) -> None:
    assert soap_12(body_of(UNKNOWN), "text/xml").status_code == 415


def test_a_get_is_405(sandbox: SandboxServer, session: requests.Session) -> None:
    assert session.get(f"{sandbox.url}/messaging.svc/ws", timeout=10).status_code == 405
