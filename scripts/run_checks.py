"""Runs the checks of this checkout one after the other, each announced in a line with its time, and fails if one fails.

Usage: ``run_checks.py lint|unit|test``.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
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
    """Make a check of a command that shows its own progress."""
    return lambda: subprocess.run([sys.executable, "-m", *command], cwd=ROOT).returncode == 0


LINT: dict[str, Check] = {
    "ruff check": quietly("ruff", "check", "."),
    "ruff format --check": quietly("ruff", "format", "--check", "."),
    "mypy --strict": quietly("mypy"),
}
VERBS: dict[str, dict[str, Check]] = {
    "lint": LINT,
    "unit": {"pytest tests/unit": loudly("pytest", "tests/unit")},
    "test": {
        **LINT,
        "Debian packages for tests": debian_packages.provide,
        "pytest": loudly("pytest"),
        "pytest in the oldest Airflow": loudly("compatibility", "--oldest"),
    },
}


def main() -> int:
    """Run every check of the verb, also after one has failed."""
    failed = []
    started = time.monotonic()
    for name, check in VERBS[sys.argv[1]].items():
        print(f"== {name}", flush=True)
        began = time.monotonic()
        passed = check()
        print(f"   {'ok' if passed else 'FAILED'} after {time.monotonic() - began:.1f} s", flush=True)
        if not passed:
            failed.append(name)
    total = f"{time.monotonic() - started:.0f} s"
    print(f"FAILED: {', '.join(failed)} ({total})" if failed else f"All checks passed ({total})")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
