"""Runs the tests in every supported Airflow and Python that can be had here, and prints one table. Exit status 1: something failed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from compatibility import results
from compatibility.releases import COMBINATIONS, RELEASES, ROOT
from compatibility.results import Result

NO_INTERPRETER = "could not be had: no Python {python} here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, and say whether all of it passed."""
    parser = argparse.ArgumentParser(prog="python -m compatibility", description=__doc__)
    parser.add_argument("--airflow", action="append", choices=[release.airflow for release in RELEASES])
    parser.add_argument("--python", action="append", choices=sorted({python for _, python in COMBINATIONS}))
    parser.add_argument("--markdown", action="store_true", help="print it as docs/compatibility.md has it")
    parser.add_argument("--table", action="store_true", help="only print what came of the last runs")
    parser.add_argument(
        "--oldest",
        action="store_true",
        help="only the oldest Airflow, and show why when it fails: a part of `make test`",
    )
    given = parser.parse_args(arguments)
    if given.oldest:
        return oldest()
    chosen = [
        (airflow, python)
        for airflow, python in COMBINATIONS
        if airflow in (given.airflow or [airflow]) and python in (given.python or [python])
    ]
    found = [results.result_of(*each) if given.table else run(*each) for each in chosen]
    print(results.as_markdown(found) if given.markdown else results.as_text(found))
    # What could not be had here is said in the table; it is no fault of the package.
    return int(
        not any(result.passed for result in found)
        or not all(each.passed or each.had_no_interpreter for each in found)
    )


def oldest() -> int:
    """Run the tests in the oldest Airflow. Without a Python for it, only ``CI`` makes that a failure."""
    (release,) = (each for each in RELEASES if each.lowest)
    result = run(release.airflow, release.pythons[0])
    if result.passed:
        return 0
    print(*results.log_of(*result.cells[:2]).read_text("utf-8").splitlines()[-60:], sep="\n")
    return int(not result.had_no_interpreter or bool(os.environ.get("CI")))


def run(airflow: str, python: str) -> Result:
    """Run the tests in one environment; what they print goes to a file beside their report."""
    results.REPORTS.mkdir(parents=True, exist_ok=True)
    report = results.report_of(airflow, python)
    report.unlink(missing_ok=True)
    say(f"== Airflow {airflow}, Python {python}")
    started = time.monotonic()
    command = [sys.executable, "-m", "nox", "--session", f"airflow({airflow}, {python})"]
    log = results.log_of(airflow, python)
    with log.open("w", encoding="utf-8") as output:
        ended = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT).returncode
    # nox skips a session for this one reason, and calls it a success.
    no_interpreter = ended == 0 and not report.exists()
    missing = NO_INTERPRETER.format(python=python) if no_interpreter else "COULD NOT BE SET UP"
    result = replace(results.result_of(airflow, python, missing), had_no_interpreter=no_interpreter)
    say(
        f"   {' · '.join(filter(None, result.cells[2:]))} ({time.monotonic() - started:.0f} s; {log.relative_to(ROOT)})"
    )
    return result


def say(text: str) -> None:
    """Tell how far it is, beside the table."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
