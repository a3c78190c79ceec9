"""Begins in a thread what must not hold up the triggerer's loop: reading a campaign, and opening its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.cancel_job import CancelJob


async def begun(begin: Callable[[], CancelJob]) -> CancelJob:
    """Let a thread make a job that is ready to run.

    Cancelled meanwhile, the job that comes of it closes its report again, so that no thread is left behind.

    :param begin: makes the job; it may ask Airflow for connections.
    :raises Exception: what ``begin`` raises.
    """
    # Not asyncio.to_thread: before Airflow 3.3 connections are only to be had in threads that asgiref knows.
    making = asyncio.ensure_future(sync_to_async(begin, thread_sensitive=False)())
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        making.add_done_callback(_discard)
        raise


def _discard(making: asyncio.Future[CancelJob]) -> None:
    if not making.cancelled() and making.exception() is None:
        asyncio.get_running_loop().run_in_executor(None, making.result().suspend)
