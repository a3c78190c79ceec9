"""One session of a gateway, shared by all requests of a run."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

MOST_USELESS_SESSIONS = 2
"""After so many new sessions that were refused at once, none is opened any more: logins without end lock accounts."""
PING_AFTER_S = 600.0
"""A session lasts 15 minutes from its last use; the vendor advises a ping about every ten."""


class AccountRefused(Exception):
    """The session could not be opened because the account was refused."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


class SessionKeeper:
    """Opens a session when the first request needs one, and a new one when it has expired.

    A gateway that opens none gets the credentials with each request instead.

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
        self._attempts = 0
        self._failure: Exception | None = None
        self._enabled = gateway.uses_session
        self._works = True
        self._useless = 0

    @property
    def ready(self) -> bool:
        """Whether a request can be made at once; if not, :meth:`open` comes first."""
        if not self._enabled:
            return True
        return self._session is not None and self._clock() - self._used_at <= PING_AFTER_S

    def use(self) -> str | None:
        """Give the session to use now, or ``None`` to send the credentials."""
        if self._session is not None:
            self._used_at = self._clock()
        return self._session

    async def open(self) -> None:
        """Open a session where there is none, and ping one that was idle for long.

        Concurrent callers share one attempt and what came of it: a gateway that is down, or that refuses the account,
        is not asked once more by each of them.

        :raises AccountRefused: when the gateway refuses the account. Later requests carry the credentials.
        """
        attempts = self._attempts
        async with self._lock:
            if self.ready:
                return
            if attempts != self._attempts and self._failure is not None:
                raise self._failure
            try:
                await self._refresh()
                self._failure = None
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._attempts += 1

    def expired(self, session: str | None) -> None:
        """Note that the gateway has called a session expired. A newer one, opened meanwhile, is kept."""
        if session is None or session != self._session:
            return
        self._session = None
        self._useless = 0 if self._works else self._useless + 1
        if self._useless >= MOST_USELESS_SESSIONS:
            self._enabled = False
            log.warning(
                "%s refuses the sessions that it has just opened: every request carries the credentials instead.",
                self._gateway.label,
            )

    def works(self) -> None:
        """Note that a request with the session was answered."""
        self._works = True

    async def _refresh(self) -> None:
        if self._session is not None:
            answer = await self._send(self._gateway.ping(self._session))
            if not self._gateway.read_ping(answer):
                self._session = None
        if self._session is None:
            await self._log_in()
        self._used_at = self._clock()

    async def _log_in(self) -> None:
        answer = await self._send(self._gateway.login())
        found = self._gateway.read_login(answer)
        if isinstance(found, str):
            self._session = found
            self._works = False
            return
        self._enabled = False
        if found.finding is Finding.ACCOUNT:
            raise AccountRefused(found)
        log.warning(
            "%s opened no session (%s): every request carries the credentials instead.",
            self._gateway.label,
            found.detail,
        )
