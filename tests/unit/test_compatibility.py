"""The lowest versions that are allowed are those that are tested, and no answer is never taken for a good one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from compatibility import audit, results
from compatibility.releases import COMBINATIONS, LOWEST, RELEASES, direct_requirements, prepare


def pins(path: Path) -> dict[str, str]:
    return dict(line.split("==") for line in audit.pins_of(path))


def lowest_of(requirement: str) -> tuple[str, str]:
    found = Requirement(requirement)
    (bound,) = (each.version for each in found.specifier if each.operator == ">=")
    return found.name, bound


def test_the_lowest_releases_that_are_allowed_are_the_ones_that_are_tested() -> None:
    tested = pins(LOWEST)
    requirements = [*direct_requirements(), prepare.project()["project"]["dependencies"][0]]
    for name, bound in map(lowest_of, requirements):
        assert Version(tested[name]) == Version(bound), name


def test_the_oldest_airflow_that_is_tried_is_the_oldest_that_is_allowed() -> None:
    name, bound = lowest_of(prepare.project()["project"]["dependencies"][0])
    assert name == "apache-airflow"
    assert bound == min((release.airflow for release in RELEASES), key=Version)
    assert [release.airflow for release in RELEASES if release.lowest] == [bound]


# -- the table ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "REPORTS", tmp_path)
    return results.report_of("3.0.6", "3.12")


def cases(*of_each: tuple[str, str]) -> str:
    inner = "".join(
        f'<testcase classname="{name}" name="x">{outcome}</testcase>' for name, outcome in of_each
    )
    return f"<testsuites><testsuite>{inner}</testsuite></testsuites>"


GOOD = [("tests.unit.test_a", ""), *((f"tests.compatibility.test_{name}", "") for name in results.CHECKS)]


def test_an_environment_in_which_everything_passed_has_a_good_row(report: Path) -> None:
    report.write_text(cases(*GOOD, ("tests.unit.test_a", "<skipped/>")))
    result = results.result_of("3.0.6", "3.12")
    assert result.passed
    assert result.cells == ("3.0.6", "3.12", "1 passed, 1 skipped", "yes", "yes", "yes", "yes")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (("tests.unit.test_a", "<failure/>"), "1 FAILED, 1 passed"),
        (("tests.compatibility.test_form", "<error/>"), "FAILED"),
    ],
)
def test_a_failure_is_seen_in_its_row(report: Path, case: tuple[str, str], said: str) -> None:
    report.write_text(cases(*GOOD, case))
    result = results.result_of("3.0.6", "3.12")
    assert not result.passed
    assert said in result.cells


def test_a_check_that_did_not_run_is_no_success(report: Path) -> None:
    report.write_text(cases(*GOOD[:-1]))
    result = results.result_of("3.0.6", "3.12")
    assert not result.passed
    assert result.cells[-1] == "NOT RUN"


@pytest.mark.parametrize("skipped", range(len(GOOD)))
def test_a_check_that_was_only_skipped_is_no_success(report: Path, skipped: int) -> None:
    rows = [
        (name, "<skipped/>" if number == skipped else outcome) for number, (name, outcome) in enumerate(GOOD)
    ]
    report.write_text(cases(*rows))
    assert not results.result_of("3.0.6", "3.12").passed


def test_an_environment_without_a_report_is_no_success(report: Path) -> None:
    result = results.result_of("3.0.6", "3.12", "could not be had")
    assert not result.passed
    assert result.cells[2] == "could not be had"


def test_the_table_has_a_row_for_every_combination_and_can_be_pasted_into_the_docs(report: Path) -> None:
    table = results.as_markdown(results.all_results()).splitlines()
    assert len(table) == 2 + len(COMBINATIONS)
    assert {line.count("|") for line in table} == {len(results.HEADINGS) + 1}


# -- the audit ----------------------------------------------------------------------------------------------------------


def answer_of(monkeypatch: pytest.MonkeyPatch, *dependencies: object) -> None:
    printed = json.dumps({"dependencies": dependencies}) if dependencies else "no route to host"
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, printed, "no route to host")
    )


CLEAN = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found"}
FLAWED = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}


@pytest.mark.parametrize(
    ("dependencies", "status", "said"),
    [
        pytest.param([CLEAN], 0, "nothing known about 1 packages", id="clean"),
        pytest.param([CLEAN, FLAWED], 1, "c 1: PYSEC-1, fixed in 2", id="flawed"),
        pytest.param([CLEAN, UNKNOWN], 2, "NOT AUDITED: b", id="one is not known there"),
        pytest.param([UNKNOWN], 2, "NOT AUDITED: nobody could be asked", id="none is known there"),
        pytest.param([], 2, "NOT AUDITED: nobody could be asked", id="no network"),
    ],
)
def test_no_answer_is_no_clean_answer(
    dependencies: list[object],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer_of(monkeypatch, *dependencies)
    assert audit.check("some packages", ["a==1"]) == status
    assert said in capsys.readouterr().out
