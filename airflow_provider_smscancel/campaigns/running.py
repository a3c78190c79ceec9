"""Runs the engine in a helper thread, so that the caller's thread only waits.

Signals (a kill, Airflow's ``execution_timeout``) land in the main thread. Raised inside an event loop's callback
they can be swallowed; raised while the main thread waits on a queue they can not.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.run import RunEnd, SettledMessage, Transport
from airflow_provider_smscancel.exceptions import SmsGatewayUnavailable
from airflow_provider_smscancel.transport.failure import TransportFailure

if TYPE_CHECKING:
    from collections.abc import Callable


class BackgroundRun:
    """One engine in one thread.

    :param make_engine: makes the engine, given where to deliver what is settled.
    :param open_transport: opens the transport, in the thread's event loop.
    """

    def __init__(
        self,
        make_engine: Callable[[Callable[[list[SettledMessage]], None]], Engine],
        open_transport: Callable[[], AbstractAsyncContextManager[Transport]],
    ) -> None:
        # A signal handler may call a SimpleQueue's put while it interrupts its get; a Condition's it may not.
        self._batches: queue.SimpleQueue[list[SettledMessage] | None] = queue.SimpleQueue()
        self._engine = make_engine(self._batches.put)
        self._open_transport = open_transport
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._main, name="smscancel-engine", daemon=True)
        self._error: BaseException | None = None
        self._drained = False
        self.end: RunEnd | None = None

    def start(self) -> None:
        """Begin. The first request may leave before this returns."""
        self._thread.start()

    def next_batch(self, timeout: float) -> list[SettledMessage] | None:
        """Wait for what is settled next.

        :param timeout: seconds.
        :return: a batch, empty when none came in time; ``None`` when the run is over and all was handed over.
        :raises Exception: what broke the run, after all was handed over.
        """
        if self._drained:
            self._raise_error()
            return None
        try:
            batch = self._batches.get(timeout=timeout)
        except queue.Empty:
            return []
        if batch is None:
            self._drained = True
            self._raise_error()
        return batch

    def stop(self, why: RunEnd = RunEnd.STOPPED) -> None:
        """Make no new request. Any thread and any signal handler may call this, more than once."""
        loop = self._loop
        if loop is None:
            self._engine.end(why)  # not begun yet: nothing runs beside this
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
                loop.call_soon_threadsafe(self._engine.end, why)

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most ``timeout`` seconds."""
        self._thread.join(timeout)

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _main(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self.end = runner.run(self._run())
        except BaseException as error:  # handed to the thread that waits
            self.end = RunEnd.CRASHED
            self._error = error
        finally:
            self._batches.put(None)

    async def _run(self) -> RunEnd:
        return await run_engine(self._engine, self._open_transport)


async def run_engine(
    engine: Engine, open_transport: Callable[[], AbstractAsyncContextManager[Transport]]
) -> RunEnd:
    """Run an engine in the loop that is running.

    :raises SmsGatewayUnavailable: there is no way to the gateway; every message was handed over as open.
    :raises Exception: what broke the run, after the same.
    """
    try:
        async with open_transport() as transport:
            return await engine.run(transport)
    except TransportFailure as failure:
        # Of opening the transport: a CA bundle or a proxy that the environment names and that is of no use.
        error = SmsGatewayUnavailable(str(failure))
    except Exception:
        await engine.hand_over_open(RunEnd.CRASHED)
        raise
    await engine.hand_over_open(RunEnd.CRASHED)
    raise error
