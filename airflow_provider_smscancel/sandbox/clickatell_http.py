"""Clickatell's HTTP API: plain text, and HTTP 200 for every error.

Parameters come in the query (GET, POST) or in a form-encoded body (POST, with that ``Content-Type``); the
body wins.

Not documented; the sandbox's choices:

- credentials: a missing user or password is 001, an unknown user 002, a wrong password 001, a wrong or
  missing api_id 108; an empty ``session_id`` is 005, also for ``ping`` without one; an unknown session is
  003, like an expired one;
- credentials that are revoked are 001, also where a session is used that was opened before;
- delmsg of an unknown ``apimsgid`` is 103, of an unknown ``climsgid`` 104, of neither 109; with both,
  ``apimsgid`` counts. querymsg of an unknown ``apimsgid`` is status 001, of an unknown ``climsgid`` 104;
- a ``climsgid`` that several messages share gets one line for each of them, each naming the gateway's own id;
- a second stop answers 006 again, one that comes too late 003 or 004, one of a failed message its code;
- sendmsg without a usable ``to`` or ``text``, or with a malformed ``climsgid``, is 101; a time that is none,
  or that is more than seven days ahead, 120; one in the past means now;
- another path is a 404, another method than GET or POST a 405, both with an HTML page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_smscancel.sandbox import CLICKATELL
from airflow_provider_smscancel.sandbox.clickatell_codes import HORIZON_S, code_of, number_error
from airflow_provider_smscancel.sandbox.wire import HTML, TEXT, Call, Reply, form, media_type

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.state import Message, SandboxState

CREDIT = "300.50"
MAX_DELIVERY_MINUTES = 10080

_COMMANDS = frozenset({"auth", "ping", "delmsg", "querymsg", "sendmsg", "getbalance"})

ERRORS = {
    "001": "Authentication failed",
    "002": "Unknown username or password",
    "003": "Session ID expired",
    "005": "Missing session ID",
    "101": "Invalid or missing parameters",
    "103": "Unknown API message ID",
    "104": "Unknown client message ID",
    "108": "Invalid or missing API ID",
    "109": "Missing message ID",
    "120": "Invalid delivery time",
}


class _RefusalError(Exception):
    """The request is refused with an error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def operation_of(call: Call) -> str:
    """Name what is asked for, for counts and faults."""
    command = call.path[len("/http/") :]
    return f"http.{command}" if command in _COMMANDS else "http.other"


def session_of(call: Call) -> str | None:
    """Return the session id that a call gives, or ``None``."""
    if b"session_id=" not in call.query and b"session_id=" not in call.body:
        return None
    return _parameters(call).get("session_id")


def handle(state: SandboxState, call: Call) -> Reply:
    """Answer one call."""
    command = call.path[len("/http/") :]
    if command not in _COMMANDS:
        return Reply(404, b"<html><body><h1>Not Found</h1></body></html>", HTML)
    if call.method not in ("GET", "POST"):
        allow = ((b"allow", b"GET, POST"),)
        return Reply(405, b"<html><body><h1>Method Not Allowed</h1></body></html>", HTML, headers=allow)
    parameters = _parameters(call)
    try:
        return _run(state, command, parameters)
    except _RefusalError as refusal:
        return Reply(200, f"ERR: {refusal.code}, {ERRORS[refusal.code]}".encode("ascii"))


def _parameters(call: Call) -> dict[str, str]:
    parameters = form(call.query)
    is_form = media_type(call.headers.get(b"content-type", b"")) == "application/x-www-form-urlencoded"
    if call.method == "POST" and is_form:
        parameters.update(form(call.body))
    return parameters


def _run(state: SandboxState, command: str, parameters: dict[str, str]) -> Reply:
    if command == "auth":
        _check_credentials(state, parameters)
        return Reply(200, f"OK: {state.open_session()}".encode("ascii"))
    if command == "ping":
        session_id = _check_session(state, parameters)
        return Reply(200, f"OK: {session_id}".encode("ascii"))
    if "session_id" in parameters:
        if command == "delmsg":
            _note_stops(state, parameters)
        _check_session(state, parameters)
    else:
        _check_credentials(state, parameters)
    if command == "getbalance":
        return Reply(200, f"Credit: {CREDIT}".encode("ascii"))
    if command == "sendmsg":
        return _send(state, parameters)
    return _statuses(state, parameters, stop=command == "delmsg")


