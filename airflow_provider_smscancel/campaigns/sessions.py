"""One session of a gateway, shared by all requests of a run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict

log = logging.getLogger(__name__)

PING_AFTER_S = 600.0
"""A session lasts 15 minutes from its last use; the vendor advises a ping about every ten."""


class AccountRefused(Exception):
    """The session could not be opened because the account was refused."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


class SessionKeeper:
    """Opens a session when the first request needs one, and a new one when it has expired.

    A gateway that refuses sessions for any other reason than the account gets the credentials with each request instead.

    :param gateway: which gateway.
    :param send: how a request gets there. What it raises is passed on.
    :param clock: seconds, monotonic.
    """

    def __init__(
        self,
        gateway: Gateway,
        send: Callable[[Request], Awaitable[Answer]],
        clock: Callable[[], float],
    ) -> None:
        self._gateway = gateway
        self._send = send
        self._clock = clock
        self._session: str | None = None
        self._used_at = 0.0
        self._lock = asyncio.Lock()
        self._enabled = gateway.uses_session

    async def current(self) -> str | None:
        """Give the session to use, or ``None`` to send the credentials.

        :raises AccountRefused: when the gateway refuses the account.
        """
        if not self._enabled:
            return None
        if self._session is None or self._clock() - self._used_at > PING_AFTER_S:
            async with self._lock:
                await self._refresh()
        self._used_at = self._clock()
        return self._session

    def expired(self, session: str | None) -> None:
        """Note that the gateway has called a session expired. A newer one, opened meanwhile, is kept."""
        if session == self._session:
            self._session = None

    async def _refresh(self) -> None:
        idle_s = self._clock() - self._used_at
        if self._session is not None and idle_s > PING_AFTER_S:
            answer = await self._send(self._gateway.ping(self._session))
            if not self._gateway.read_ping(answer):
                self._session = None
        if self._session is None and self._enabled:
            await self._open()
        self._used_at = self._clock()

    async def _open(self) -> None:
        answer = await self._send(self._gateway.login())
        found = self._gateway.read_login(answer)
        if isinstance(found, str):
            self._session = found
        elif found.finding is Finding.ACCOUNT:
            raise AccountRefused(found)
        else:
            self._enabled = False
            log.warning(
                "%s opened no session (%s): every request carries the credentials instead.",
                self._gateway.label,
                found.detail,
            )
