"""Clocks that are wrong, that jump, and that change; dates at the edges of calendars; messages that leave meanwhile.

Whole runs in virtual time, at the sandbox's own record, with every clock passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from random import Random
from zoneinfo import ZoneInfo

from support.ground_truth import FORMATS, Comparison
from support.virtual_sandbox import NEEDS_A_WIRE, VirtualSandbox, Way, open_way

from airflow_provider_smscancel.campaigns.messages import UNDATED, MessageRef, due_time
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd
from airflow_provider_smscancel.sandbox.faults import KINDS
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from torture.plan import Plan, Row
from torture.runs import SHARE, quiet, some_of
from torture.virtual import gateway_of, held_against_record, in_step, run

PLAIN_DAY = datetime(2027, 5, 17, 9, 0, tzinfo=UTC).timestamp()
TAKES_S = 20.0
"""How long a run takes that meets no faults."""
PATIENCE_S = 600.0
CONCURRENCY = 32
EACH_SCENE = 3
"""Each scene is played with one in so many of the messages, in each format."""
FEWEST = 20
FORMATS_WITH_FEW = 3
HOUR_S, YEAR_S = 3_600.0, 365 * 86_400.0

WHOLE = [kind for kind in KINDS if kind not in NEEDS_A_WIRE]
"""The kinds of faults that there can be without a socket."""

OFFSETS_S = (HOUR_S, -HOUR_S, 29.0, -29.0, 30.0, -30.0, 31.0, -31.0)
"""How far this machine's clock is ahead; half a minute is what is let pass."""
EDGES = (
    "2027-12-31T23:59:50",  # a year ends
    "2028-02-28T23:59:50",  # a leap day begins
    "2028-02-29T23:59:50",  # and ends
    "2100-02-28T23:59:50",  # there is none, though one might think so
    "2038-01-19T03:13:57",  # seconds since 1970 no longer fit into 32 bits
    "2016-12-31T23:59:50",  # a leap second follows, which no clock here shows
)
SWITCHES = (
    ("Europe/Berlin", "2027-10-31T00:59:50"),  # 2:00 to 2:59 comes twice
    ("Europe/Berlin", "2027-03-28T00:59:50"),  # 2:00 to 2:59 does not come
    ("America/New_York", "2027-11-07T05:59:50"),
    ("America/New_York", "2027-03-14T06:59:50"),
    ("Australia/Lord_Howe", "2027-04-03T14:59:50"),  # by half an hour
    ("Pacific/Apia", "2011-12-30T09:59:50"),  # a whole day is left out
)
"""A zone, and a moment in UTC ten seconds before its clocks change."""
FAR_DATES = (
    "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59+14:00",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+23:59",
    "2027-05-17T23:00:10+14:00",
    "2027-05-16T21:00:10-12:00",
    "2027-05-17T09:00:10.999999Z",
    "20270517T090010Z",
    "2027-W20-1T09:00:10Z",
)
"""Written dates that have a zone and can be read, near and far."""
NO_DATES = (
    "2027-05-17T09:00:60Z",
    "2027-02-29T00:00:00Z",
    "2027-05-17T24:00:01Z",
    "2027-05-17T09:00:00",
    "2027-05-17",
    "17.05.2027 09:00",
    "tomorrow",
    "1800000000",
    "9" * 400,
    "2027-05-17T09:00:00+99:00",
    "0001-01-01T00:00:00+14:00",  # in UTC that is in no year that Python knows
    "9999-12-31T23:59:59-12:00",
    "\x00",
    "".join(chr(0x660 + int(each)) if each.isdigit() else each for each in "2027-05-17T09:00:00Z"),
    "",
)
"""What is no date, or has no zone: such a message counts as undated, and is asked first."""


