"""Ctrl-C and SIGTERM while a campaign runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from airflow_provider_smscancel.campaigns.job import Job

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDING = "Ending: no new request; what is known is written down within 4 s."


@dataclass(slots=True)
class Received:
    """Which signal came first, if any."""

    number: int | None = None

    @property
    def status(self) -> int | None:
        """The exit status by which a shell names that signal."""
        return None if self.number is None else 128 + self.number


@contextmanager
def ending_on_signals(job: Job, tell: Callable[[str], None]) -> Iterator[Received]:
    """Let a signal end a job in an orderly way. Another one changes nothing: the end is near already.

    :param job: makes no new request then; what is in flight gets 2 s, and what is known is written.
    :param tell: shows that it is coming to its end.
    """
    received = Received()

    def end(number: int, frame: FrameType | None) -> None:
        if received.number is None:
            received.number = number
            job.stop()
            tell(ENDING)

    # One that is ignored stays so: `nohup` means that the run goes on when the terminal is closed.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
