"""Whether the gateway refuses the account, or has only refused a request: what the run does until that is known."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict
from airflow_provider_smscancel.transport.failure import TransportFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from airflow_provider_smscancel.campaigns.gate import Gate
    from airflow_provider_smscancel.campaigns.order import Job

log = logging.getLogger(__name__)

ATTEMPTS = 3
AGAIN_AFTER_S = 1.0
STRAY_REFUSALS = 5
"""How often one message may meet a refusal of an account that is in order, before it is left open."""
IN_DOUBT = "account"
"""Why the gate is held."""


async def ask_about_account(gateway: Gateway, send: Callable[[Request], Awaitable[Answer]]) -> Verdict | None:
    """Ask the balance call.

    :param send: how a request gets there.
    :return: ``None`` when its word can't be had: then nothing is confirmed.
    """
    request = gateway.account_check()
    if request is None:
        return None
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(AGAIN_AFTER_S)
        try:
            verdict = gateway.read_account_check(await send(request))
        except TransportFailure as failure:
            log.debug("The account could not be checked: %s", failure)
            continue
        if verdict.finding in (Finding.ACCEPTED, Finding.ACCOUNT):
            return verdict
    return None


class AccountCheck:
    """Holds the run after a refusal until the balance call has said whether it is the account that is refused.

    :param gateway: which gateway.
    :param gate: is held meanwhile.
    :param send: how a request gets there.
    :param spawn: starts a task of the run.
    :param refused: ends the run: the account is refused.
    :param again: takes a request that is to be made again: the account is in order.
    :param leave: takes the index of a message that is to be left open, and why.
    """

    def __init__(
        self,
        gateway: Gateway,
        gate: Gate,
        *,
        send: Callable[[Request], Awaitable[Answer]],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        refused: Callable[[Verdict], None],
        again: Callable[[Job], None],
        leave: Callable[[int, str], None],
    ) -> None:
        self._gateway = gateway
        self._gate = gate
        self._send = send
        self._spawn = spawn
        self._refused = refused
        self._again = again
        self._leave = leave
        self._held: list[Job] = []
        self._strays: Counter[int] = Counter()

    def hold(self, job: Job) -> None:
        """Keep back a request that was refused."""
        self._held.append(job)

    def begin(self, refusal: Verdict) -> None:
        """Hold the run and ask, unless that is being done already."""
        if self._gate.is_held(IN_DOUBT):
            return
        log.warning(
            "%s refused a request: %s. Asking it about the account.", self._gateway.label, refusal.detail
        )
        self._gate.hold(IN_DOUBT)
        self._spawn(self._ask())

    async def _ask(self) -> None:
        verdict = await ask_about_account(self._gateway, self._send)
        if verdict is not None and verdict.finding is Finding.ACCOUNT:
            log.error("%s refuses the account: %s", self._gateway.label, verdict.detail)
            self._refused(verdict)
            return
        held, self._held = self._held, []
        for job in held:
            self._strays[job.index] += 1
            if self._strays[job.index] < STRAY_REFUSALS:
                self._again(job)
            else:
                self._leave(
                    job.index,
                    "the account was refused again and again, though the balance call does not confirm it",
                )
        self._gate.release(IN_DOUBT)
