"""Esendex US, ``/messaging.svc``: REST in JSON and XML here, SOAP in the module ``esendex_soap``.

Paths and query names are read without regard to letter case. The answer is JSON when ``Accept`` asks for it,
else XML. Whatever the service can't digest is HTTP 400 with its HTML "Request Error" page.

Not documented; the sandbox's choices:

- a GUID is read in its hyphenated form only; an empty body is an absent MessageID, hence the all-zero GUID,
  hence ``false``; an empty ``MessageID=`` is malformed. A body needs a JSON or XML ``Content-Type``;
- a scheduled message shows 0 (Hold) or 201 (Ready), by its id; a queued one 202; a failed one 506, and
  SMSError 8;
- GetMessageStatus and ReadMessageStatus of an unknown id repeat that id;
- any well-formed query with a wrong or absent licence key is answered with status 401 (ReturnCode 1,
  ``false``);
- CancelAllMessages is ``true`` for a valid key, also when there was nothing to cancel;
- SendMessage is read as JSON only. A date in the past, or none, means now. ``To`` must be 10 to 15 digits
  that don't begin with 0, else 406; ``From``, if given, 3 to 15 digits, else 400; no text is 411; no ``To``
  gives no answers;
- root elements and member order in XML are inferred from the vendor's older pages;
- an unknown operation is a 404 and a wrong method a 405, both with an HTML page.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

import xmltodict

from airflow_provider_smscancel.sandbox import ESENDEX, esendex_soap
from airflow_provider_smscancel.sandbox.esendex_answers import (
    GUID,
    ZERO_GUID,
    RequestError,
    boolean,
    message_status_code,
    method_not_allowed,
    not_found,
    outgoing_messages,
    postback_settings,
    request_error,
    sms_response,
)
from airflow_provider_smscancel.sandbox.wire import Call, Reply, form, media_type, media_types

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_smscancel.sandbox.state import Message, SandboxState

SERVICE_PATH = "/messaging.svc"
SERIALIZATION_NAMESPACE = "http://schemas.microsoft.com/2003/10/Serialization/"

_JSON_GUID = re.compile(rf'\s*(?:"({GUID.pattern})"|((?=[0-9]){GUID.pattern}))\s*'.encode("ascii"))
_DATE = re.compile(r"/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)/")
_SOAP_PATHS = ("/messaging.svc/ws", "/messaging.svc/securesoap")

_METHODS = {
    "cancelmessage": ("CancelMessage", ("GET", "POST")),
    "sendmessage": ("SendMessage", ("POST",)),
    "readmessagestatus": ("ReadMessageStatus", ("GET",)),
    "getmessagestatus": ("GetMessageStatus", ("GET",)),
    "getpostbacksettingsforlicensekey": ("GetPostbackSettingsForLicenseKey", ("GET",)),
    "cancelallmessages": ("CancelAllMessages", ("GET", "POST")),
}


def operation_of(call: Call) -> str:
    """Name what is asked for, for counts and faults."""
    path = call.path.lower()
    if path in _SOAP_PATHS:
        return "soap"
    known = _METHODS.get(path[len(SERVICE_PATH) + 1 :])
    return known[0] if known else "esendex.other"


def handle(state: SandboxState, call: Call) -> Reply:
    """Answer one call."""
    path = call.path.lower()
    if path in _SOAP_PATHS:
        return esendex_soap.handle(state, call, addressing=path == _SOAP_PATHS[0])
    known = _METHODS.get(path[len(SERVICE_PATH) + 1 :])
    if known is None or path[len(SERVICE_PATH)] != "/":
        return not_found()
    operation, methods = known
    if call.method not in methods:
        return method_not_allowed(methods)
    try:
        return _OPERATIONS[operation](state, call)
    except RequestError:
        return request_error()


def _cancel_message(state: SandboxState, call: Call) -> Reply:
    return boolean(state.stop_by_id(ESENDEX, _given_guid(call, "messageid")), _wants_json(call))


def _accepts(state: SandboxState, license_key: str) -> bool:
    return state.accepts(right=license_key == state.credentials.licence_key)


def _cancel_all_messages(state: SandboxState, call: Call) -> Reply:
    valid = _accepts(state, _given_guid(call, "licensekey"))
    if valid:
        state.stop_all(ESENDEX)
    return boolean(valid, _wants_json(call))


def _read_message_status(state: SandboxState, call: Call) -> Reply:
    license_key, message_id = _query_guid(call, "licensekey"), _query_guid(call, "messageid")
    message = state.find(ESENDEX, message_id)
    if not _accepts(state, license_key):
        status = 401
    else:
        status = 404 if message is None else message_status_code(message, state.now())
    answer = _outgoing(message_id, status, message if status not in (401, 404) else None)
    reply = outgoing_messages([answer], _wants_json(call), single=True)
    reply.message_id = message_id
    return reply


def _get_message_status(state: SandboxState, call: Call) -> Reply:
    message_id = _query_guid(call, "messageid")
    reply = sms_response(message_id, state.find(ESENDEX, message_id), state.now(), _wants_json(call))
    reply.message_id = message_id
    return reply


def _get_postback_settings(state: SandboxState, call: Call) -> Reply:
    license_key = _query_guid(call, "licensekey")
    return postback_settings(0 if _accepts(state, license_key) else 1, license_key, _wants_json(call))


def _send_message(state: SandboxState, call: Call) -> Reply:
    order = _json_object(call)
    license_key = order.get("LicenseKey") or ZERO_GUID
    recipients = order.get("To")
    texts = [order.get(name) or "" for name in ("Body", "From", "ReferenceID")]
    if not isinstance(license_key, str) or not GUID.fullmatch(license_key):
        raise RequestError
    if not isinstance(recipients, list) or not all(isinstance(text, str) for text in [*recipients, *texts]):
        raise RequestError
    body, sender, reference = texts
    moment, date_status = _scheduled_at(order.get("ScheduledDateTime"))
    refusal = date_status or _refusal(state, license_key.lower(), body, sender)
    answers = []
    for number in recipients:
        status = refusal or (0 if re.fullmatch(r"\+?[1-9][0-9]{9,14}", number) else 406)
        if status:
            answers.append({**_outgoing(ZERO_GUID, status, None), "To": number, "From": sender})
            continue
        message = state.add(
            ESENDEX, number, scheduled_at=moment, client_message_id=reference or None, sender=sender
        )
        answers.append(_outgoing(message.id, message_status_code(message, state.now()), message))
    return outgoing_messages(answers, _wants_json(call))


def _refusal(state: SandboxState, license_key: str, body: str, sender: str) -> int:
    """Return the MessageStatus by which the whole send is refused, or 0."""
    if not _accepts(state, license_key):
        return 401
    if sender and not re.fullmatch(r"\+?[0-9]{3,15}", sender):
        return 400
    return 0 if body else 411


def _scheduled_at(given: object) -> tuple[float | None, int]:
    """Return the moment, and 405 when it is written with an offset, which makes it local time there."""
    if given is None:
        return None, 0
    match = _DATE.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise RequestError
    return int(match[1]) / 1000, 405 if match[2] else 0


def _outgoing(message_id: str, status: int, message: Message | None) -> dict[str, Any]:
    return {
        "Attachments": [],
        "From": message.sender if message else "",
        "MessageID": message_id,
        "MessageStatus": status,
        "SentTime": message.sent_at if message else None,
        "To": message.to if message else "",
    }


def _wants_json(call: Call) -> bool:
    for name in media_types(call.headers.get(b"accept", b"")):
        if name in ("application/json", "text/json"):
            return True
        if name in ("application/xml", "text/xml"):
            return False
    return False


def _query_guid(call: Call, name: str) -> str:
    for given, value in form(call.query).items():
        if given.lower() == name:
            if not GUID.fullmatch(value):
                raise RequestError
            return value.lower()
    return ZERO_GUID


def _given_guid(call: Call, name: str) -> str:
    """Read the parameter of an operation that takes a bare GUID: the query of a GET, the body of a POST."""
    if call.method == "GET":
        return _query_guid(call, name)
    body = call.body.removeprefix(b"\xef\xbb\xbf")
    if not body:
        return ZERO_GUID
    kind = media_type(call.headers.get(b"content-type", b""))
    if kind in ("application/json", "text/json"):
        match = _JSON_GUID.fullmatch(body)
        if match is None:
            raise RequestError
        return (match[1] or match[2]).decode("ascii").lower()
    if kind in ("application/xml", "text/xml"):
        return _xml_guid(body)
    raise RequestError


def _xml_guid(body: bytes) -> str:
    try:
        document = xmltodict.parse(body, process_namespaces=True, xml_attribs=False)
    except (ExpatError, ValueError):
        raise RequestError from None
    text = document.get(f"{SERIALIZATION_NAMESPACE}:guid")
    if not isinstance(text, str) or not GUID.fullmatch(text.strip()):
        raise RequestError
    return text.strip().lower()


def _json_object(call: Call) -> dict[str, Any]:
    if media_type(call.headers.get(b"content-type", b"")) not in ("application/json", "text/json"):
        raise RequestError
    try:
        order = json.loads(call.body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise RequestError from None
    if not isinstance(order, dict):
        raise RequestError
    return order


_OPERATIONS: dict[str, Callable[[SandboxState, Call], Reply]] = {
    "CancelMessage": _cancel_message,
    "CancelAllMessages": _cancel_all_messages,
    "ReadMessageStatus": _read_message_status,
    "GetMessageStatus": _get_message_status,
    "GetPostbackSettingsForLicenseKey": _get_postback_settings,
    "SendMessage": _send_message,
}
