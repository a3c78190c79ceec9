"""Clickatell's REST API, in JSON and XML.

Checked in this order, which no page states: path (404/161), method (405/160), ``X-Version`` (400/165),
``Accept`` (400/166), ``Content-Type`` of a body (400/167), bearer token (401/001), then the call itself.

Not documented either; the sandbox's choices:

- a stop of an id that it does not know is 404 with error 161, of a malformed id 400 with 101, of none 400
  with 109;
- a status query for an id that it does not know is a 200 with status 001;
- a second stop answers 006 again;
- a stop that comes too late is a 200 with 003 or 004, and a stop of a message that failed a 200 with its
  code;
- a send in which any recipient is refused is a 207, also when all are;
- ``scheduledDeliveryTime`` without a zone, or more than seven days ahead, is 400 with 101; one in the past
  means now;
- errors in XML are ``<response><error>…``, and a recipient's in XML has the members of the JSON one;
- bodies are read as JSON only, whatever the answer's format: no page shows an XML request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from airflow_provider_smscancel.sandbox import CLICKATELL
from airflow_provider_smscancel.sandbox.clickatell_codes import (
    HORIZON_S,
    MESSAGE_ID,
    STATUS_TEXTS,
    code_of,
    number_error,
)
from airflow_provider_smscancel.sandbox.wire import JSON, XML, Call, Reply, media_type, media_types, moment_of

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.state import Message, SandboxState

BALANCE = "300.50"

_METHODS = {"message": ("POST",), "message/": ("DELETE", "GET"), "balance": ("GET",)}
_OPERATIONS = {
    ("message", "POST"): "rest.send",
    ("message/", "DELETE"): "rest.stop",
    ("message/", "GET"): "rest.status",
    ("balance", "GET"): "rest.balance",
}


class _RefusalError(Exception):
    """The whole request is refused."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description


def operation_of(call: Call) -> str:
    """Name what is asked for, for counts and faults."""
    return _OPERATIONS.get((_resource(call.path), call.method), "rest.other")


def handle(state: SandboxState, call: Call) -> Reply:
    """Answer one call."""
    content_type = JSON
    try:
        resource = _checked_resource(call)
        content_type = _answer_type(call)
        _check_caller(state, call)
        if resource == "balance":
            return _data(200, {"balance": BALANCE}, content_type)
        if resource == "message":
            return _send(state, call, content_type)
        return _one_message(state, call, content_type)
    except _RefusalError as refusal:
        return _error(refusal, content_type)


def _resource(path: str) -> str:
    if path.startswith("/rest/message/"):
        return "message/"
    return {"/rest/message": "message", "/rest/account/balance": "balance"}.get(path, "")


def _checked_resource(call: Call) -> str:
    resource = _resource(call.path)
    if not resource:
        raise _RefusalError(404, "161", "Resource does not exist")
    if call.method not in _METHODS[resource]:
        raise _RefusalError(405, "160", "HTTP method is not supported on this resource")
    if call.headers.get(b"x-version") != b"1":
        raise _RefusalError(400, "165", "Invalid or missing version header")
    return resource


def _answer_type(call: Call) -> bytes:
    for name in media_types(call.headers.get(b"accept", b"")):
        if name == "application/json":
            return JSON
        if name == "application/xml":
            return XML
    raise _RefusalError(400, "166", "Invalid or missing Accept header")


def _check_caller(state: SandboxState, call: Call) -> None:
    if call.method == "POST" and media_type(call.headers.get(b"content-type", b"")) != "application/json":
        raise _RefusalError(400, "167", "Invalid or missing Content-Type header")
    if not state.accepts(
        right=call.headers.get(b"authorization") == f"Bearer {state.credentials.token}".encode()
    ):
        raise _RefusalError(401, "001", "Authentication failed")