def _check_credentials(state: SandboxState, parameters: dict[str, str]) -> None:
    user, password = parameters.get("user"), parameters.get("password")
    if not user or not password:
        raise _RefusalError("001")
    if user != state.credentials.user:
        raise _RefusalError("002")
    if password != state.credentials.password:
        raise _RefusalError("001")
    if parameters.get("api_id") != state.credentials.api_id:
        raise _RefusalError("108")
    if not state.accepts(right=True):
        raise _RefusalError("001")


def _check_session(state: SandboxState, parameters: dict[str, str]) -> str:
    session_id = parameters.get("session_id")
    if not session_id:
        raise _RefusalError("005")
    if not state.use_session(session_id):
        raise _RefusalError("003")
    if not state.accepts(right=True):
        raise _RefusalError("001")
    return session_id


def _statuses(state: SandboxState, parameters: dict[str, str], *, stop: bool) -> Reply:
    api_message_id, client_message_id = parameters.get("apimsgid"), parameters.get("climsgid")
    if api_message_id:
        message = state.find(CLICKATELL, api_message_id)
        if message is None:
            if stop:
                raise _RefusalError("103")
            shown = re.sub(r"[^0-9A-Za-z_-]", "", api_message_id)
            return Reply(200, f"ID: {shown} Status: 001".encode("ascii"), TEXT, shown or None)
        return Reply(200, _line(state, message, stop).encode("ascii"), TEXT, message.id)
    if not client_message_id:
        raise _RefusalError("109")
    messages = state.find_by_client_id(client_message_id)
    if not messages:
        raise _RefusalError("104")
    # No message_id: the ids that are named here are not the one that was asked for.
    return Reply(200, "\n".join(_line(state, message, stop) for message in messages).encode("ascii"))


def _note_stops(state: SandboxState, parameters: dict[str, str]) -> None:
    # Who asks in a session that has just expired has asked.
    for message in _meant(state, parameters):
        state.note_stop(message)


def _meant(state: SandboxState, parameters: dict[str, str]) -> list[Message]:
    api_message_id = parameters.get("apimsgid")
    if not api_message_id:
        return state.find_by_client_id(parameters.get("climsgid", ""))
    message = state.find(CLICKATELL, api_message_id)
    return [] if message is None else [message]


def _line(state: SandboxState, message: Message, stop: bool) -> str:
    if stop:
        state.stop(message)
    return f"ID: {message.id} Status: {code_of(message, state.now())}"


def _send(state: SandboxState, parameters: dict[str, str]) -> Reply:
    numbers = [number.strip() for number in parameters.get("to", "").split(",") if number.strip()]
    client_message_id = parameters.get("climsgid") or None
    if not numbers or not parameters.get("text"):
        raise _RefusalError("101")
    if client_message_id and not re.fullmatch(r"[0-9A-Za-z]{1,32}", client_message_id):
        raise _RefusalError("101")
    scheduled_at = _scheduled_at(state, parameters)
    lines = []
    for number in numbers:
        suffix = f" To: {number}" if len(numbers) > 1 else ""
        error = number_error(number)
        if error is not None:
            lines.append(f"ERR: {error[0]}, {error[1]}{suffix}")
            continue
        message = state.add(
            CLICKATELL, number, scheduled_at=scheduled_at, client_message_id=client_message_id
        )
        lines.append(f"ID: {message.id}{suffix}")
    return Reply(200, "\n".join(lines).encode("utf-8"))


def _scheduled_at(state: SandboxState, parameters: dict[str, str]) -> float | None:
    minutes, unix_time = parameters.get("deliv_time"), parameters.get("scheduled_time")
    if minutes:
        if not re.fullmatch(r"[0-9]{1,5}", minutes) or int(minutes) > MAX_DELIVERY_MINUTES:
            raise _RefusalError("120")
        return state.now() + 60 * int(minutes)
    if unix_time:
        if not re.fullmatch(r"[0-9]{1,12}", unix_time) or int(unix_time) - state.now() > HORIZON_S:
            raise _RefusalError("120")
        return float(unix_time)
    return None
