"""Runs the checks of this checkout, each announced in a line and again with its time, and fails if one fails.

Usage: ``run_checks.py lint|unit|test``.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import debian_packages

ROOT = Path(__file__).resolve().parent.parent
Check = Callable[[], bool]


def quietly(*command: str) -> Check:
    """Make a check of a command whose output is shown only when it fails."""

    def check() -> bool:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            print(done.stdout, end="", flush=True)
        return done.returncode == 0

    return check


def loudly(*command: str) -> Check:
    """Make a check of a command that shows its own progress: line by line, and what pytest sums up in one piece."""

    def check() -> bool:
        held: list[str] = []
        with subprocess.Popen(
            [sys.executable, "-u", "-m", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if held or (line.startswith("====") and "test session starts" not in line):
                    held.append(line)
                else:
                    print(line, end="", flush=True)
        print("".join(held), end="", flush=True)
        return process.returncode == 0

    return check


Lane = dict[str, Check]
"""Checks that run one after the other, by name."""

LINT: Lane = {
    "ruff check": quietly("ruff", "check", "."),
    "ruff format --check": quietly("ruff", "format", "--check", "."),
    "mypy --strict": quietly("mypy"),
}
WAITING_FOR_OTHERS = ("tests/browser", "tests/compatibility", "tests/system", "tests/torture")
"""Tests that mostly wait: for Airflows, databases, browsers."""
VERBS: dict[str, list[list[Lane]]] = {
    "lint": [[LINT]],
    "unit": [[{"pytest tests/unit": loudly("pytest", "tests/unit")}]],
    "test": [
        [{**LINT, "Debian packages for tests": debian_packages.provide}],
        [
            {"pytest with whole Airflows": loudly("pytest", *WAITING_FOR_OTHERS)},
            {
                "pytest": loudly("pytest", *(f"--ignore={path}" for path in WAITING_FOR_OTHERS)),
                "pytest in the oldest Airflow": loudly("compatibility", "--oldest"),
            },
        ],
    ],
}
"""What each verb runs: stages one after the other, the lanes of a stage side by side."""


interrupted = threading.Event()


def run_lane(lane: Lane) -> list[str]:
    """Run every check, also after one has failed.

    :return: the names of those that failed.
    """
    failed = []
    for name, check in lane.items():
        if interrupted.is_set():
            break
        print(f"== {name}", flush=True)
        began = time.monotonic()
        passed = check()
        print(f"== {name}: {'ok' if passed else 'FAILED'} after {time.monotonic() - began:.1f} s", flush=True)
        if not passed:
            failed.append(name)
    return failed


def main() -> int:
    """Run every check of the verb, also after one has failed."""
    failed: list[str] = []
    started = time.monotonic()
    for lanes in VERBS[sys.argv[1]]:
        with ThreadPoolExecutor(len(lanes)) as side_by_side:
            try:
                failed += [name for names in side_by_side.map(run_lane, lanes) for name in names]
            except KeyboardInterrupt:
                interrupted.set()  # what runs has heard of it too; nothing else begins
                raise
    total = f"{time.monotonic() - started:.0f} s"
    print(f"FAILED: {', '.join(failed)} ({total})" if failed else f"All checks passed ({total})")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
