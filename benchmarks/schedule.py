"""Not enough time for all: how many messages are saved, against the best possible schedule.

The server lets messages leave: a stop that comes later is told so. Traces are seeded, and in scaled time: seconds stand for
minutes.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from benchmarks.arithmetic import most_saved
from benchmarks.clients import message_ids
from benchmarks.harness import BareServer, Client, Row, say

RATE = 500
HORIZON_S = 5.0
MESSAGES = 3_200
CONCURRENCY = 32
START_AFTER_S = 2.0
LEAST = 0.99


@dataclass
class Trace:
    """A campaign: when each message leaves, in seconds from the start of the run.

    :param dated: those whose date is known.
    :param undated: how many have no date. They do not leave, but nobody knows that: they go first.
    """

    dated: list[float]
    undated: int = 0
    ids: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = message_ids(len(self.dated) + self.undated)

    def best(self, slots: list[float]) -> int:
        """Count what the best schedule saves that also takes the undated ones first."""
        return min(self.undated, len(slots)) + most_saved(self.dated, slots[self.undated :])


def uniform(random: Random, count: int) -> Trace:
    """Leave evenly, faster than they can be stopped."""
    return Trace([random.uniform(0.05, HORIZON_S) for _ in range(count)])


def bursty(random: Random, count: int) -> Trace:
    """Leave in five bursts."""
    bursts = [random.uniform(0.3, HORIZON_S) for _ in range(5)]
    return Trace([random.choice(bursts) + random.uniform(0, 0.05) for _ in range(count)])


def at_once(random: Random, count: int) -> Trace:
    """Leave all at one moment: then every order saves as many, and only the pace counts."""
    return Trace([HORIZON_S * 0.6] * count)


def past_due(random: Random, count: int) -> Trace:
    """Half of them have left before the run begins."""
    return Trace(
        [
            random.uniform(-60, -0.5) if number % 2 else random.uniform(0.05, HORIZON_S / 2)
            for number in range(count)
        ]
    )


def undated(random: Random, count: int) -> Trace:
    """One in eight has no date."""
    few = count // 8
    return Trace([random.uniform(0.05, HORIZON_S) for _ in range(count - few)], few)


SHAPES: dict[str, Callable[[Random, int], Trace]] = {
    "uniform": uniform,
    "bursty": bursty,
    "all at one moment": at_once,
    "half past due": past_due,
    "one in eight undated": undated,
}


@dataclass(frozen=True)
class Saved:
    """What came of one trace.

    :param messages: how many were saved.
    :param of: how many the best order of the requests that arrived would have saved.
    :param of_rate: how many the best order of requests that fill the configured rate would have saved.
    """

    shape: str
    messages: int
    of: int
    of_rate: int

    @property
    def share(self) -> float:
        """The share of the best order."""
        return self.messages / self.of


def deadlines(scale: float = 1.0) -> list[Row]:
    """Play every trace with the engine."""
    found = [_play(shape, max(10, int(MESSAGES * scale)), seed) for seed, shape in enumerate(SHAPES)]
    worst = min(found, key=lambda each: each.share)
    by_shape = ", ".join(f"{each.shape} {each.share:.4f}" for each in found)
    by_rate = ", ".join(f"{each.messages / each.of_rate:.3f}" for each in found)
    return [
        Row(
            "not enough time for all: messages saved, against the best possible order of the same requests",
            f"≥ {LEAST}",
            f"**{worst.share:.4f}** at worst; {by_shape}",
            worst.share >= LEAST,
        ),
        Row(
            "the same, against a schedule that would also use the configured rate to the last request",
            "none",
            f"{by_rate}",
        ),
    ]


def _play(shape: str, count: int, seed: int) -> Saved:
    say(f"   {shape}: {count:,} messages within {HORIZON_S:g} s, at {RATE} a second")
    trace = SHAPES[shape](Random(seed), count)  # noqa: S311 - reproducible on purpose
    start = time.time() + START_AFTER_S
    leaves = {message_id: start + at for message_id, at in zip(trace.ids, trace.dated, strict=False)}
    messages = [
        {"message_id": message_id, "scheduled_at": _iso(leaves.get(message_id))} for message_id in trace.ids
    ]
    # As they would come: not in the order in which they leave.
    Random(seed).shuffle(messages)  # noqa: S311 - reproducible on purpose
    with tempfile.TemporaryDirectory() as folder:
        list_of_them, plan = Path(folder, "messages.json"), Path(folder, "leaves.json")
        list_of_them.write_text(json.dumps(messages))
        plan.write_text(json.dumps(leaves))
        with BareServer("--leaves", str(plan)) as server:
            limits = ("--concurrency", CONCURRENCY, "--rate", RATE)
            client = Client("hook", server.url, "--messages", list_of_them, *limits)
            time.sleep(max(0.0, start - time.time()))
            client.begin()
            done = client.finish()
            arrived: list[float] = server.ask("arrivals")
            saved = len(server.ask("saved"))
    if saved != done["stopped"]:
        raise RuntimeError(f"the engine calls {done['stopped']} messages stopped, the server {saved}")
    slots = [at - start for at in arrived]
    at_full_rate = [slots[0] + number / RATE for number in range(count)]
    return Saved(shape, saved, trace.best(slots), trace.best(at_full_rate))


def _iso(when: float | None) -> str | None:
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat()
