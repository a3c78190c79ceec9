"""Measures what the package promises of its speed, and prints one table. Exit status 1: a bar is missed.

Servers and clients are processes of their own on loopback, each on a core of its own. Nothing is written but to folders that
are removed again. Give it a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Sequence

from benchmarks import airflow_tasks, faults, imports, killed, machine, memory, pace, scaling, schedule, speed
from benchmarks.harness import Row, say

MEASURES: dict[str, Callable[[], list[Row]]] = {
    "engine": speed.engine,
    "library": speed.library,
    "uvloop": speed.uvloop,
    "airflow": airflow_tasks.tasks,
    "latency": speed.latency,
    "rates": pace.rates,
    "memory": memory.manifest,
    "deadlines": schedule.deadlines,
    "killed": killed.killed,
    "faults": faults.faults,
    "imports": imports.imports,
    "executors": scaling.executors,
    "workers": scaling.workers,
    "shards": scaling.shards,
}
NOT_COMPARED = (
    "Not compared: real gateways and real networks (loopback only, without TLS); other gateways and formats than "
    "Clickatell's REST API in JSON, but for the row of faults; Airflow's other executors. The `clickatell` library opens a "
    "connection for each message, and neither it nor the other peers keep a pace, check whose answer came, ask again, or "
    "write down what became of a message."
)
HEADINGS = ("what", "bar", "measured", "verdict")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say whether every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=MEASURES, help="this row only; may be given again")
    parser.add_argument(
        "--markdown", action="store_true", help="print the table as docs/performance.md has it"
    )
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    began = time.monotonic()
    for name in given.only or MEASURES:
        say(f"== {name}")
        started = time.monotonic()
        rows += _rows_of(name)
        say(f"   {time.monotonic() - started:.0f} s")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    about = [
        *machine.described(),
        f"Measured in {time.monotonic() - began:.0f} s; load of the machine at the end {load:.1f}",
    ]
    print(as_markdown(rows, about) if given.markdown else as_text(rows, about))
    return int(any(row.verdict == "MISSED" for row in rows))


def _rows_of(name: str) -> list[Row]:
    try:
        return MEASURES[name]()
    except Exception as error:  # one row that breaks must not lose the others, which took minutes
        traceback.print_exc()
        return [Row(name, "to be measured", f"it broke down: {type(error).__name__}: {error}", False)]


def as_markdown(rows: Sequence[Row], about: Sequence[str]) -> str:
    """Write the table as a page's."""
    head = [HEADINGS, ("---",) * len(HEADINGS)]
    cells = [*head, *((row.what, row.bar, row.measured, row.verdict) for row in rows)]
    table = ["| " + " | ".join(line) + " |" for line in cells]
    return "\n".join([*(f"{line}.  " for line in about), "", *table, "", textwrap.fill(NOT_COMPARED, 110)])


def as_text(rows: Sequence[Row], about: Sequence[str]) -> str:
    """Write the table for a terminal."""
    widths = (38, 22, 52)
    lines = ["", *about, ""]
    for cells in [
        HEADINGS,
        *((row.what, row.bar, row.measured.replace("*", ""), row.verdict) for row in rows),
    ]:
        columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=False)]
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else "" for column in columns]
            told = "  ".join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))
            lines.append(f"{told}  {cells[3] if number == 0 else ''}".rstrip())
        lines.append("")
    return "\n".join([*lines, textwrap.fill(NOT_COMPARED, 120)])


if __name__ == "__main__":
    sys.exit(main())
