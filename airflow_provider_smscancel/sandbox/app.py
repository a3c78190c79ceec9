"""The sandbox as one ASGI application: both gateways and the control calls.

Gateway calls skip Starlette's request and response objects: the sandbox must not be what limits a benchmark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_smscancel.sandbox import (
    CLICKATELL,
    ESENDEX,
    MISSING_EXTRA,
    clickatell_http,
    clickatell_rest,
    control,
    esendex,
)
from airflow_provider_smscancel.sandbox.delivery import answer, deliver
from airflow_provider_smscancel.sandbox.faults import Incident
from airflow_provider_smscancel.sandbox.wire import HTML, TEXT, Call, Reply

try:
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(MISSING_EXTRA, name=missing.name) from None

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_smscancel.sandbox.state import SandboxState

MAX_BODY_BYTES = 1 << 20
ELSEWHERE = "/elsewhere"
"""Where a redirect leads. Nobody should ever get there."""

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
            await answer(send, _nothing_here(self._state, call), self._state.now())
            return
        incident = self._serve(gateway, operation, handler, call)
        if self._state.latency > 0:
            await asyncio.sleep(self._state.latency)
        await deliver(incident, receive, send, self._state.now)

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
            elsewhere=_elsewhere(call),
            now=state.now(),
        )


def _route(call: Call) -> tuple[str | None, str, Handler]:
    path = call.path
    if path.startswith(ELSEWHERE):
        gateway, _, _ = _route(replace(call, path=path[len(ELSEWHERE) :]))
        return gateway, "elsewhere", _nothing_here
    if path.startswith("/rest/"):
        return CLICKATELL, clickatell_rest.operation_of(call), clickatell_rest.handle
    if path.startswith("/http/"):
        return CLICKATELL, clickatell_http.operation_of(call), clickatell_http.handle
    if path[:14].lower() == "/messaging.svc":
        return ESENDEX, esendex.operation_of(call), esendex.handle
    return None, "", _nothing_here


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


def _nothing_here(state: SandboxState, call: Call) -> Reply:
    return Reply(404, b"<html><body>Not Found</body></html>", HTML)


def _elsewhere(call: Call) -> bytes:
    """Return a URL at a host of another name, where whoever follows it is counted."""
    port = call.headers.get(b"host", b"").rpartition(b":")[2]
    return b"http://localhost:" + port + ELSEWHERE.encode("ascii") + call.path.encode("utf-8")
