"""Attacks what a run writes and what the next one believes: the report, the list for the triggerer, and Airflow's task state store."""

from __future__ import annotations

import itertools
import json
import logging
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from support.state_store import MemoryStore

from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.earlier_parts import Identity
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.outcome import OPEN, CancelResult, Outcome
from airflow_provider_smscancel.sandbox.server import SandboxServer
from torture import storage_in_airflow
from torture.damage import LIES, MANGLED, Left
from torture.plan import SHORT, Plan, Row, say
from torture.storage_tries import (
    HELD_UP,
    KINDS,
    OWNER,
    Losses,
    World,
    hurried,
    lost_by,
    lost_in_report,
    play,
)
from torture.stores import Call, Fault, FaultyFolder, Store, Wrong, nothing, read_only, small_disk

SHARE = 0.3
FORMATS = ("Clickatell REST in JSON", "Esendex json")
"""What is stored does not depend on what travels; of each gateway one is enough."""
FEWEST = 30
Attack = Callable[[World, Path, random.Random], Iterator[Losses]]
"""Tries at a campaign in a folder: what each of them lost."""


def attack(plan: Plan) -> list[Row]:
    """Try each kind of attack on small campaigns of their own, at both gateways in turn."""
    count = max(FEWEST, plan.messages // 16)
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    try:
        with SandboxServer(seed=plan.seeds[0]) as server, hurried():
            return [_row(what, attacks, plan, server, count) for what, attacks in ATTACKS.items()]
    finally:
        logging.disable(logging.NOTSET)


def _row(what: str, attacks: list[Attack], plan: Plan, server: SandboxServer, count: int) -> Row:
    say(f"   {what}")
    lost: Losses = Counter()
    kinds, tries, messages, faults = set(), 0, 0, 0
    for seed in plan.seeds:
        for number, one in enumerate(attacks[:: 1 if plan.messages >= SHORT.messages else 4]):
            world = World(server, FORMATS[(number + seed) % len(FORMATS)], count)
            draw = random.Random(f"{seed} {number}")  # noqa: S311 - a lottery
            with tempfile.TemporaryDirectory() as scratch:
                found = list(one(world, Path(scratch) / "report", draw))
            lost += sum(found, Counter())
            if world.faults:  # where nothing went wrong with the store, nothing was tried
                kinds.add(number)
                faults += world.faults
                tries += len(found)
                messages += len(found) * len(world.names)
    counted = ", ".join(f"{lost[kind]} {kind}" for kind in KINDS)
    said = f"{len(kinds)} kinds, {faults:,} times, in {tries} tries: {counted}"
    return Row(what, messages, "messages", lost.total(), said)


# -- a store that fails --------------------------------------------------------------------------------------------------


def writing(wrong: Callable[[random.Random], Wrong]) -> Attack:
    """A store that fails while two tries write, of which the first is stopped half-way; then it is well again."""

    def tries(world: World, folder: Path, draw: random.Random) -> Iterator[Losses]:
        folder.mkdir()
        for number, stop_after in ((1, len(world.ids) // 2), (2, None)):
            store = Store(wrong(draw))
            yield from _one(world, folder, store, number, stop_after)
        yield from _one(world, folder, Store(nothing), 3)

    return tries


def reading(wrong: Callable[[random.Random], Wrong]) -> Attack:
    """A store that fails only when the second try reads what the first, which was stopped half-way, has left."""

    def tries(world: World, folder: Path, draw: random.Random) -> Iterator[Losses]:
        yield from _one(world, folder, Store(nothing), 1, len(world.ids) // 2)
        yield from _one(world, folder, Store(wrong(draw)), 2)
        yield from _one(world, folder, Store(nothing), 3)

    return tries


def _one(
    world: World, folder: Path, store: Store, number: int, stop_after: int | None = None
) -> Iterator[Losses]:
    tried = play(world, FaultyFolder(folder, store), number, stop_after=stop_after)
    yield lost_by(world, tried) + lost_in_report(world, tried, folder) + _held_up(world, store)


def _held_up(world: World, store: Store) -> Losses:
    """Let a store go, and note how often it failed, and whether it was waited for."""
    store.let_go()
    world.faults += store.faults
    return Counter({HELD_UP: int(store.held_up)})


def always(fault: Fault, *kinds: str, name: str = "") -> Callable[[random.Random], Wrong]:
    """Every call of a kind, of files whose name begins so."""
    return lambda _: lambda call: fault if call.kind in kinds and call.name.startswith(name) else None


def from_call(number: int, fault: Fault, *kinds: str) -> Callable[[random.Random], Wrong]:
    """Every call of a kind from the so-manieth on."""
    return lambda _: lambda call: fault if call.kind in kinds and call.number >= number else None


def up_to_call(number: int, fault: Fault, *kinds: str) -> Callable[[random.Random], Wrong]:
    """The first few calls of a kind."""
    return lambda _: lambda call: fault if call.kind in kinds and call.number <= number else None


def by_lot(
    *faults: Fault, kinds: tuple[str, ...] = ("list", "read", "write", "mkdir")
) -> Callable[[random.Random], Wrong]:
    """A share of the calls."""

    def drawn(draw: random.Random) -> Wrong:
        def wrong(call: Call) -> Fault | None:
            return draw.choice(faults) if call.kind in kinds and draw.random() < SHARE else None

        return wrong

    return drawn


# -- real disks ----------------------------------------------------------------------------------------------------------


def full_disk(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A disk that is full after a while, and for the next try from the start; then somebody makes room."""
    world.faults += 1
    with small_disk(folder, kilobytes=24):
        for number, stop_after in ((1, len(world.ids) // 2), (2, None)):
            tried = play(world, folder, number, stop_after=stop_after)
            yield lost_by(world, tried) + lost_in_report(world, tried, folder)
    tried = play(world, folder.parent / "another", 3)
    yield lost_by(world, tried) + lost_in_report(world, tried, folder.parent / "another")


def no_writing(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A folder that nobody may write into."""
    with read_only(folder) as is_so:
        world.faults += is_so
        tried = play(world, folder, 1)
        yield lost_by(world, tried) + lost_in_report(world, tried, folder)


def no_folder(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A file where the folder should be, then in place of a folder above it."""
    world.faults += 1
    folder.write_text("a file")
    for number, place in ((1, folder), (2, folder / "below")):
        tried = play(world, place, number)
        yield lost_by(world, tried) + lost_in_report(world, tried, place)


def removed(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A folder that somebody removes while the run goes on."""
    yield from _one(world, folder, Store(_in_the_middle(world, lambda: shutil.rmtree(folder))), 1)
    yield from _one(world, folder, Store(nothing), 2)


def emptied(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A bucket, which has no folders, that somebody empties while the run goes on."""

    def empty() -> None:
        for path in folder.iterdir():
            path.unlink()

    yield from _one(world, folder, Store(_in_the_middle(world, empty)), 1)
    yield from _one(world, folder, Store(nothing), 2)


def _in_the_middle(world: World, act: Callable[[], None]) -> Wrong:
    """Act between the first part and the second."""
    parts = itertools.count(1)

    def watch(call: Call) -> None:
        if call.kind == "write" and call.name.startswith("part") and next(parts) == 2:
            world.faults += 1
            act()

    return watch


# -- what is found by the next try ---------------------------------------------------------------------------------------


def damaged(damage: Callable[[Left], None]) -> Attack:
    """A report that something happens to before the next try, which is stopped half-way, and again before the last."""

    def tries(world: World, folder: Path, draw: random.Random) -> Iterator[Losses]:
        halves = (len(world.ids) // 3, len(world.ids) // 3, None)
        for number, stop_after in enumerate(halves, start=1):
            if number > 1:
                world.faults += 1
                damage(Left(folder, OWNER, world.ids, draw))
            tried = play(world, folder, number, stop_after=stop_after)
            found = lost_by(world, tried)
            # Only what nobody has touched since must be whole.
            yield found + (lost_in_report(world, tried, folder) if number == 1 else Counter())

    return tries


# -- two at once ---------------------------------------------------------------------------------------------------------


def both_at_once(
    world: World, folder: Path, _: random.Random, *, owners: tuple[str, str], numbers: tuple[int, int]
) -> Iterator[Losses]:
    """Two runs side by side, at the same messages and in the same folder."""
    tried: list[Any] = [None, None]
    world.faults += 1

    def run(place: int) -> None:
        tried[place] = play(world, folder, numbers[place], owner=owners[place], rate=1_000)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, owner in zip(tried, owners, strict=True):
        found = lost_by(world, one)
        if owners[0] != owners[1]:
            found += lost_in_report(world, one, folder, owner=owner)
        yield found
    last = play(world, folder, 3, owner=owners[0])
    yield lost_by(world, last)


def killed_outright(folder: Path) -> None:
    """Leave what a process leaves that had no moment to write down what is open."""
    for part in folder.glob("part-*"):
        lines = part.read_bytes().splitlines(keepends=True)
        part.write_bytes(b"".join(line for line in lines if json.loads(line)["outcome"] not in OPEN))


def from_the_grave(world: World, folder: Path, _: random.Random) -> Iterator[Losses]:
    """A try through another connection that was given up, and that writes on: it has stopped messages of these ids elsewhere."""
    world.faults += 1
    elsewhere = Identity(world.gateway.name, "https://elsewhere.example", "message_id")
    grave = Journal(folder, owner=OWNER, try_number=1, identity=elsewhere, total=len(world.ids))
    grave.carried_over(world.campaign())
    grave.start("another")
    while not list(folder.glob("run-*")):
        pass
    tried = play(world, folder, 2, stop_after=len(world.ids) // 3)
    yield lost_by(world, tried)
    killed_outright(folder)
    now = datetime.now(UTC)
    grave.add([CancelResult(each, Outcome.CANCELLED, "006", "", 1, now) for each in world.ids])
    grave.close(None, within_s=5)
    tried = play(world, folder, 3)
    yield lost_by(world, tried)


# -- Airflow --------------------------------------------------------------------------------------------------------------


def in_airflow(wrong: Callable[[random.Random], Wrong], deferrable: bool) -> Attack:
    """Two tries of a task, of which the first meets what is wrong."""

    def tries(world: World, folder: Path, draw: random.Random) -> Iterator[Losses]:
        for number, store in ((1, Store(wrong(draw))), (2, Store(nothing))):
            found = storage_in_airflow.task(world, folder, store, number, deferrable=deferrable)
            yield found + _held_up(world, store)

    return tries


# -- Airflow's task state store ------------------------------------------------------------------------------------------


def _noted(world: World, wrong: Callable[[str], bool], kind: str) -> bool:
    fails = wrong(kind)
    world.faults += fails
    return fails


def state_store(fails: Callable[[random.Random], Callable[[str], bool]]) -> Attack:
    """A task state store that refuses in two tries, of which the first is stopped half-way, and is well again in the third."""

    def tries(world: World, _: Path, draw: random.Random) -> Iterator[Losses]:
        store = MemoryStore()
        for number, stop_after, wrong in (
            (1, len(world.ids) // 2, fails(draw)),
            (2, len(world.ids) // 4, fails(draw)),
            (3, None, lambda _: False),
        ):
            store.fails = partial(_noted, world, wrong)
            checkpoint = Checkpoint(store, host=world.url)
            tried = play(world, None, number, stop_after=stop_after, checkpoint=checkpoint)
            yield lost_by(world, tried)

    return tries


WRITES = ("write", "mkdir")
READS = ("list", "read")
ATTACKS: dict[str, list[Attack]] = {
    "a report's store fails to be written": [
        writing(up_to_call(3, Fault.REFUSED, "write")),
        writing(from_call(4, Fault.REFUSED, "write")),
        writing(always(Fault.REFUSED, "write")),
        writing(always(Fault.REFUSED, "mkdir")),
        writing(always(Fault.REFUSED, "write", name="run")),
        writing(always(Fault.REFUSED, "write", name="part")),
        writing(always(Fault.REFUSED, "write", name="summary")),
        writing(always(Fault.ENDED, "write", name="part")),
        writing(by_lot(Fault.REFUSED)),
        writing(by_lot(Fault.UNACKNOWLEDGED, kinds=("write",))),
        writing(by_lot(Fault.TORN, kinds=("write",))),
        writing(by_lot(Fault.REFUSED, Fault.UNACKNOWLEDGED, Fault.TORN, Fault.ENDED, Fault.SLOW)),
    ],
    "a report's store is slow, or never answers": [
        writing(always(Fault.SLOW, "write")),
        writing(always(Fault.HANGS, "mkdir")),
        writing(always(Fault.HANGS, "write", name="run")),
        writing(always(Fault.HANGS, "write", name="summary")),
        writing(from_call(4, Fault.HANGS, "write")),
        reading(always(Fault.HANGS, "list")),
        reading(from_call(3, Fault.HANGS, "read")),
    ],
    "a report can't be read by the try that resumes": [
        reading(always(Fault.REFUSED, "list")),
        reading(always(Fault.REFUSED, "read")),
        reading(always(Fault.REFUSED, "read", name="run")),
        reading(from_call(3, Fault.REFUSED, "read")),
        reading(by_lot(Fault.REFUSED, Fault.ENDED, Fault.SLOW, kinds=READS)),
        reading(always(Fault.STALE, "list")),
    ],
    "a disk is full or read-only, a folder is removed, emptied, or a file": [
        full_disk,
        no_writing,
        no_folder,
        removed,
        emptied,
    ],
    "a report is mangled between two tries": [damaged(each) for each in MANGLED.values()],
    "lies in a report, where nobody may believe them": [damaged(each) for each in LIES.values()],
    "two runs at once in one folder, also as the same task": [
        partial(both_at_once, owners=(OWNER, "0badcafe"), numbers=(1, 1)),
        partial(both_at_once, owners=(OWNER, OWNER), numbers=(1, 2)),
        partial(both_at_once, owners=(OWNER, OWNER), numbers=(1, 1)),
        from_the_grave,
    ],
    "Airflow's task state store refuses": [
        state_store(lambda _: lambda kind: kind == "get"),
        state_store(lambda _: lambda kind: kind == "set"),
        state_store(lambda _: lambda _kind: True),
        state_store(lambda draw: lambda _: draw.random() < SHARE),
    ],
}
BELOW_AIRFLOW: list[Callable[[random.Random], Wrong]] = [
    always(Fault.REFUSED, "write"),
    always(Fault.REFUSED, "write", name="part"),
    always(Fault.REFUSED, "write", name="input"),
    always(Fault.HANGS, "write", name="input"),
    always(Fault.HANGS, "write", name="begun"),
    always(Fault.HANGS, "read", name="begun"),
    always(Fault.HANGS, "read", name="input"),
    always(Fault.HANGS, "write", name="part"),
    up_to_call(2, Fault.REFUSED, *READS),
    always(Fault.REFUSED, "read", name="input"),
    by_lot(Fault.REFUSED),
    by_lot(Fault.REFUSED, Fault.UNACKNOWLEDGED, Fault.TORN, Fault.SLOW),
]

for place, deferrable in (("on the worker", False), ("in the triggerer", True)):
    ATTACKS[f"the operator and its object storage {place}"] = [
        in_airflow(each, deferrable) for each in BELOW_AIRFLOW
    ]
