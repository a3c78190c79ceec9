"""The result is all that gets to standard output, and it gets there as it is."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_smscancel.cli.screen import Screen, rows_table

ODD = "[bold]:smile:[/bold] \N{GREEK SMALL LETTER OMEGA}"


class HandlerOfAirflow2(logging.StreamHandler):  # type: ignore[type-arg]
    """It keeps no stream, and can't be given one."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:  # type: ignore[override]
        return sys.stdout


@pytest.fixture(
    params=[lambda: logging.StreamHandler(sys.stdout), HandlerOfAirflow2], ids=["Airflow 3", "Airflow 2"]
)
def log_on_standard_output(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """A root logger that writes to standard output, as Airflow's does."""
    root = logging.getLogger()
    handler = request.param()
    root.addHandler(handler)
    yield
    root.removeHandler(handler)


@pytest.mark.parametrize("verbose", [True, False])
def test_what_others_print_and_log_goes_to_standard_error(
    log_on_standard_output: None, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    screen = Screen(as_json=True, verbose=verbose)
    with screen.opened():
        print("printed by a library")
        logging.getLogger("a.library").warning("logged by a library")
        screen.log.info("logged by us")
        screen.result({"name": ODD})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"name": ODD}
    assert said.out.count("\n") == 1
    assert "printed by a library" in said.err
    assert said.err.count("logged by us") == 1
    assert ("logged by a library" in said.err) is verbose


def test_texts_are_shown_as_they_are_and_ids_are_never_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False, verbose=False)
    with screen.opened():
        screen.complain(ODD)
        screen.log.error(ODD)
        screen.result({}, rows_table(("id", "what"), [("i" * 64, ODD), (None, "x" * 60)]), ODD)
    said = capsys.readouterr()
    assert said.err.count(ODD) == 2
    assert said.out.count(ODD) == 2
    assert "i" * 64 in said.out
    assert "\N{HORIZONTAL ELLIPSIS}" not in said.out


def test_what_a_terminal_would_obey_is_shown_and_one_line_stays_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = "x\n[INFO] forged \x1b[32m\u202egnp\u2028"
    screen = Screen(as_json=False, verbose=False)
    with screen.opened():
        screen.log.warning("%s", odd)
        screen.complain(odd)
        screen.result({}, odd, rows_table(("id",), [(odd,)]))
    said = capsys.readouterr()
    lines = (said.out + said.err).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("[INFO]") for line in lines)
    assert sum("forged \\x1b[32m\\u202egnp" in line for line in lines) == 4
