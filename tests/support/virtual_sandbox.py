"""The sandbox without a socket, in virtual time: an hour takes milliseconds, and the record is the sandbox's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from multidict import CIMultiDict

from airflow_provider_smscancel.gateways.base import Answer, Request
from airflow_provider_smscancel.sandbox.app import GatewayEndpoint
from airflow_provider_smscancel.sandbox.seeding import seed_messages
from airflow_provider_smscancel.sandbox.state import SandboxState
from airflow_provider_smscancel.sandbox.wire import iso
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure

BASE_URL = "http://127.0.0.1:8099"

NEEDS_A_WIRE = frozenset(
    {
        *("cut-head", "cut-body", "act-then-reset", "answer-twice", "close-after"),
        *("slow", "drip"),
        "gzip-bomb",
    }
)
"""Faults that are none without a socket, a time limit, or a transport that unpacks."""

Way = Callable[[float], TransportFailure | None]
"""What becomes of a request that departs at a moment: nothing in particular, or a failure."""


def open_way(at: float) -> None:
    """Let every request through."""


class VirtualSandbox:
    """Both gateways, and a transport that leads to them, on the time of the event loop that asks.

    :param began_at: the gateway's clock when the loop's says 0, in seconds since 1970.
    :param latency_s: how long there and back takes.
    :param way_there: decides whether a request gets there. A failure that may have left is told after the gateway has acted.
    :param date: what the gateway writes into ``Date``, given its time; the time itself unless told otherwise.
    """

    def __init__(
        self,
        began_at: float,
        *,
        seed: int = 0,
        latency_s: float = 0.1,
        way_there: Way = open_way,
        date: Callable[[float], str] | None = None,
    ) -> None:
        self.began_at = began_at
        self.loop: asyncio.AbstractEventLoop | None = None
        self.requests: list[float] = []
        """When each request departed, in seconds of the loop."""
        self.state = SandboxState(seed=seed, wall_clock=self.now, monotonic=self._elapsed)
        self._latency_s = latency_s
        self._way_there = way_there
        self._date = date
        self._endpoint = GatewayEndpoint(self.state)

    def now(self) -> float:
        """Tell the gateway's time in seconds since 1970."""
        return self.began_at + self._elapsed()

    def _elapsed(self) -> float:
        return 0.0 if self.loop is None else self.loop.time()

    def put_in(self, orders: list[dict[str, Any]]) -> list[str]:
        """Put messages in and return their ids."""
        return seed_messages(self.state, orders)

    def record(self) -> dict[str, dict[str, Any]]:
        """Tell what really happened, by id."""
        now = self.now()
        return {
            message.id: {
                "state": message.phase(now).value,
                "first_stop_at": iso(message.first_stop_at),
            }
            for message in self.state.messages()
        }

    async def send(self, request: Request) -> Answer:
        """Carry a request there and its answer back."""
        self.loop = asyncio.get_running_loop()
        self.requests.append(self.loop.time())
        failure = self._way_there(self.loop.time())
        await asyncio.sleep(self._latency_s / 2)
        if failure is not None and failure.never_left:
            raise failure
        exchange = _Exchange(request)
        await self._endpoint(exchange.scope, exchange.receive, exchange.send)
        await asyncio.sleep(self._latency_s / 2)
        if failure is not None or exchange.answer is None:
            raise failure or TransportFailure(FailureKind.BROKEN)
        if self._date is not None:
            exchange.answer.headers["Date"] = self._date(self.now())  # type: ignore[index]
        return exchange.answer


class _Exchange:
    """One call, in ASGI's terms, and what came of it. Its methods' ``self`` is what the sandbox takes for uvicorn's record."""

    def __init__(self, request: Request) -> None:
        parts = urlsplit(request.url)
        headers = {"host": parts.netloc, **request.headers}
        self.scope: MutableMapping[str, Any] = {
            "method": request.method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self._body = request.body or b""
        self._is_closed = False
        self.answer: Answer | None = None
        self.transport = self

    async def receive(self) -> Mapping[str, Any]:
        """Give the request's body, or tell that the connection is closed."""
        if self._is_closed:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._body}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            headers = CIMultiDict((name.decode(), value.decode()) for name, value in message["headers"])
            self._head = message["status"], headers
        else:
            self.answer = Answer(*self._head, message.get("body", b""))

    def close(self) -> None:
        """Close the connection: whatever was answered is not whole."""
        self._is_closed = True
        self.answer = None
