"""``/_sandbox``: what steers the sandbox, and what it says about itself. No gateway has any of this."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.sandbox import MISSING_EXTRA
from airflow_provider_smscancel.sandbox.seeding import seed_messages
from airflow_provider_smscancel.sandbox.wire import iso, moment_of

try:
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(MISSING_EXTRA, name=missing.name) from None

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_smscancel.sandbox.state import Message, SandboxState

LINES_PER_CHUNK = 500

Endpoint = Callable[["Request"], Awaitable[Response]]


def routes(state: SandboxState) -> list[Route]:
    """Return the routes below ``/_sandbox``."""
    control = _Control(state)
    return [
        Route("/messages", control.list_messages, methods=["GET"]),
        Route("/messages", _checked(control.seed), methods=["POST"]),
        Route("/faults", _checked(control.faults), methods=["POST"]),
        Route("/clock", _checked(control.clock), methods=["POST"]),
        Route("/credentials", _checked(control.credentials), methods=["POST"]),
        Route("/reset", _checked(control.reset), methods=["POST"]),
        Route("/requests", control.requests, methods=["GET"]),
    ]


def _checked(endpoint: Endpoint) -> Endpoint:
    """Turn what is wrong with the caller's settings into a 400 that says so."""

    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return checked


class _Control:
    def __init__(self, state: SandboxState) -> None:
        self._state = state

    async def list_messages(self, request: Request) -> Response:
        """Write every message as a line of JSON: the ground truth."""
        # The messages are settled at once, so that all lines tell of the same moment.
        now = self._state.now()
        rows = [(message, message.phase(now).value) for message in self._state.messages()]
        return StreamingResponse(_lines(rows), media_type="application/x-ndjson")

    async def seed(self, request: Request) -> Response:
        """Put many messages in at once; return their ids."""
        ids = seed_messages(self._state, json.loads(await request.body()))
        return JSONResponse({"ids": ids})

    async def faults(self, request: Request) -> Response:
        """Set what goes wrong."""
        settings = await _settings(request, {"profile", "share", "kinds", "calls", "times", "slow_seconds"})
        for name in ("share", "slow_seconds"):
            _check_number(name, settings.get(name))
        for name in ("kinds", "calls"):
            _check_names(name, settings.get(name))
        self._state.faults.configure(**settings)
        return JSONResponse({"share": self._state.faults.share, "kinds": self._state.faults.kinds})

    async def clock(self, request: Request) -> Response:
        """Move the clock; it goes on from there."""
        settings = await _settings(request, {"now"})
        if not isinstance(settings.get("now"), str):
            raise ValueError('give {"now": an ISO 8601 date and time with a zone}')
        self._state.set_clock(moment_of(settings["now"]))
        return JSONResponse({"now": iso(self._state.now())})

    async def credentials(self, request: Request) -> Response:
        """Accept no credentials any more, at once or after so many calls."""
        settings = await _settings(request, {"revoked_after"})
        after = settings.get("revoked_after", 0)
        if isinstance(after, bool) or not isinstance(after, int) or after < 0:
            raise ValueError("revoked_after must be a number of calls, 0 or more")
        self._state.revoke_credentials(after)
        return JSONResponse({"revoked_after": after})

    async def reset(self, request: Request) -> Response:
        """Start anew, with the settings of the command line."""
        self._state.reset()
        return JSONResponse({"reset": True})

    async def requests(self, request: Request) -> Response:
        """Tell what each gateway was asked."""
        return JSONResponse(self._state.traffic.summary())


async def _settings(request: Request, known: set[str]) -> dict[str, Any]:
    settings = json.loads(await request.body())
    if not isinstance(settings, dict):
        raise ValueError("give a JSON object")
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}: valid are {', '.join(sorted(known))}")
    return {name: value for name, value in settings.items() if value is not None}


def _check_number(name: str, value: object) -> None:
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value)
    ):
        raise ValueError(f"{name} must be a number")


def _check_names(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise ValueError(f"{name} must be a list of names")


def _lines(rows: list[tuple[Message, str]]) -> Iterator[str]:
    for start in range(0, len(rows), LINES_PER_CHUNK):
        yield "".join(_line(message, state) for message, state in rows[start : start + LINES_PER_CHUNK])


def _line(message: Message, state: str) -> str:
    row = {
        "id": message.id,
        "gateway": message.gateway,
        "to": message.to,
        "client_message_id": message.client_message_id,
        "state": state,
        "scheduled_at": iso(message.scheduled_at),
        "cancelled_at": iso(message.cancelled_at),
        "sent_at": iso(message.sent_at),
        "stop_requests": message.stop_requests,
        "first_stop_at": iso(message.first_stop_at),
    }
    return json.dumps(row, separators=(",", ":")) + "\n"