def _one_message(state: SandboxState, call: Call, content_type: bytes) -> Reply:
    message_id = call.path[len("/rest/message/") :]
    if not message_id:
        raise _RefusalError(400, "109", "Missing message ID")
    if not MESSAGE_ID.fullmatch(message_id):
        raise _RefusalError(400, "101", "Invalid or missing parameters")
    message = state.find(CLICKATELL, message_id)
    if call.method == "DELETE":
        if message is None:
            raise _RefusalError(404, "161", "Resource does not exist")
        state.stop(message)
        return _stopped(state, message, content_type)
    if message is None:
        unknown = {
            "apiMessageId": message_id,
            "charge": 0,
            "messageStatus": "001",
            "description": STATUS_TEXTS["001"],
        }
        return _data(200, unknown, content_type, message_id)
    code = code_of(message, state.now())
    known = {
        "apiMessageId": message.id,
        "charge": 1,
        "messageStatus": code,
        "description": STATUS_TEXTS.get(code, "Unknown status"),
    }
    return _data(200, known, content_type, message.id)


def _stopped(state: SandboxState, message: Message, content_type: bytes) -> Reply:
    code = code_of(message, state.now())
    answer = {
        "messageStatus": code,
        "description": STATUS_TEXTS.get(code, "Unknown status"),
        "apiMessageId": message.id,
    }
    return _data(200, answer, content_type, message.id)


def _send(state: SandboxState, call: Call, content_type: bytes) -> Reply:
    try:
        order = json.loads(call.body)
    except ValueError:
        raise _RefusalError(400, "100", "Data malformed") from None
    if not isinstance(order, dict):
        raise _RefusalError(400, "100", "Data malformed")
    text, recipients = order.get("text"), order.get("to")
    if not isinstance(text, str) or not text or not isinstance(recipients, list) or not recipients:
        raise _RefusalError(400, "101", "Invalid or missing parameters")
    client_message_id = order.get("clientMessageId")
    if client_message_id is not None and not isinstance(client_message_id, str):
        raise _RefusalError(400, "101", "Invalid or missing parameters")
    if client_message_id and " " in client_message_id:
        raise _RefusalError(400, "120", "clientMessageId contains spaces")
    scheduled_at = _scheduled_at(state, order.get("scheduledDeliveryTime"))
    entries = [_recipient(state, number, scheduled_at, client_message_id) for number in recipients]
    status = 202 if all(entry["accepted"] for entry in entries) else 207
    return _data(status, {"message": entries}, content_type)


def _scheduled_at(state: SandboxState, given: object) -> float | None:
    if given is None:
        return None
    try:
        moment = moment_of(str(given))
    except ValueError:
        raise _RefusalError(400, "101", "Invalid scheduledDeliveryTime") from None
    if moment - state.now() > HORIZON_S:
        raise _RefusalError(400, "101", "scheduledDeliveryTime is more than 7 days ahead")
    return moment


def _recipient(
    state: SandboxState, number: object, scheduled_at: float | None, client_message_id: str | None
) -> dict[str, Any]:
    error = number_error(number) if isinstance(number, str) else ("105", "Invalid destination address")
    if error is not None or not isinstance(number, str):
        code, description = error or ("105", "")
        return {
            "accepted": False,
            "to": str(number),
            "apiMessageId": "",
            "error": {"code": code, "description": description, "documentation": _documentation(code)},
        }
    message = state.add(
        CLICKATELL, number, scheduled_at=scheduled_at, client_message_id=client_message_id or None
    )
    return {"accepted": True, "to": number, "apiMessageId": message.id}


def _documentation(code: str) -> str:
    return f"http://sandbox.invalid/errors/{code}.htm"


def _data(status: int, data: dict[str, Any], content_type: bytes, message_id: str | None = None) -> Reply:
    return Reply(status, _written({"data": data}, content_type), content_type, message_id)


def _error(refusal: _RefusalError, content_type: bytes) -> Reply:
    error = {
        "code": refusal.code,
        "description": refusal.description,
        "documentation": _documentation(refusal.code),
    }
    return Reply(refusal.status, _written({"error": error}, content_type), content_type)


def _written(answer: dict[str, Any], content_type: bytes) -> bytes:
    if content_type == JSON:
        return json.dumps(answer, separators=(",", ":")).encode("utf-8")
    return f'<?xml version="1.0"?>\n<response>{_elements(answer)}</response>'.encode()


def _elements(mapping: dict[str, Any]) -> str:
    written = []
    for name, value in mapping.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                inner = _elements(item)
            else:
                inner = escape(str(item).lower() if isinstance(item, bool) else str(item))
            written.append(f"<{name}>{inner}</{name}>")
    return "".join(written)
