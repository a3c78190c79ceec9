"""What fuzzing starts from: what the sandbox says to each request of each gateway, and spellings that bite."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.gateways.base import Answer, Gateway, IdType, Request
from airflow_provider_smscancel.gateways.clickatell_http import ClickatellHttp
from airflow_provider_smscancel.gateways.clickatell_rest import ClickatellRest
from airflow_provider_smscancel.gateways.esendex import EsendexUs
from airflow_provider_smscancel.sandbox import (
    CLICKATELL_API_ID,
    CLICKATELL_PASSWORD,
    CLICKATELL_TOKEN,
    CLICKATELL_USER,
    ESENDEX_LICENSE_KEY,
    clickatell_http,
    clickatell_rest,
    esendex,
)
from airflow_provider_smscancel.sandbox.state import SandboxState
from airflow_provider_smscancel.sandbox.wire import Call, Reply

URL = "http://127.0.0.1"
SAMPLES = Path(__file__).resolve().parents[2] / "tests" / "gateways" / "samples"
"""What the vendors print on their pages."""
CLICKATELL_ID = "360586640fe9846954897dffe6c13dfc"
ESENDEX_ID = "1627aea5-8e0a-4371-9022-9b504344e724"
CLIENT_ID = "client1"
TO = ("15551234567", "15551234568")
STATES = ("scheduled", "queued", "sent", "cancelled", "failed", "unknown")
NOW = 1_800_000_000.0

REST = ClickatellRest(base_url=URL, token=CLICKATELL_TOKEN)
REST_XML = ClickatellRest(base_url=URL, token=CLICKATELL_TOKEN, response_format="xml")
HTTP = ClickatellHttp(
    base_url=URL, user=CLICKATELL_USER, password=CLICKATELL_PASSWORD, api_id=CLICKATELL_API_ID
)
ESENDEX = {
    name: EsendexUs(base_url=URL, licence_key=ESENDEX_LICENSE_KEY, request_format=name)
    for name in ("json", "xml", "get", "soap")
}

# Spellings of nothing, of too much, and of what only looks like an answer.
BITES = (
    b"",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[" * 600,
    b'{"a":' * 300,
    b"<a>" * 200,
    b"1e400",
    b"-1e-99999999999999999999",
    b"1" * 4400,
    b"NaN",
    b'"\\ud800"',
    b'{"a":"\\u0000"}',
    b"<!DOCTYPE html><html><body>true</body></html>",
    b'<?xml version="1.0" encoding="utf-7"?><boolean>true</boolean>',
    b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;&b;</a>',
    b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]><boolean>&a;</boolean>',
    b"<boolean>tr<!-- -->ue</boolean>",
    b"<boolean><![CDATA[true]]></boolean>",
    b"true false",
    b"\xef\xbb\xbftrue",
    "<boolean>true</boolean>".encode("utf-16"),
    "<boolean>true</boolean>".encode("utf-16-be"),
    '{"data":{"messageStatus":"006"}}'.encode("utf-16"),
)

TOKENS = (
    *("006", "004", "true", "false", "True", "1", "0", "507", "Cancelled", "cancelled", "NotFound", "null"),
    *("data", "error", "code", "response", "messageStatus", "apiMessageId", "message", "accepted", "balance"),
    *("ID: ", "To: ", "Status: ", "ERR: ", "OK: ", "Credit: ", "\r\n", "\ufeff", "\\u0000", "\\ud800"),
    *(
        "MessageStatus",
        "MessageID",
        "SMSError",
        "Sent",
        "Queued",
        "ReturnCode",
        "<boolean>",
        "</boolean>",
        "<Header/>",
    ),
    *("Envelope", "Header", "Body", "Fault", "RelatesTo", "CancelMessageResponse", "CancelMessageResult"),
    *(
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<!DOCTYPE",
        "<!ENTITY",
        "<?xml",
        "xmlns=",
        "&#0;",
        "&#x31;",
        "1e400",
    ),
    *("message_id", "scheduled_at", "outcome", "gateway_status", "finished_at", "try", "position", "reason"),
    *("None", "NaN", "Infinity", "nan", "inf", "2030-01-01T00:00:00+00:00", "https://", "http://", "[::1]"),
    *(CLICKATELL_ID, CLICKATELL_ID.upper(), ESENDEX_ID, ESENDEX_ID.upper(), CLIENT_ID, *TO),
)


def ask(state: SandboxState, request: Request) -> Answer:
    """Have the sandbox answer a request, without any network between."""
    parts = urlsplit(request.url)
    call = Call(
        request.method,
        unquote(parts.path),
        parts.query.encode(),
        {name.lower().encode(): value.encode() for name, value in request.headers.items()},
        request.body or b"",
    )
    handler = {"rest": clickatell_rest.handle, "http": clickatell_http.handle}.get(
        call.path.split("/")[1], esendex.handle
    )
    reply: Reply = handler(state, call)
    return Answer(reply.status, {"Content-Type": reply.content_type.decode()}, reply.body)


def with_message(gateway: Gateway, message_id: str, state: str) -> SandboxState:
    """Make a sandbox in which a message is in a state; an unknown one is not there at all."""
    sandbox = SandboxState(wall_clock=lambda: NOW)
    if state == "unknown":
        return sandbox
    due = None if state == "sent" else NOW + 3600
    message = sandbox.add(
        gateway.name, TO[0], message_id=message_id, scheduled_at=due, client_message_id=CLIENT_ID
    )
    if state == "cancelled":
        sandbox.stop(message)
    message.failed = state == "failed"
    message.queued_at = NOW if state == "queued" else message.queued_at
    return sandbox


def bodies_of(gateway: Gateway, message_id: str) -> Iterator[bytes]:
    """Say everything that the sandbox answers to this gateway's requests about a message."""
    for state in STATES:
        for id_type in sorted(gateway.id_types):
            name = message_id if id_type is IdType.MESSAGE_ID else CLIENT_ID
            requests = [
                gateway.stop(name, id_type),
                gateway.status(name, id_type),
                gateway.status(name, id_type, full=True),
            ]
            for request in requests:
                yield ask(with_message(gateway, message_id, state), request).body
    # About another message: nothing of it is an answer to what was asked.
    other = message_id.translate(str.maketrans("0123456789", "1234567890"))
    for request in (gateway.stop(other, IdType.MESSAGE_ID), gateway.status(other, IdType.MESSAGE_ID)):
        yield ask(with_message(gateway, other, "scheduled"), request).body
    for request in other_calls(gateway):
        yield ask(with_message(gateway, message_id, "scheduled"), request).body


def other_calls(gateway: Gateway) -> Iterator[Request]:
    """Build the requests that are not about one message."""
    check = gateway.account_check()
    if check is not None:
        yield check
    for to in (TO, TO[:1], ("15551234567", "123")):
        yield gateway.send(to, "a text", scheduled_at=None, client_message_id=None)
    if gateway.uses_session:
        yield gateway.login()
        yield gateway.ping("no-such-session")
    if isinstance(gateway, EsendexUs):
        yield gateway.cancel_all()


def gzipped(content: bytes) -> bytes:
    """Pack, the same each time."""
    return gzip.compress(content, 1, mtime=0)


def campaign() -> Campaign:
    """Make a campaign without messages."""
    return Campaign(REST)


def samples() -> Iterator[bytes]:
    """Give the vendors' samples: code that asks, not what answers, but of the same words."""
    return (path.read_bytes() for path in sorted(SAMPLES.glob("*.sample")))
