"""How an answer gets to its caller: whole, or broken on the way.

ASGI has no words for the latter. But ``receive`` is a method of uvicorn's record of the call, which knows the transport,
with either of its HTTP parsers.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_smscancel.sandbox.faults import Incident, Manner
from airflow_provider_smscancel.sandbox.wire import Reply, http_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Send

DRIPS = 20
"""In how many pieces an answer drips at the most."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time at all. Closing then resets the connection."""


async def deliver(incident: Incident, receive: Receive, send: Send, clock: Callable[[], float]) -> None:
    """Answer, or fail to, as the incident has it.

    :param clock: the sandbox's time in seconds since 1970.
    """
    reply, manner = incident.reply, incident.manner
    if manner is Manner.DRIPPING and reply is not None:
        await _drip(receive, send, reply, clock(), incident.delay_s)
        return
    if incident.delay_s > 0:
        await asyncio.sleep(incident.delay_s)
    if reply is None or manner in (Manner.NOT_AT_ALL, Manner.RESET):
        await _close(receive, reset=manner is Manner.RESET)
    elif manner is Manner.HALF_A_BODY:
        await send(_start(reply, clock()))
        half = reply.body[: len(reply.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await _close(receive)
    elif manner is Manner.WHOLE:
        await answer(send, reply, clock())
    else:
        await _deliver_raw(receive, send, reply, clock(), manner)


async def answer(send: Send, reply: Reply, now: float) -> None:
    """Give the whole answer."""
    await send(_start(reply, now))
    await send({"type": "http.response.body", "body": reply.body})


def _start(reply: Reply, now: float) -> dict[str, Any]:
    headers = [(b"content-length", str(len(reply.body)).encode("ascii"))]
    date = http_date(now) if reply.date is None else reply.date
    if date:
        headers.append((b"date", date))
    if reply.content_type:
        headers.append((b"content-type", reply.content_type))
    headers.extend(reply.headers)
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


async def _deliver_raw(receive: Receive, send: Send, reply: Reply, now: float, manner: Manner) -> None:
    """Let uvicorn write its answer aside, and send what becomes of it in one go."""
    cycle = _cycle_of(receive)
    transport = cycle.transport
    cycle.transport = aside = _Aside(transport)
    await answer(send, reply, now)
    cycle.transport = transport
    written = bytes(aside.written)
    if manner is Manner.TWICE:
        transport.write(written + written)
        return
    if manner is Manner.HALF_A_HEAD:
        written = written[: written.index(b"\r\n\r\n") // 2]
    transport.write(written)
    transport.close()


class _Aside:
    """A transport that keeps what is written to it.

    :param transport: for everything else.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def _drip(receive: Receive, send: Send, reply: Reply, now: float, seconds: float) -> None:
    """Answer byte by byte (or, where there are many, a few at a time), for so many seconds."""
    await send(_start(reply, now))
    size = max(1, -(-len(reply.body) // DRIPS))
    drops = [reply.body[at : at + size] for at in range(0, len(reply.body), size)]
    transport = _cycle_of(receive).transport
    for drop in drops:
        await asyncio.sleep(seconds / len(drops))
        if transport.is_closing():
            break
        await send({"type": "http.response.body", "body": drop, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _close(receive: Receive, *, reset: bool = False) -> None:
    """Close the connection without (the rest of) an answer: returning early would make uvicorn answer 500."""
    transport = _cycle_of(receive).transport
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


def _cycle_of(receive: Receive) -> Any:
    """Return uvicorn's record of the call."""
    return cast("Any", receive).__self__
