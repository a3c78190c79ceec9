"""Attacks the package on loopback, and prints what was tried, how often, and what was lost. Exit status 1: something was.

Seeded: the same seeds draw the same faults. Nothing is written but to folders that are removed again.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from benchmarks import machine
from torture.plan import FULL, SHORT, Plan, Row, say

Part = Callable[[Plan], list[Row]]
PARTS: tuple[str, ...] = (
    # One name a line.
    "faults",
    "outages",
    "refusals",
    "calls",
    "clock",
    "fuzz",
    "in_airflow",
    "soak",
    "storage",
    "planted",
    "planted_airflow",
    "hostile",
)
"""Modules of this folder, each with a function ``attack``, in the order in which they run."""
HEADINGS = ("what was done", "how often", "lost", "what was counted")


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print, and say whether everything held."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="20,000 messages each, three seeds, ten million inputs"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part only; may be given again")
    parser.add_argument(
        "--seed", action="append", type=int, help="in place of the plan's; may be given again"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the table as docs/reliability.md has it"
    )
    given = parser.parse_args(arguments)
    plan = FULL if given.full else SHORT
    if given.seed:
        plan = replace(plan, seeds=tuple(given.seed))
    rows: list[Row] = []
    began = time.monotonic()
    for name in given.only or PARTS:
        say(f"== {name}")
        started = time.monotonic()
        rows += _rows_of(name, plan)
        say(f"   {time.monotonic() - started:.0f} s")
    about = [
        *machine.described(),
        f"{plan.messages:,} messages for every gateway and format; seeds {', '.join(map(str, plan.seeds))}",
        f"Took {time.monotonic() - began:.0f} s",
    ]
    print(as_markdown(rows, about) if given.markdown else as_text(rows, about))
    return int(not rows or not all(row.held for row in rows))


def _rows_of(name: str, plan: Plan) -> list[Row]:
    try:
        return cast("Part", importlib.import_module(f"torture.{name}").attack)(plan)
    except Exception as error:  # one part that breaks must not lose the others, which took minutes
        traceback.print_exc()
        return [Row(name, 0, "things", 0, f"it broke down: {type(error).__name__}: {error}")]


def _cells(row: Row) -> tuple[str, str, str, str]:
    lost = str(row.lost) if row.tried else "NOT TRIED"
    return row.what, f"{row.tried:,} {row.unit}", lost, row.found


def as_markdown(rows: Sequence[Row], about: Sequence[str]) -> str:
    """Write the table as a page's."""
    cells = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, rows)]
    return "\n".join(
        [*(f"{line}.  " for line in about), "", *("| " + " | ".join(line) + " |" for line in cells)]
    )


def as_text(rows: Sequence[Row], about: Sequence[str]) -> str:
    """Write the table for a terminal."""
    widths = (44, 18, 9, 56)
    lines = ["", *about, ""]
    for cells in [HEADINGS, *map(_cells, rows)]:
        columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else "" for column in columns]
            lines.append(
                "  ".join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True)).rstrip()
            )
        lines.append("")
    total = sum(row.lost for row in rows)
    broken = sum(row.tried == 0 for row in rows)
    lines.append(f"Lost: {total or 'nothing'}." + (f" Not tried: {broken} rows." if broken else ""))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
