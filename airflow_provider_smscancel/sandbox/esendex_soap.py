"""Esendex US over SOAP: 1.2 with addressing at ``/Messaging.svc/WS``, 1.1 at ``/Messaging.svc/SecureSoap``.

Only CancelMessage is served; its action is the only one that is documented. Faults are those of the framework
that the service is built on (WCF), always with HTTP 500. As it does, a wrong content type is a bare 415, an
absent ``MessageID`` in the body is the all-zero GUID, and an addressing header that is missing is a fault.
The action of the reply is inferred from the request's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape

import xmltodict

from airflow_provider_smscancel.sandbox import ESENDEX
from airflow_provider_smscancel.sandbox.esendex_answers import (
    GUID,
    NAMESPACE,
    ZERO_GUID,
    method_not_allowed,
)
from airflow_provider_smscancel.sandbox.wire import Call, Reply, media_type

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.state import SandboxState

ACTION = "http://sms2.cdyne.com/Isms/CancelMessage"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
DISPATCHER = "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"


class _FaultError(Exception):
    """The request is answered with a fault.

    :param code: without a prefix.
    :param namespace: of the code.
    """

    def __init__(self, code: str, namespace: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.namespace = namespace
        self.reason = reason


def handle(state: SandboxState, call: Call, *, addressing: bool) -> Reply:
    """Answer one call.

    :param addressing: whether it came to the SOAP 1.2 endpoint, which wants WS-Addressing 1.0 headers.
    """
    if call.method != "POST":
        return method_not_allowed(("POST",))
    expected = "application/soap+xml" if addressing else "text/xml"
    if media_type(call.headers.get(b"content-type", b"")) != expected:
        return Reply(415, b"")
    relates_to = ""
    try:
        envelope = _envelope(call.body, SOAP_12 if addressing else SOAP_11)
        relates_to = _relates_to(envelope) if addressing else ""
        _check_action(_addressed_action(envelope) if addressing else _soap_action(call), addressing)
        cancelled = state.stop_by_id(ESENDEX, _message_id(envelope))
    except _FaultError as fault:
        return _fault(fault, relates_to, addressing)
    result = "true" if cancelled else "false"
    body = (
        f'<CancelMessageResponse xmlns="{NAMESPACE}">'
        f"<CancelMessageResult>{result}</CancelMessageResult></CancelMessageResponse>"
    )
    return _reply(200, body, f"{ACTION}Response", relates_to, addressing)


def _envelope(body: bytes, namespace: str) -> dict[str, Any]:
    try:
        document = xmltodict.parse(body, process_namespaces=True, xml_attribs=False)
    except (ExpatError, ValueError):
        document = {}
    root = _mapping(document.get(f"{namespace}:Envelope"))
    if not root:
        raise _FaultError(
            "DeserializationFailed",
            DISPATCHER,
            "The message is not an envelope of this endpoint's SOAP version.",
        )
    return {"Header": root.get(f"{namespace}:Header"), "Body": root.get(f"{namespace}:Body")}


def _relates_to(envelope: dict[str, Any]) -> str:
    return _text(_mapping(envelope["Header"]).get(f"{ADDRESSING}:MessageID"))


def _soap_action(call: Call) -> str:
    return call.headers.get(b"soapaction", b"").decode("latin-1").strip().strip('"')


def _check_action(action: str, addressing: bool) -> None:
    if action != ACTION:
        raise _FaultError(
            "ActionNotSupported",
            ADDRESSING if addressing else "http://schemas.microsoft.com/ws/2005/05/addressing/none",
            f"The message with Action '{action}' cannot be processed at the receiver, due to a"
            " ContractFilter mismatch at the EndpointDispatcher.",
        )


def _addressed_action(envelope: dict[str, Any]) -> str:
    header = _mapping(envelope["Header"])
    for name in ("Action", "MessageID", "To"):
        if not _text(header.get(f"{ADDRESSING}:{name}")):
            raise _FaultError(
                "MessageAddressingHeaderRequired",
                ADDRESSING,
                f"The message is missing the required addressing header '{name}'.",
            )
    to = _text(header[f"{ADDRESSING}:To"])
    if not to.lower().endswith("/messaging.svc/ws"):
        raise _FaultError(
            "DestinationUnreachable",
            ADDRESSING,
            f"The message with To '{to}' cannot be processed at the receiver, due to an AddressFilter"
            " mismatch at the EndpointDispatcher.",
        )
    return _text(header[f"{ADDRESSING}:Action"])


def _message_id(envelope: dict[str, Any]) -> str:
    body = _mapping(envelope.get("Body"))
    if f"{NAMESPACE}:CancelMessage" not in body:
        raise _FaultError(
            "DeserializationFailed",
            DISPATCHER,
            "OperationFormatter encountered an invalid Message body. Expected to find node type 'Element'"
            f" with name 'CancelMessage' and namespace '{NAMESPACE}'.",
        )
    parameters = _mapping(body[f"{NAMESPACE}:CancelMessage"])
    if f"{NAMESPACE}:MessageID" not in parameters:
        return ZERO_GUID
    message_id = _text(parameters[f"{NAMESPACE}:MessageID"])
    if not GUID.fullmatch(message_id):
        raise _FaultError(
            "DeserializationFailed",
            DISPATCHER,
            "The formatter threw an exception while trying to deserialize the message: Error in deserializing"
            " body of request message for operation 'CancelMessage'.",
        )
    return message_id.lower()


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _fault(fault: _FaultError, relates_to: str, addressing: bool) -> Reply:
    reason = escape(fault.reason)
    if addressing:
        body = (
            "<s:Fault><s:Code><s:Value>s:Sender</s:Value>"
            f'<s:Subcode><s:Value xmlns:f="{fault.namespace}">f:{fault.code}</s:Value></s:Subcode></s:Code>'
            f'<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason></s:Fault>'
        )
    else:
        body = (
            f'<s:Fault><faultcode xmlns:f="{fault.namespace}">f:{fault.code}</faultcode>'
            f'<faultstring xml:lang="en-US">{reason}</faultstring></s:Fault>'
        )
    action = f"{ADDRESSING}/fault" if fault.namespace == ADDRESSING else f"{DISPATCHER}/fault"
    return _reply(500, body, action, relates_to, addressing)


def _reply(status: int, body: str, action: str, relates_to: str, addressing: bool) -> Reply:
    if not addressing:
        document = f'<s:Envelope xmlns:s="{SOAP_11}"><s:Body>{body}</s:Body></s:Envelope>'
        return Reply(status, document.encode("utf-8"), b"text/xml; charset=utf-8")
    relation = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to else ""
    document = (
        f'<s:Envelope xmlns:s="{SOAP_12}" xmlns:a="{ADDRESSING}"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{escape(action)}</a:Action>{relation}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
    return Reply(status, document.encode("utf-8"), b"application/soap+xml; charset=utf-8")
