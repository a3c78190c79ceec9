"""A campaign at a sandbox without a socket, in virtual time, with every clock passed in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from support import virtual_time
from support.ground_truth import FORMATS, Comparison, compare
from support.virtual_sandbox import BASE_URL, VirtualSandbox

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.settlement import StopCase
from airflow_provider_smscancel.campaigns.sources import add_ids
from airflow_provider_smscancel.gateways.base import Gateway

OPEN = {Outcome.UNCONFIRMED, Outcome.NOT_ATTEMPTED}


@dataclass
class Tried:
    """What came of one try.

    :param outcomes: of each message that was in it.
    :param took_s: in seconds of the loop.
    """

    end: RunEnd
    outcomes: dict[str, str]
    took_s: float

    @property
    def open(self) -> list[str]:
        """The messages whose outcome claims nothing: what a retry takes up."""
        return [message_id for message_id, outcome in self.outcomes.items() if outcome in OPEN]


def in_step(at: float) -> float:
    """Let this machine's clock show the gateway's time."""
    return 0.0


def gateway_of(name: str) -> Gateway:
    """Return the gateway that speaks one of the formats."""
    return FORMATS[name](BASE_URL)


def run(
    gateway: Gateway,
    sandbox: VirtualSandbox,
    items: Sequence[Any],
    *,
    limits: Limits,
    ahead_s: Callable[[float], float] = in_step,
    retry: bool = False,
    begin_at_s: float = 0.0,
    random: Random,
) -> Tried:
    """Stop messages with the engine.

    :param items: as the operator takes them.
    :param ahead_s: how many seconds this machine's clock is ahead of the gateway's, by the seconds of the loop.
    :param retry: whether an earlier try may have asked already.
    :param begin_at_s: when the try begins, in seconds of the loop.
    """
    campaign = Campaign(gateway)
    add_ids(campaign, items)
    assert not campaign.rejected
    results: list[SettledMessage] = []

    async def main() -> tuple[RunEnd, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(begin_at_s)
        engine = Engine(
            gateway,
            campaign,
            range(len(campaign)),
            limits=limits,
            make_case=lambda _: StopCase(random.random, first_try=not retry),
            deliver=results.extend,
            stats=RunStats(),
            wall=lambda: sandbox.began_at + loop.time() + ahead_s(loop.time()),
        )
        return await engine.run(sandbox), loop.time()

    end, took_s = virtual_time.run(main())
    outcomes = {campaign.ids[each.index]: str(each.settled.outcome) for each in results}
    if len(results) != len(outcomes):
        raise RuntimeError("a message has two outcomes")
    return Tried(end, outcomes, took_s)


def held_against_record(
    gateway: Gateway, sandbox: VirtualSandbox, began_as: dict[str, str | None], tried: Tried
) -> Comparison:
    """Compare with what really happened, by the time that the try ended."""
    return compare(gateway.name, began_as, tried.outcomes, sandbox.record())
