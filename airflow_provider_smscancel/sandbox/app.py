"""The sandbox as one ASGI application: both gateways and the control calls.

Gateway calls skip Starlette's request and response objects: the sandbox must not be what limits a benchmark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.sandbox import (
    CLICKATELL,
    ESENDEX,
    MISSING_EXTRA,
    clickatell_http,
    clickatell_rest,
    control,
    esendex,
)
from airflow_provider_smscancel.sandbox.faults import Incident
from airflow_provider_smscancel.sandbox.wire import HTML, TEXT, Call, Reply, http_date

try:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(MISSING_EXTRA, name=missing.name) from None

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_smscancel.sandbox.state import SandboxState

MAX_BODY_BYTES = 1 << 20

Handler = Callable[["SandboxState", Call], Reply]


def create_app(state: SandboxState) -> Starlette:
    """Return the application that serves one state."""
    app = Starlette(
        routes=[
            Mount("/_sandbox", routes=control.routes(state)),
            Route("/{path:path}", GatewayEndpoint(state)),
        ]
    )
    app.state.sandbox = state
    return app


class GatewayEndpoint:
    """Takes every call to a gateway: rate limit, faults, the vendor's rules, latency, answer.

    :param state: what the calls read and change.
    """

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        call = Call(
            scope["method"],
            scope["path"],
            scope["query_string"],
            dict(scope["headers"]),
            b"",
        )
        body = await _read_body(receive)
        if body is None:
            return
        call.body = body
        gateway, operation, handler = _route(call)
        if gateway is None:
            await _answer(send, Reply(404, b"<html><body>Not Found</body></html>", HTML), self._state.now())
            return
        incident = self._serve(gateway, operation, handler, call)
        delay = self._state.latency + incident.delay_s
        if delay > 0:
            await asyncio.sleep(delay)
        if incident.reply is None:
            await _close(receive)
        elif incident.cut:
            await _answer_in_part(receive, send, incident.reply, self._state.now())
        else:
            await _answer(send, incident.reply, self._state.now())

    def _serve(self, gateway: str, operation: str, handler: Handler, call: Call) -> Incident:
        state = self._state
        if len(call.body) > MAX_BODY_BYTES:
            return Incident(Reply(413, b"Request entity too large", TEXT))
        if not state.traffic.admit(gateway, state.rate_limit):
            state.traffic.record(gateway, operation, "429 rate limit")
            return Incident(Reply(429, b"Too many requests", TEXT, headers=((b"retry-after", b"1"),)))
        session_id = clickatell_http.session_of(call) if operation.startswith("http.") else None
        kind = state.faults.draw(gateway, operation, has_session=session_id is not None)
        if kind is None:
            reply = handler(state, call)
            state.traffic.record(gateway, operation, str(reply.status))
            return Incident(reply)
        state.traffic.record(gateway, operation, f"fault {kind}")
        with state.rehearsal():
            handler(state, call)  # so that the record tells of a stop that arrived, whatever becomes of it
        if kind == "session-expiry" and session_id is not None:
            state.end_session(session_id)
        return state.faults.befall(
            kind,
            operation,
            lambda: handler(state, call),
            rehearsal=state.rehearsal,
            another_id=lambda message_id, random: state.another_id(gateway, message_id, random),
            now=state.now(),
        )


def _route(call: Call) -> tuple[str | None, str, Handler]:
    path = call.path
    if path.startswith("/rest/"):
        return CLICKATELL, clickatell_rest.operation_of(call), clickatell_rest.handle
    if path.startswith("/http/"):
        return CLICKATELL, clickatell_http.operation_of(call), clickatell_http.handle
    if path[:14].lower() == "/messaging.svc":
        return ESENDEX, esendex.operation_of(call), esendex.handle
    return None, "", clickatell_rest.handle


async def _read_body(receive: Receive) -> bytes | None:
    """Read the body, at most a little beyond the limit; ``None`` when the caller went away."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= MAX_BODY_BYTES:
            body += message.get("body", b"")
    return body


def _start(reply: Reply, now: float) -> dict[str, Any]:
    headers = [(b"date", http_date(now)), (b"content-length", str(len(reply.body)).encode("ascii"))]
    if reply.content_type:
        headers.append((b"content-type", reply.content_type))
    headers.extend(reply.headers)
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


async def _answer(send: Send, reply: Reply, now: float) -> None:
    await send(_start(reply, now))
    await send({"type": "http.response.body", "body": reply.body})


async def _answer_in_part(receive: Receive, send: Send, reply: Reply, now: float) -> None:
    await send(_start(reply, now))
    half = reply.body[: len(reply.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    await _close(receive)


async def _close(receive: Receive) -> None:
    """Close the connection without (the rest of) an answer.

    ASGI has no word for that: returning early makes uvicorn answer 500. But ``receive`` is a method of
    uvicorn's record of the call, which knows the transport, with either of its HTTP parsers.
    """
    transport: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
