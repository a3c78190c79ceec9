"""What the package adds to every start of Airflow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from statistics import median

from benchmarks.harness import ROOT, Row, environment, say

PACKAGE = "airflow_provider_smscancel"
ENTRY = f"from {PACKAGE} import get_provider_info; get_provider_info()"
MOST_MS = 20.0
RUNS = 7
HEAVY = ("requests", "aiohttp")


def imports(scale: float = 1.0) -> list[Row]:
    """Import Airflow, which loads the entry points of all providers, and add up what this package's takes."""
    runs = max(1, int(RUNS * scale))
    say(f"   {runs} starts of Airflow with -X importtime")
    took = [_added_ms() for _ in range(runs)]
    heavy = _heavy()
    return [
        Row(
            "import by Airflow at start, on top of Airflow itself (`python -X importtime`)",
            f"≤ {MOST_MS:.0f} ms, neither requests nor aiohttp",
            f"**{median(took):.1f} ms** ({min(took):.1f} to {max(took):.1f} in {runs} starts); "
            f"imports {' and '.join(heavy) or 'neither'}",
            median(took) <= MOST_MS and not heavy,
        )
    ]


def _added_ms() -> float:
    said = _run("-X", "importtime", "-c", f"import airflow; {ENTRY}").stderr
    return package_us(said.splitlines()) / 1000


def package_us(lines: Iterable[str]) -> float:
    """Add up the cumulative times of the package's modules, with all that they were the first to import.

    :param lines: such as ``import time:       123 |        456 |   package.module``, each behind those of what it imported.
    """
    total = 0.0
    within: int | None = None  # how far the line is indented that has counted this one already
    for line in reversed(
        [line for line in lines if line.startswith("import time:") and line.count("|") == 2]
    ):
        _, cumulative, name = line.split("|")
        indented = len(name) - len(name.lstrip())
        if within is not None and indented > within:
            continue
        within = None
        if name.strip().partition(".")[0] == PACKAGE:
            total += float(cumulative)
            within = indented
    return total


def _heavy() -> list[str]:
    program = f"import sys; {ENTRY}; print(*set({HEAVY!r}) & set(sys.modules))"
    return _run("-c", program).stdout.split()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
