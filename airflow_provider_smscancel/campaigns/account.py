"""What the gateway says of the account, once it has refused a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, Request, Verdict
from airflow_provider_smscancel.transport.failure import TransportFailure

log = logging.getLogger(__name__)

ATTEMPTS = 3
AGAIN_AFTER_S = 1.0


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