@dataclass
class Scene:
    """One thing to do to the clocks.

    :param dates: when the messages leave in truth, one after the other, in seconds since 1970.
    :param told: what the list says of it, given the true moment; ``None`` for nothing.
    :param faults: whether the sandbox breaks answers meanwhile as well.
    """

    began_at: float
    dates: Callable[[Random], float]
    told: Callable[[float, Random], object]
    latency_s: float = 0.2
    ahead_s: Callable[[float], float] = in_step
    date: Callable[[float, Random], str] | None = None
    way_there: Way = open_way
    faults: bool = False


def attack(plan: Plan) -> list[Row]:
    """Play every scene in every format."""
    with quiet():
        rows = [_row(what, scenes, plan) for what, scenes in _scenes().items()]
        rows.append(_dates_read(plan))
    return rows


def _row(what: str, scenes: list[Scene], plan: Plan) -> Row:
    told, unfinished = Comparison(), 0
    for seed in plan.seeds:
        lots = Random(f"{what}:{seed}")  # noqa: S311 - reproducible on purpose
        for name in some_of(FORMATS, plan.messages, FORMATS_WITH_FEW, lots):
            random = Random(f"{what}:{name}:{seed}")  # noqa: S311
            share = max(FEWEST, plan.messages // EACH_SCENE // len(scenes))
            for scene in scenes:
                found, is_complete = _play(scene, name, share, random)
                told += found
                unfinished += not is_complete
    return Row(
        what, told.messages, "messages", told.lost + unfinished, f"{told}; {unfinished} runs not complete"
    )


def _play(scene: Scene, name: str, count: int, random: Random) -> tuple[Comparison, bool]:
    gateway = gateway_of(name)
    date = scene.date
    sandbox = VirtualSandbox(
        scene.began_at,
        latency_s=scene.latency_s,
        way_there=scene.way_there,
        date=None if date is None else lambda now: date(now, random),
    )
    moments = [scene.dates(random) for _ in range(count)]
    ids = sandbox.put_in([{"gateway": gateway.name, "scheduled_at": _written(at)} for at in moments])
    items = [
        {"message_id": message_id, "scheduled_at": scene.told(at, random)}
        for message_id, at in zip(ids, moments, strict=True)
    ]
    if scene.faults:
        sandbox.state.faults.configure(share=SHARE, kinds=WHOLE)
    limits = Limits(count / TAKES_S, CONCURRENCY, PATIENCE_S)
    began_as: dict[str, str | None] = dict.fromkeys(ids, "scheduled")
    tried = run(gateway, sandbox, items, limits=limits, ahead_s=scene.ahead_s, random=random)
    return held_against_record(gateway, sandbox, began_as, tried), tried.end is RunEnd.COMPLETE


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def _truly(at: float, random: Random) -> object:
    return _written(at)


def _scenes() -> dict[str, list[Scene]]:
    return {
        "sent by the gateway while the cancel is in flight, with faults and without": [
            Scene(PLAIN_DAY, _within(PLAIN_DAY, TAKES_S), told, latency_s=latency_s, faults=faults)
            for told in (_truly, _nothing, _wrongly)
            for latency_s in (0.5, 2.0)
            for faults in (False, True)
        ],
        "a local clock that is off by an hour, or by about half a minute": [
            Scene(PLAIN_DAY, _within(PLAIN_DAY, 2 * TAKES_S), _truly, ahead_s=_always(ahead_s))
            for ahead_s in OFFSETS_S
        ],
        "a local clock that is set by an hour, or by a year, while the run goes on": [
            Scene(PLAIN_DAY, _within(PLAIN_DAY, 2 * TAKES_S), _truly, ahead_s=_set_by(step_s), faults=faults)
            for step_s in (HOUR_S, -HOUR_S, YEAR_S, -YEAR_S)
            for faults in (False, True)
        ],
        "Date headers that jump and that are garbage, with an outage of a minute": [
            Scene(PLAIN_DAY, _within(PLAIN_DAY, HOUR_S), _truly, date=_any_date, way_there=_away_for_a_minute)
        ],
        "runs across a year's end, a leap day, the end of 32 bits": [
            Scene(at, _within(at, TAKES_S), _truly, ahead_s=_always(ahead_s))
            for at in map(_moment, EDGES)
            for ahead_s in (0.0, -HOUR_S)
        ],
        "runs across a change to and from daylight saving": [
            Scene(_moment(text), _within(_moment(text), TAKES_S), _in_zone(ZoneInfo(zone)))
            for zone, text in SWITCHES
        ],
        "dates in the list that are far off, or none": [
            Scene(PLAIN_DAY, _within(PLAIN_DAY, 2 * TAKES_S), _any_of(dates))
            for dates in (FAR_DATES, NO_DATES)
        ],
    }


def _always(seconds: float) -> Callable[[float], float]:
    return lambda at: seconds


def _set_by(step_s: float) -> Callable[[float], float]:
    """Set the clock forth and back, every few seconds."""
    return lambda at: step_s if at % 8.0 > 4.0 else 0.0


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _within(begin: float, seconds: float) -> Callable[[Random], float]:
    return lambda random: begin + random.uniform(0.1, seconds)


def _nothing(at: float, random: Random) -> object:
    return None


def _wrongly(at: float, random: Random) -> object:
    """Tell of a date that is off by up to a minute."""
    return _written(at + random.uniform(-60, 60))


def _in_zone(zone: ZoneInfo) -> Callable[[float, Random], object]:
    """Tell of the moment by the clocks there: as an object, which knows of ``fold``, or as text with an offset."""

    def told(at: float, random: Random) -> object:
        there = datetime.fromtimestamp(at, zone)
        return there if random.random() < 0.5 else there.isoformat()

    return told


def _any_of(dates: Iterable[str]) -> Callable[[float, Random], object]:
    known = list(dates)
    return lambda at, random: random.choice(known)


def _any_date(now: float, random: Random) -> str:
    jump_s = random.choice([0.0, 0.0, 40.0, -40.0, HOUR_S, -HOUR_S, YEAR_S, -YEAR_S])
    garbage = [
        "",
        "yesterday",
        "Mon, 01 Jan 0001 00:00:00 +1400",
        "Fri, 31 Dec 9999 23:59:59 -1200",
        "0" * 5_000,
    ]
    return random.choice(garbage) if random.random() < 0.3 else formatdate(now + jump_s, usegmt=True)


def _away_for_a_minute(at: float) -> TransportFailure | None:
    return TransportFailure(FailureKind.TIMEOUT) if 5.0 <= at < 65.0 else None


# -- what a list says, and what is read of it ---------------------------------------------------------------------------


def _dates_read(plan: Plan) -> Row:
    """Read moments around every change of clocks, in every form in which a list can tell them."""
    tried, wrong = 0, 0
    for seed in plan.seeds:
        random = Random(f"dates:{seed}")  # noqa: S311 - reproducible on purpose
        for name, text in SWITCHES:
            zone = ZoneInfo(name)
            for _ in range(plan.messages):
                at = _moment(text) + random.randint(-3 * 3_600, 3 * 3_600)
                there = datetime.fromtimestamp(at, zone)
                forms = [there, there.isoformat(), _written(at), there.astimezone(ZoneInfo("Asia/Kathmandu"))]
                read = [due_time(form) for form in forms] + [due_time(MessageRef("x", there).scheduled_at)]
                tried += len(read)
                wrong += sum(one != at for one in read)
    read_as_none = [due_time(text) for text in (*NO_DATES, timedelta(1), math.nan, None, b"2027")]
    tried += len(read_as_none)
    wrong += sum(one != UNDATED for one in read_as_none)
    wrong += sum(due_time(text) == UNDATED for text in FAR_DATES)
    tried += len(FAR_DATES)
    return Row(
        "dates in the hours around a change of clocks, and dates that are none",
        tried,
        "dates",
        wrong,
        f"{wrong} read as another moment, or as one where there is none",
    )
