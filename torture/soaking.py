"""A long-lived process that does the same again and again, while ``torture.soak`` looks at it from outside.

``python -m torture.soaking hook|trigger RUNS`` does one round of so many runs for each line on its input, and then prints how many
objects it has.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

SOUND, REFUSED, UNREACHABLE = "soaked", "soaked_refused", "soaked_unreachable"
"""Connections, from the environment: one that works, one whose account is refused, one at which nobody listens."""
MANY, FEW = 100, 10
"""How many messages: more than are settled before a run is left, and few."""
COUNTS = 5
COUNT_EVERY_S = 0.3


def new_ids(count: int) -> list[str]:
    """Make ids that the gateway does not know: it has nothing to keep of them."""
    return [secrets.token_hex(16) for _ in range(count)]


# -- a hook in a process that lives long ------------------------------------------------------------------------------


def stream(count: int, conn_id: str = SOUND) -> Any:
    """Begin to stop messages."""
    from airflow_provider_smscancel.hooks.clickatell import ClickatellHook

    return ClickatellHook(conn_id).cancel_messages(new_ids(count))


def left_after_the_first() -> None:
    """Read one result, and drop the rest."""
    next(stream(MANY))


def dropped_at_once() -> None:
    """Read nothing."""
    stream(MANY)


def left_by_a_break() -> None:
    """Leave a loop early, as people do."""
    with stream(MANY) as results:
        for _ in results:
            break


def left_by_an_error() -> None:
    """Leave a loop by an error of one's own."""
    with contextlib.suppress(LookupError):
        for _ in stream(MANY):
            raise LookupError


def read_to_its_end() -> None:
    """Leave nothing."""
    for _ in stream(FEW):
        pass


def refused() -> None:
    """Meet a gateway that refuses the account."""
    from airflow_provider_smscancel.exceptions import SmsGatewayAuthError

    with contextlib.suppress(SmsGatewayAuthError):
        list(stream(FEW, REFUSED))


def dropped_while_nobody_answers() -> None:
    """Give up on a gateway that is not there."""
    stream(FEW, UNREACHABLE)


USES: tuple[Callable[[], None], ...] = (
    left_after_the_first,
    dropped_at_once,
    left_by_a_break,
    left_by_an_error,
    read_to_its_end,
    refused,
    dropped_while_nobody_answers,
)


def use_the_hook(runs: int) -> None:
    """Open so many iterators, and leave most of them early."""
    for number in range(runs):
        USES[number % len(USES)]()


# -- triggers in one loop -----------------------------------------------------------------------------------------------


def trigger(count: int, conn_id: str = SOUND, *, report: str | None, broken: bool = False) -> Any:
    """Make a trigger as the triggerer does of what the operator has handed over."""
    from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger

    head = {"messages": count + broken, "rejected": 0, "duplicates": 0, "incomplete": None}
    lines = [json.dumps(head), *(json.dumps([each, None]) for each in new_ids(count))]
    return CancelMessagesTrigger(
        sms_conn_id=conn_id,
        id_type="message_id",
        campaign=None,
        report_path=report,
        list_name=None,
        messages="\n".join(lines),
        owner=None if report is None else secrets.token_hex(4),
        try_number=1,
        started_at=datetime.now(UTC).isoformat(),
        requests_per_second=2_000,
        max_concurrency=16,
        give_up_after_s=0.5,
        ends_at=None,
    )


async def to_its_end(running: Any) -> None:
    """Wait for the event."""
    async for _ in running.run():
        pass


async def ended_early(running: Any, *, after_s: float, for_good: bool) -> None:
    """End it as the triggerer does when it ends itself, or when somebody has ended the task."""
    task = asyncio.create_task(to_its_end(running))
    await asyncio.sleep(after_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    if for_good:
        await running.on_kill()


async def run_triggers(runs: int, folder: str) -> None:
    """Run so many triggers, a few at a time."""
    cases: tuple[Callable[[], Any], ...] = (
        lambda: to_its_end(trigger(FEW, report=folder)),
        lambda: to_its_end(trigger(FEW, report=None)),
        lambda: to_its_end(trigger(FEW, REFUSED, report=folder)),
        lambda: to_its_end(trigger(FEW, UNREACHABLE, report=folder)),
        lambda: to_its_end(trigger(FEW, report=folder, broken=True)),
        lambda: ended_early(trigger(MANY, report=folder), after_s=0.1, for_good=False),
        lambda: ended_early(trigger(MANY, report=folder), after_s=0.1, for_good=True),
        lambda: ended_early(trigger(MANY, report=folder), after_s=0.0, for_good=False),
        lambda: ended_early(trigger(MANY, report=folder), after_s=0.0, for_good=True),
        lambda: ended_early(trigger(FEW, UNREACHABLE, report=None), after_s=0.1, for_good=True),
    )
    for begun in range(0, runs, len(cases)):
        await asyncio.gather(*(case() for case in cases[: runs - begun]))


async def serve_triggers(runs: int, answers: TextIO) -> None:
    """Do a round for each line of the input, all in one loop."""
    while await asyncio.to_thread(sys.stdin.readline):
        with tempfile.TemporaryDirectory() as folder:
            await run_triggers(runs, folder)
        counts = []
        for _ in range(COUNTS):
            await asyncio.sleep(COUNT_EVERY_S)  # the loop has connections to close, which hold some still
            counts.append(objects())
        # What leaks is there at each.
        tell(min(counts), answers)


def objects() -> int:
    """Count what the garbage collector knows."""
    gc.collect()
    return len(gc.get_objects())


def tell(count: int, answers: TextIO) -> None:
    """Say that a round is over, and how many objects there are."""
    print(count, file=answers, flush=True)


def main() -> None:
    """Read the command line, and do rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("hook", "trigger"))
    parser.add_argument("runs", type=int)
    given = parser.parse_args()
    # What is left early says so, every time, and Airflow says it on the standard output.
    answers, sys.stdout = sys.stdout, Path(os.devnull).open("w")  # noqa: SIM115 - to the end
    if given.what == "trigger":
        asyncio.run(serve_triggers(given.runs, answers))
        return
    while sys.stdin.readline():
        use_the_hook(given.runs)
        tell(objects(), answers)


if __name__ == "__main__":
    main()
