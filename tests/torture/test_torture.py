"""`make torture` says what was lost, and fails when something was, or when nothing was tried."""

from __future__ import annotations

import sys
import types

import pytest

from torture import __main__ as torture
from torture.plan import FULL, SHORT, Plan, Row

HELD = Row("cut every answer", 2_000, "messages", 0, "0 contradictions")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row] | Exception]:
    """What each part comes to, by its name."""
    found: dict[str, list[Row] | Exception] = {"one": [HELD], "two": [HELD]}
    seen: list[Plan] = []

    def of(name: str) -> types.ModuleType:
        def attack(plan: Plan) -> list[Row]:
            seen.append(plan)
            came = found[name]
            if isinstance(came, Exception):
                raise came
            return came

        module = types.ModuleType(f"torture.{name}")
        module.attack = attack  # type: ignore[attr-defined]
        return module

    for name in found:
        monkeypatch.setitem(sys.modules, f"torture.{name}", of(name))
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


def test_a_part_that_breaks_down_fails_but_does_not_lose_the_others(
    parts: dict[str, list[Row] | Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    parts["one"] = RuntimeError("no loopback here")
    assert torture.main(["--markdown"]) == 1
    said = capsys.readouterr().out
    assert "it broke down: RuntimeError: no loopback here" in said
    assert "| cut every answer | 2,000 messages | 0 | 0 contradictions |" in said


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
