"""What came of the tests in each environment, read from pytest's reports, as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from compatibility.releases import COMBINATIONS, ROOT

REPORTS = ROOT / ".cache" / "compatibility"
CHECKS = {
    "registration": "registered",
    "form": "form",
    "dag_run": "DAG run",
    "deferrable_run": "deferrable run",
}
"""Modules of `tests/compatibility`, each with its heading."""
ABOUT_THE_CHECKOUT = ("test_docs", "test_house_rules", "test_benchmarks")
"""Tests of things that are the same wherever the package runs."""
SLOW_AND_THE_SAME = (
    "tests/unit/sandbox",
    "tests/unit/campaigns/test_saving_most.py",
    "tests/unit/campaigns/test_saving_most_in_adversity.py",
    "tests/unit/campaigns/test_sources_files.py",
    "tests/unit/cli/test_cli_terminal.py",
    "tests/unit/gateways/test_round_trip.py",
)
"""What says little about a release of Airflow for the time that it takes. `make test` runs it, in the newest one."""
TESTS = (
    "tests/compatibility",
    "tests/gateways",
    "tests/unit",
    *(f"--ignore=tests/unit/{name}.py" for name in ABOUT_THE_CHECKOUT),
    *(f"--ignore={path}" for path in SLOW_AND_THE_SAME),
)
HEADINGS = ("Airflow", "Python", "unit and sandbox tests", *CHECKS.values())


def report_of(airflow: str, python: str) -> Path:
    """Name the report of one environment."""
    return REPORTS / f"{airflow}-{python}.xml"


def log_of(airflow: str, python: str) -> Path:
    """Name the file with what the tests of one environment printed."""
    return report_of(airflow, python).with_suffix(".log")


@dataclass(frozen=True)
class Result:
    """One row of the table.

    :param cells: by heading.
    :param passed: whether everything did.
    :param had_no_interpreter: whether it could not be tried here.
    """

    cells: tuple[str, ...]
    passed: bool
    had_no_interpreter: bool = False


def result_of(airflow: str, python: str, missing: str = "not run") -> Result:
    """Read what came of one combination.

    :param missing: what to say where there is no report.
    """
    report = report_of(airflow, python)
    if not report.exists():
        return Result((airflow, python, missing, *("" for _ in CHECKS)), passed=False)
    counts: dict[str, Counter[str]] = {heading: Counter() for heading in HEADINGS[2:]}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest's own report
        outcome = next(
            (child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed"
        )
        counts[_heading_of(case.get("classname", ""))][outcome] += 1
    first, *others = counts.values()
    # What was only skipped has shown nothing.
    passed = all(found["passed"] > 0 and not found["failure"] + found["error"] for found in counts.values())
    return Result((airflow, python, _counted(first), *map(_in_a_word, others)), passed)


def _heading_of(classname: str) -> str:
    folder, _, module = classname.rpartition(".test_")
    return CHECKS[module] if folder.endswith("tests.compatibility") else HEADINGS[2]


def _counted(found: Counter[str]) -> str:
    said = f"{found['passed']:,} passed"
    if bad := found["failure"] + found["error"]:
        said = f"{bad:,} FAILED, {said}"
    return f"{said}, {found['skipped']:,} skipped" if found["skipped"] else said


def _in_a_word(found: Counter[str]) -> str:
    if found["failure"] + found["error"]:
        return "FAILED"
    if not found:
        return "NOT RUN"
    return "yes" if found["passed"] else "skipped"


def as_text(results: list[Result]) -> str:
    """Draw the table for a terminal."""
    rows = [HEADINGS, *(result.cells for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def as_markdown(results: list[Result]) -> str:
    """Draw the table as `docs/compatibility.md` has it."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(result.cells for result in results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def all_results() -> list[Result]:
    """Read the reports of every combination."""
    return [result_of(airflow, python) for airflow, python in COMBINATIONS]
