"""Runs one part in a process of its own: it may change what it likes there, and two of them share the machine's cores.

``python -m torture.part MODULE PLAN FILE`` writes the rows to the file as JSON, and says on standard error what goes on.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import cast

from torture.plan import Plan, Row, say

ROOT = Path(__file__).resolve().parent.parent


def run_part(module: str, plan: Plan) -> list[Row]:
    """Run a part to its end.

    :param module: it has a function ``attack``, which takes the plan and gives rows.
    :return: its rows; one that tried nothing, if the process broke down.
    """
    name = module.rpartition(".")[2]
    say(f"== {name}")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "torture.part", module, json.dumps(asdict(plan)), str(rows)]
        # Output is what libraries log.
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            assert process.stderr is not None
            last = ""
            for line in process.stderr:
                last = line.strip() or last
                say(f"{name}: {line.rstrip()}")
        say(f"== {name}: {time.monotonic() - started:.0f} s")
        if process.returncode == 0 and rows.exists():
            return [Row(**row) for row in json.loads(rows.read_text(encoding="utf-8"))]
    return [Row(name, 0, "things", 0, f"it broke down: {last}")]


def main() -> None:
    """Do what the command line says. What the part raises is told as Python tells it, on standard error."""
    module, plan, rows = sys.argv[1:]
    given = json.loads(plan)
    attack = cast("Callable[[Plan], list[Row]]", importlib.import_module(module).attack)
    found = attack(Plan(given["messages"], tuple(given["seeds"]), given["inputs"]))
    Path(rows).write_text(json.dumps([asdict(row) for row in found]), encoding="utf-8")
    # At once: what a part has left behind on purpose, a thread that a store never answers, say, is not waited for.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
