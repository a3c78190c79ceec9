"""How Esendex US writes its answers: enumerations as numbers in JSON and as names in XML, dates likewise."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from airflow_provider_smscancel.sandbox.state import Message, Phase
from airflow_provider_smscancel.sandbox.wire import HTML, Reply

GUID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
ZERO_GUID = "00000000-0000-0000-0000-000000000000"
JSON_UTF8 = b"application/json; charset=utf-8"
XML_UTF8 = b"application/xml; charset=utf-8"
NAMESPACE = "http://sms2.cdyne.com"

MESSAGE_STATUSES = {
    0: "Hold",
    200: "Sent",
    201: "Ready",
    202: "Processing",
    400: "InvalidDID",
    401: "InvalidLicenseKey",
    402: "AccountSuspended",
    403: "StopOnPhoneNumber",
    404: "MissingDIDOrInvalidMessageID",
    405: "InvalidDateTime",
    406: "InvalidDestination",
    411: "NoMessage",
    413: "MessageExceedsLimit",
    506: "Failed",
    507: "Cancelled",
    508: "FailedByProvider",
}
SMS_ERRORS = {0: "NoError", 7: "NotFound", 8: "InternalError"}

_PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd"> <html xmlns="http://www.w3.org/1999/xhtml"> <head>
<title>{title}</title> </head> <body> <div id="content"> <p class="heading1">{title}</p> <p>{text}</p> </div>
</body> </html>"""


class RequestError(Exception):
    """The service can't digest the request: HTTP 400 with its HTML page."""


def request_error() -> Reply:
    """Return the page for whatever goes wrong inside the service."""
    text = "The server encountered an error processing the request. See server logs for more details."
    return _page(400, "Request Error", text)


def not_found() -> Reply:
    """Return the page for an operation that there is not."""
    return _page(404, "Service", "Endpoint not found.")


def method_not_allowed(methods: tuple[str, ...]) -> Reply:
    """Return the page for a method that the operation does not take."""
    reply = _page(405, "Service", "Method not allowed.")
    reply.headers = ((b"allow", ", ".join(methods).encode("ascii")),)
    return reply


def boolean(value: bool, as_json: bool) -> Reply:
    """Return a bare boolean."""
    text = "true" if value else "false"
    if as_json:
        return Reply(200, text.encode("ascii"), JSON_UTF8)
    namespace = "http://schemas.microsoft.com/2003/10/Serialization/"
    return Reply(200, f'<boolean xmlns="{namespace}">{text}</boolean>'.encode("ascii"), XML_UTF8)


def message_status_code(message: Message, now: float) -> int:
    """Return the MessageStatus that a message shows."""
    phase = message.phase(now)
    if message.code is not None:
        return int(message.code)
    if phase is Phase.SCHEDULED:
        # Which of the two is not documented, so that a caller had better know both.
        return 0 if int(message.id[-1], 16) % 2 else 201
    return {Phase.QUEUED: 202, Phase.SENT: 200, Phase.CANCELLED: 507, Phase.FAILED: 506}[phase]


def outgoing_messages(messages: list[dict[str, Any]], as_json: bool, *, single: bool = False) -> Reply:
    """Return messages as SendMessage and ReadMessageStatus show them.

    :param messages: members by name; ``SentTime`` in seconds since 1970 or ``None``, ``MessageStatus`` a
        number.
    :param single: return the first one alone instead of a list.
    """
    if as_json:
        shown = [{**message, "SentTime": _json_date(message["SentTime"])} for message in messages]
        return _json(shown[0] if single else shown)
    elements = []
    for message in messages:
        status = MESSAGE_STATUSES.get(message["MessageStatus"], str(message["MessageStatus"]))
        members = {**message, "MessageStatus": status, "SentTime": _xml_date(message["SentTime"])}
        elements.append(_members(members))
    return _xml("OutgoingMessageResponse", elements, single=single)


def sms_response(message_id: str, message: Message | None, now: float, as_json: bool) -> Reply:
    """Return a message as GetMessageStatus shows it."""
    phase = message.phase(now) if message else None
    error = 7 if message is None else 8 if phase is Phase.FAILED else 0
    members: dict[str, Any] = {
        "Cancelled": phase is Phase.CANCELLED,
        "MessageID": message_id,
        "Queued": phase in (Phase.QUEUED, Phase.SENT),
        "ReferenceID": (message.client_message_id if message else None) or "",
        "SMSError": error,
        "Sent": phase is Phase.SENT,
    }
    sent_at = message.sent_at if message else None
    if as_json:
        return _json({**members, "SentDateTime": _json_date(sent_at)})
    named = {**members, "SMSError": SMS_ERRORS[error], "SentDateTime": _xml_date(sent_at)}
    return _xml("SMSResponse", [_members(named)], single=True)


def postback_settings(return_code: int, license_key: str, as_json: bool) -> Reply:
    """Return the settings of a licence key; only ``ReturnCode`` is known, the rest is made up."""
    members = {"LicenseKey": license_key, "PostbackURL": "", "ReturnCode": return_code}
    return _json([members]) if as_json else _xml("PostbackSetting", [_members(members)], single=False)


def _json_date(moment: float | None) -> str:
    # The offset is decoration: the milliseconds are UTC.
    return "/Date(-62135578800000-0500)/" if moment is None else f"/Date({round(moment * 1000)}-0500)/"


def _xml_date(moment: float | None) -> str:
    if moment is None:
        return "0001-01-01T00:00:00"
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _json(value: object) -> Reply:
    # .NET's serializer escapes slashes.
    written = json.dumps(value, separators=(",", ":")).replace("/", "\\/")
    return Reply(200, written.encode("ascii"), JSON_UTF8)


def _members(members: dict[str, Any]) -> str:
    written = []
    for name, value in members.items():
        if isinstance(value, list):
            written.append(f"<{name}/>")
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        written.append(f"<{name}>{escape(text)}</{name}>")
    return "".join(written)


def _xml(name: str, elements: list[str], *, single: bool) -> Reply:
    declared = f' xmlns="{NAMESPACE}" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'
    if single:
        document = f"<{name}{declared}>{elements[0]}</{name}>"
    else:
        inner = "".join(f"<{name}>{element}</{name}>" for element in elements)
        document = f"<ArrayOf{name}{declared}>{inner}</ArrayOf{name}>"
    return Reply(200, document.encode("utf-8"), XML_UTF8)


def _page(status: int, title: str, text: str) -> Reply:
    return Reply(status, _PAGE.format(title=title, text=text).encode("utf-8"), HTML)
