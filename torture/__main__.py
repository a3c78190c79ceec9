"""Attacks the package on loopback, and prints what was tried, how often, and what was lost. Exit status 1: something was.

Seeded: the same seeds draw the same faults. Nothing is written but to folders that are removed again.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from benchmarks import machine
from torture.part import run_part
from torture.plan import FULL, SHORT, Row

PARTS: tuple[str, ...] = (
    # One name a line.
    "faults",
    "in_airflow",
    "planted_airflow",
    "fuzz",
    "hostile",
    "refusals",
    "calls",
    "storage",
    "soak",
    "planted",
    "clock",
    "outages",
)
"""Modules of this folder, each with a function ``attack``, in the order in which they begin: the longest first."""
AT_A_TIME = 2
"""So many parts run side by side: most of them wait for most of the time."""
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
    began = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        came = pool.map(lambda name: run_part(f"torture.{name}", plan), given.only or PARTS)
        rows = [row for each in came for row in each]
    about = [
        *machine.described(),
        f"{plan.messages:,} messages for every gateway and format; seeds {', '.join(map(str, plan.seeds))}",
        f"Took {time.monotonic() - began:.0f} s, two parts at a time",
    ]
    print(as_markdown(rows, about) if given.markdown else as_text(rows, about))
    return int(not rows or not all(row.held for row in rows))


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
