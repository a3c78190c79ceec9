"""SOAP 1.2 with WS-Addressing 1.0, as far as Esendex US needs it to cancel a message.

Source: the vendor's WSDL (target namespace ``http://sms2.cdyne.com``, service ``Messaging``), binding
``mms2wsHttpBindingSecure``, which the vendor's own C# sample uses. Actions are written out: newer operations
of the service follow another pattern. The codes of faults are those of SOAP 1.2, SOAP 1.1 and the framework
that the service is built on (WCF); none was seen from the live service.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from html import escape

PATH = "/Messaging.svc/WS"
"""The endpoint that speaks SOAP 1.2 with addressing, below the base URL."""

CANCEL_ACTION = "http://sms2.cdyne.com/Isms/CancelMessage"
"""The action of CancelMessage."""

CONTENT_TYPE = f'application/soap+xml; charset=utf-8; action="{CANCEL_ACTION}"'
"""The request's content type: SOAP 1.2 carries the action there, not in a header of its own."""

_SOAP = frozenset(
    {"", "http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/"}
)
_SERVICE = frozenset({"", "http://sms2.cdyne.com"})

NAMESPACES = {
    "Envelope": _SOAP,
    "Body": _SOAP,
    "CancelMessageResponse": _SERVICE,
    "CancelMessageResult": _SERVICE,
}
"""Where the elements that lead to a result may come from: SOAP 1.2 or 1.1 and the service, or nowhere."""

_ENVELOPE = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://www.w3.org/2005/08/addressing">'
    "<s:Header>"
    '<a:Action s:mustUnderstand="1">{action}</a:Action>'
    "<a:MessageID>{request_id}</a:MessageID>"
    "<a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address></a:ReplyTo>"
    '<a:To s:mustUnderstand="1">{to}</a:To>'
    "</s:Header>"
    "<s:Body>"
    '<CancelMessage xmlns="http://sms2.cdyne.com"><MessageID>{message_id}</MessageID></CancelMessage>'
    "</s:Body>"
    "</s:Envelope>"
)

_PLAIN_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}")

# "Don't send this again unchanged." Everything else, the unknown included, may be tried again.
_FOR_GOOD = frozenset({"Sender", "Client", "MustUnderstand", "VersionMismatch", "DataEncodingUnknown"})

# WCF's word for an exception that the service did not expect. In SOAP 1.1 it stands alone, without "Server".
_UNHANDLED = "InternalServiceFault"


@dataclass(frozen=True, slots=True)
class SoapFault:
    """A SOAP fault, without the texts that came with it.

    :param code: the local name of its code (``Sender``), or ``""`` when that is not a plain identifier.
    :param subcode: the local name of its subcode, or ``""``.
    """

    code: str
    subcode: str

    @property
    def is_for_good(self) -> bool:
        """Whether the service blames the request: repeating it unchanged is pointless."""
        if _UNHANDLED in (self.code, self.subcode):
            return False
        # SOAP 1.1 allows refinements behind a dot: Client.Authentication.
        return self.code.partition(".")[0] in _FOR_GOOD

    @property
    def name(self) -> str:
        """Its codes for a person: ``Sender/ActionNotSupported``."""
        return "/".join(filter(None, (self.code, self.subcode))) or "without a readable code"


def request_id(message_id: str) -> str:
    """Return the WS-Addressing MessageID of the request that cancels a message: a URN.

    It is derived from the message's id, so that a reply's RelatesTo can be checked without keeping state. A
    repeated request bears the same one, which WS-Addressing 1.0 allows for retransmissions. It can't be
    turned back into the message's id.

    :param message_id: the GUID of the message; letter case does not matter.
    """
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{CANCEL_ACTION}#{message_id.lower()}')}"


def cancel_envelope(message_id: str, to: str) -> bytes:
    """Build the envelope that cancels one message, with an Action, MessageID, ReplyTo (anonymous) and To.

    :param message_id: the GUID of the message.
    :param to: the endpoint's URL as it is addressed, which the service compares with its own.
    """
    return _ENVELOPE.format(
        action=CANCEL_ACTION,
        request_id=request_id(message_id),
        to=escape(to),
        message_id=escape(message_id),
    ).encode()


def is_envelope(document: object) -> bool:
    """Say whether a parsed XML document (prefixes stripped, attributes dropped) is a SOAP envelope."""
    return isinstance(document, dict) and "Envelope" in document


def is_about_another(document: object, message_id: str) -> bool:
    """Say whether a reply names another request than the one that cancels this message.

    A reply that names none is not about another: SOAP without addressing has no such header.
    """
    header = _child(_child(document, "Envelope"), "Header")
    if isinstance(header, list):
        return True  # no envelope has two: which of them counts can't be told
    if not isinstance(header, dict) or "RelatesTo" not in header:
        return False
    named = header["RelatesTo"]
    ours = request_id(message_id)
    return any(
        not isinstance(one, str) or one.strip().lower() != ours
        for one in (named if isinstance(named, list) else [named])
    )


def fault_of(document: object) -> SoapFault | None:
    """Return the fault that a reply holds, of SOAP 1.2 or 1.1, or ``None`` when it holds none."""
    body = _child(_child(document, "Envelope"), "Body")
    if not isinstance(body, dict) or "Fault" not in body:
        return None
    fault = body["Fault"]
    code = _child(fault, "Code")
    return SoapFault(
        code=_local_name(_child(code, "Value")) or _local_name(_child(fault, "faultcode")),
        subcode=_local_name(_child(_child(code, "Subcode"), "Value")),
    )


def cancel_result(document: object) -> object:
    """Return the content of CancelMessageResult, such as ``"true"``, or ``None``. Look for a fault first."""
    body = _child(_child(document, "Envelope"), "Body")
    return _child(_child(body, "CancelMessageResponse"), "CancelMessageResult")


def _child(node: object, name: str) -> object:
    return node.get(name) if isinstance(node, dict) else None


def _local_name(value: object) -> str:
    """Return the part of a qualified name behind its prefix, if it may be shown."""
    if not isinstance(value, str):
        return ""
    name = value.strip().rpartition(":")[2]
    return name if _PLAIN_IDENTIFIER.fullmatch(name) else ""
