"""What goes into a run, and what comes out of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from airflow_provider_smscancel.campaigns.settlement import Settled
from airflow_provider_smscancel.gateways.base import Answer, Request, Verdict


class RunEnd(enum.StrEnum):
    """Why a run ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    """Somebody told it to stop: a kill, or a reader that left."""
    DEADLINE = "deadline"
    GATEWAY_DOWN = "gateway_down"
    ACCOUNT_REFUSED = "account_refused"
    CRASHED = "crashed"


class SettledMessage(NamedTuple):
    """One message that is settled, on its way out of the engine."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    settled: Settled
    attempts: int
    finished_at: float
    """Seconds since 1970, by this machine's clock."""


class Transport(Protocol):
    """How a request gets there and back."""

    async def send(self, request: Request) -> Answer:
        """Send one request. Raises :class:`TransportFailure` when there is no answer."""


@dataclass(slots=True)
class RunStats:
    """What a run has done so far.

    Read from another thread: single fields are consistent, the whole may lag by a moment.
    """

    requests: int = 0
    finished: int = 0
    """Requests that have ended, with an answer or without."""
    waited_s: float = 0.0
    """How long those took, all together."""
    repeats: int = 0
    throttled: int = 0
    account_refusal: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast, and how long.

    :param requests_per_second: the pace that is never exceeded.
    :param max_concurrency: how many requests may be under way.
    :param give_up_after_s: how long the gateway may be down, in seconds.
    :param deadline_s: how many seconds the run may take from its start, or ``None``.
    """

    requests_per_second: float
    max_concurrency: int
    give_up_after_s: float = 600.0
    deadline_s: float | None = None
