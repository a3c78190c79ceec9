"""The gateway is away for half a minute, and for an hour: in virtual time, with every clock passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

from support.ground_truth import FORMATS, Comparison
from support.virtual_sandbox import VirtualSandbox, Way

from airflow_provider_smscancel.campaigns.run import Limits, RunEnd
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from torture.plan import Plan, Row
from torture.runs import quiet, some_of
from torture.virtual import Tried, gateway_of, held_against_record, run

BEGAN_AT = datetime(2027, 5, 17, 9, 0, tzinfo=UTC).timestamp()
HALF_A_MINUTE_S, HOUR_S = 30.0, 3_600.0
PATIENCE_S, LONG_PATIENCE_S = 600.0, 7_200.0
ASKED_FOR_IN_S = 10.0
"""How long the run would take if nothing happened; the outage begins in its middle."""
LEAVING_SHARE = 0.2
FORMATS_WITH_FEW = 2
PROBES_PER_S = 1 / 4
"""One every five seconds is promised; the first comes after one second."""
AT_FIRST_S = 15.0
"""How long it may take to notice an outage: until then, what fails is repeated."""

KINDS = (FailureKind.REFUSED, FailureKind.CONNECT_TIMEOUT, FailureKind.TIMEOUT, FailureKind.BROKEN)
"""What requests meet meanwhile, by lot. Those of the latter two kinds are acted upon all the same."""


def attack(plan: Plan) -> list[Row]:
    """Let each format go through each outage."""
    scenes: list[tuple[str, Callable[[str, int, Random], tuple[Comparison, int]]]] = [
        ("half a minute", lambda *one: _waited_out(*one, lasts_s=HALF_A_MINUTE_S, patience_s=PATIENCE_S)),
        ("an hour, waited out", lambda *one: _waited_out(*one, lasts_s=HOUR_S, patience_s=LONG_PATIENCE_S)),
        ("an hour, given up and taken up by a retry", _given_up),
    ]
    rows = []
    with quiet():
        for what, play in scenes:
            told, faults = Comparison(), 0
            for seed in plan.seeds:
                lots = Random(f"{what}:{seed}")  # noqa: S311 - reproducible on purpose
                for name in some_of(FORMATS, plan.messages, FORMATS_WITH_FEW, lots):
                    random = Random(f"{what}:{name}:{seed}")  # noqa: S311
                    found, wrong = play(name, plan.messages, random)
                    told += found
                    faults += wrong
            counted = (
                f"{told}; {faults} runs that ended otherwise, or asked more than a probe every few seconds"
            )
            rows.append(
                Row(
                    f"an outage of {what}, every format",
                    told.messages,
                    "messages",
                    told.lost + faults,
                    counted,
                )
            )
    return rows


def _waited_out(
    name: str, count: int, random: Random, *, lasts_s: float, patience_s: float
) -> tuple[Comparison, int]:
    begins = ASKED_FOR_IN_S / 2
    gateway = gateway_of(name)
    sandbox = VirtualSandbox(BEGAN_AT, way_there=_away(begins, begins + lasts_s, random))
    items, began_as = _put_in(sandbox, gateway.name, count, random, lasts_s)
    tried = run(gateway, sandbox, items, limits=_limits(count, patience_s), random=random)
    during = sum(begins + AT_FIRST_S < at < begins + lasts_s for at in sandbox.requests)
    wrong = tried.end is not RunEnd.COMPLETE or during > (lasts_s - AT_FIRST_S) * PROBES_PER_S
    return held_against_record(gateway, sandbox, began_as, tried), int(wrong)


def _given_up(name: str, count: int, random: Random) -> tuple[Comparison, int]:
    begins = ASKED_FOR_IN_S / 2
    gateway = gateway_of(name)
    sandbox = VirtualSandbox(BEGAN_AT, way_there=_away(begins, begins + HOUR_S, random))
    items, began_as = _put_in(sandbox, gateway.name, count, random, HOUR_S)
    limits = _limits(count, PATIENCE_S)
    first = run(gateway, sandbox, items, limits=limits, random=random)
    gave_up = first.end is RunEnd.GATEWAY_DOWN and PATIENCE_S < first.took_s < PATIENCE_S + begins + 30
    found = held_against_record(gateway, sandbox, began_as, first)
    second = run(
        gateway, sandbox, first.open, limits=limits, retry=True, begin_at_s=begins + HOUR_S, random=random
    )
    both = Tried(second.end, first.outcomes | second.outcomes, second.took_s)
    told = held_against_record(gateway, sandbox, began_as, both)
    told.wrong += found.wrong  # what the first try claimed counts as well
    told.missing += found.missing
    return told, int(not gave_up or second.end is not RunEnd.COMPLETE or bool(second.open))


def _limits(count: int, patience_s: float) -> Limits:
    return Limits(max(1.0, count / ASKED_FOR_IN_S), 16, patience_s)


def _away(begins: float, ends: float, random: Random) -> Way:
    def way(at: float) -> TransportFailure | None:
        return TransportFailure(random.choice(KINDS)) if begins <= at < ends else None

    return way


def _put_in(
    sandbox: VirtualSandbox, gateway: str, count: int, random: Random, lasts_s: float
) -> tuple[list[Any], dict[str, str | None]]:
    """Put messages in, some of which leave while the gateway is away, and one that leaves long after."""
    dates = [
        BEGAN_AT + (random.uniform(1, lasts_s) if random.random() < LEAVING_SHARE else 5 * HOUR_S)
        for _ in range(count - 1)
    ]
    written = [datetime.fromtimestamp(date, UTC).isoformat() for date in [*dates, BEGAN_AT + 9 * HOUR_S]]
    ids = sandbox.put_in([{"gateway": gateway, "scheduled_at": date} for date in written])
    items = [
        {"message_id": message_id, "scheduled_at": date} if random.random() < 0.5 else message_id
        for message_id, date in zip(ids, written, strict=True)
    ]
    return items, dict.fromkeys(ids, "scheduled")
