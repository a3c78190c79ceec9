"""Begins in a thread what must not hold up the triggerer's loop: reading a campaign, and opening its report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.cancel_job import CancelJob


class Beginning:
    """A job that a thread makes ready to run.

    Whoever waits for it may be cancelled meanwhile: the job that comes of it then closes its report again, so that no thread
    is left behind.

    :param begin: makes the job; it may ask Airflow for connections.
    """

    def __init__(self, begin: Callable[[], CancelJob]) -> None:
        self._begin = begin
        self._closing: asyncio.Task[CancelJob | None] | None = None

    async def job(self) -> CancelJob:
        """Let the thread begin, and wait for it.

        :raises Exception: what ``begin`` raises.
        """
        # Not asyncio.to_thread: before Airflow 3.3 connections are only to be had in threads that asgiref knows.
        making = asyncio.ensure_future(sync_to_async(self._begin, thread_sensitive=False)())
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._closing = asyncio.create_task(_closed(making))
            raise

    async def job_after_all(self) -> CancelJob | None:
        """After :meth:`job` was cancelled: wait for what comes of it, with its report closed; ``None`` if nothing does."""
        return None if self._closing is None else await asyncio.shield(self._closing)


async def _closed(making: asyncio.Future[CancelJob]) -> CancelJob | None:
    try:
        job = await making
    except Exception:  # nobody runs it any more
        return None
    await asyncio.to_thread(job.suspend)
    return job
