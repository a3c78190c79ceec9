"""Plants secrets, session ids, numbers and texts, goes every way with them at debug level, and searches all that was written.

Here the ways that need no running Airflow; :mod:`torture.planted_airflow` has the others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from torture.needles import Hit, Search
from torture.plan import FULL, Plan, Row, say
from torture.planted_values import FOUND, NEEDLES, session_needle

PROCESSES = 3
"""They wait more than they work."""
WITHIN_S = 1800.0
MODULE = "torture.planted_paths"


def attack(plan: Plan) -> list[Row]:
    """Go the ways that need no running Airflow, in the full plan all of them, and search what was seen, logged and written."""
    every = max(1, FULL.messages // plan.messages // 2)
    with tempfile.TemporaryDirectory(prefix="smscancel-planted-") as folder:
        return [attack_paths(Path(folder) / "paths", every=every)]


def attack_paths(folder: Path, *, every: int = 1, processes: int = PROCESSES) -> Row:
    """Go the ways that need no running Airflow, in a few processes.

    :param folder: what they write goes here.
    :param every: of the scenarios, try one in so many.
    """
    folders = [folder / str(first) for first in range(processes)]
    started = [_start(each, first * every, processes * every) for first, each in enumerate(folders)]
    try:
        statuses = [process.wait(WITHIN_S) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    if any(statuses):
        raise RuntimeError("\n".join((each / "output").read_text()[-2000:] for each in folders))
    found = [json.loads((each / FOUND).read_text()) for each in folders]
    search = Search(NEEDLES)
    search.add(session_needle(session) for each in found for session in each["sessions"])
    for each in folders:
        (each / FOUND).unlink()
    search.tree(folder)  # the reports, and what went past everything else to a terminal
    ways = sum(each["ways"] for each in found)
    return tell(
        f"go {ways} ways through hooks and commands with what is planted, and search what is seen, logged and written",
        search.places + sum(each["places"] for each in found),
        search.tried + sum(each["tried"] for each in found),
        [str(Hit(*hit)) for each in found for hit in each["hits"]] + [str(hit) for hit in search.hits],
    )


def tell(what: str, places: int, tried: int, hits: list[str]) -> Row:
    """Make a row of what was found, and say where each hit is."""
    for hit in sorted(set(hits)):
        say(f"   LEAK: {hit}")
    return Row(
        what,
        tried,
        "searches",
        len(hits),
        f"{len(hits)} hits; {places:,} places, each searched for every needle",
    )


def _start(folder: Path, first: int, every: int) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "PYTHONASYNCIODEBUG": "1",
    }
    with (folder / "output").open("wb") as output:
        command = [sys.executable, "-m", MODULE, str(folder), str(first), str(every)]
        return subprocess.Popen(
            command,
            env=environment,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
