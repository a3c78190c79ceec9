"""`make torture` says what was lost, and fails when something was, or when nothing was tried."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torture import __main__ as torture
from torture.part import run_part
from torture.plan import FULL, SHORT, Plan, Row

HELD = Row("cut every answer", 2_000, "messages", 0, "0 contradictions")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """What each part comes to, by its name; under "plans", what each was told."""
    found: dict[str, list[Row]] = {"one": [HELD], "two": [HELD]}
    seen: list[Plan] = []

    def run_part(module: str, plan: Plan) -> list[Row]:
        seen.append(plan)
        return found[module.removeprefix("torture.")]

    monkeypatch.setattr(torture, "run_part", run_part)
    monkeypatch.setattr(torture, "PARTS", tuple(found))
    found["plans"] = seen  # type: ignore[assignment]
    return found


def test_it_succeeds_when_every_row_held(
    parts: dict[str, list[Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert torture.main([]) == 0
    said = capsys.readouterr().out
    assert said.count("cut every answer") == 2
    assert "2,000 messages" in said
    assert "Lost: nothing." in said


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([Row("cut every answer", 2_000, "messages", 3, "3 contradictions")], "Lost: 3."),
        ([Row("cut every answer", 0, "messages", 0, "")], "NOT TRIED"),
    ],
)
def test_it_fails_when_something_was_lost_or_nothing_was_tried(
    parts: dict[str, list[Row]], capsys: pytest.CaptureFixture[str], rows: list[Row], word: str
) -> None:
    parts["two"] = rows
    assert torture.main([]) == 1
    assert word in capsys.readouterr().out


PLAN = Plan(messages=3, seeds=(1, 2), inputs=4)


def test_a_part_runs_in_a_process_of_its_own_and_tells_what_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_part.py").write_text(
        "import os, sys\n"
        "from torture.plan import Row\n"
        "def attack(plan):\n"
        "    print('not a row')\n"
        "    print('half-way', file=sys.stderr)\n"
        "    return [Row('run apart', plan.messages, 'messages', plan.inputs, f'{plan.seeds} {os.getpid()}')]\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    (row,) = run_part("own_part", PLAN)
    assert (row.what, row.tried, row.unit, row.lost) == ("run apart", 3, "messages", 4)
    assert row.found.startswith("(1, 2) ")
    assert row.found != f"(1, 2) {os.getpid()}"
    assert "own_part: half-way" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "said"),
    [("raise RuntimeError('no loopback here')", "RuntimeError: no loopback here"), ("os._exit(0)", "")],
)
def test_a_part_that_breaks_down_fails_but_does_not_lose_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, said: str
) -> None:
    (tmp_path / "broken_part.py").write_text(f"import os\ndef attack(plan):\n    {ends}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    (row,) = run_part("broken_part", PLAN)
    assert not row.held
    assert row.found == f"it broke down: {said}"


def test_markdown_has_a_line_for_each_row(
    parts: dict[str, list[Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert torture.main(["--markdown"]) == 0
    assert "| cut every answer | 2,000 messages | 0 | 0 contradictions |" in capsys.readouterr().out


@pytest.mark.usefixtures("parts")
def test_no_rows_at_all_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torture, "PARTS", ())
    assert torture.main([]) == 1


def test_the_command_line_picks_the_plan(parts: dict[str, list[Plan]]) -> None:
    torture.main(["--only", "one"])
    torture.main(["--only", "one", "--full"])
    torture.main(["--only", "one", "--seed", "5", "--seed", "6"])
    plans = parts["plans"]
    assert plans[:2] == [SHORT, FULL]
    assert plans[2].seeds == (5, 6)
