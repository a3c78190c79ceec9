"""What the docs say about the command line: every option, and examples that are run at the sandbox as they stand."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import requests
from support.commands import Run

from airflow_provider_smscancel.cli.definition import COMMANDS
from airflow_provider_smscancel.sandbox import CLICKATELL, ESENDEX, ESENDEX_LICENSE_KEY
from airflow_provider_smscancel.sandbox.server import SandboxServer

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = ("command-line.md", "on-call.md")
NAMED = ("360586640fe9846954897dffe6c13dfc", "9d3a62b1f0c4478fa3be5d0c7e21a648")
OPTIONS = {command.name: command.options for command in COMMANDS}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


EXAMPLES = [
    pytest.param(expected, command.strip(), id=f"{name}: {command.strip()[:60]}")
    for name in PAGES
    for expected, command in re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*?)```", page(name), re.DOTALL)
]


@pytest.fixture
def prepared(sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, connections and messages such as the examples speak of."""
    monkeypatch.chdir(tmp_path)
    for gateway in (CLICKATELL, ESENDEX):
        source = "SMS" if gateway == CLICKATELL else "SMS_ESENDEX"
        monkeypatch.setenv(f"AIRFLOW_CONN_{gateway.upper()}_DEFAULT", os.environ[f"AIRFLOW_CONN_{source}"])
    order = [{"gateway": CLICKATELL, "id": each} for each in (*NAMED, *(f"{n:032x}" for n in range(20)))]
    ids = requests.post(f"{sandbox.url}/_sandbox/messages", json=order, timeout=30).json()["ids"]
    (tmp_path / "campaign.csv").write_text("\n".join(["message_id", *ids]) + "\n")
    (tmp_path / "exported.csv").write_text("".join(f"{each},something\n" for each in ids))
    return tmp_path


@pytest.mark.parametrize(("expected", "example"), EXAMPLES)
def test_an_example_does_what_it_says(
    run: Run, prepared: Path, monkeypatch: pytest.MonkeyPatch, expected: str, example: str
) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda *_: ESENDEX_LICENSE_KEY[-4:])
    before, _, command = example.rpartition(" | ")
    words = shlex.split(command)
    assert words[:2] == ["airflow", "smscancel"]
    if before:
        piped = subprocess.run(before, shell=True, capture_output=True, text=True, check=True).stdout
        done = run(*words[2:], stdin=piped)
    elif "--yes" in words:
        done = run(*words[2:])
    else:
        done = run(*words[2:], typed="y\n")
    assert done.status == (0 if expected == "terminal" else int(expected)), done
    assert done.requests > 0


def test_there_are_examples_of_every_command_that_asks_a_gateway() -> None:
    shown = {shlex.split(each.values[1].rpartition(" | ")[2])[2] for each in EXAMPLES}
    assert shown == set(OPTIONS) - {"files", "sandbox"}
    assert sum(page(name).count("<!-- command:") for name in PAGES) == len(EXAMPLES)


def test_the_question_is_as_documented(run: Run, prepared: Path) -> None:
    done = run("cancel", "--conn-id", "clickatell_default", "--manifest", "campaign.csv", typed="n\n")
    (documented,) = re.findall(
        r"```text\n(\d+ messages are to be cancelled.*?)```", page("command-line.md"), re.DOTALL
    )

    def shape(text: str) -> list[str]:
        return [re.sub(r"\d+|(?<=  )\S.*", "…", line).strip() for line in text.splitlines()]

    assert shape(documented) == [
        line.removesuffix(" Nothing was cancelled: the answer was not yes.") for line in shape(done.err)
    ]


def test_every_option_is_documented_with_its_default() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page("command-line.md").splitlines()
        if line.startswith("| `--")
    ]
    documented = {tuple(re.findall(r"`(-[^`]*)`", row[0])): row[1] for row in rows}
    options = {**OPTIONS["cancel"], **OPTIONS["files"]}
    assert set(documented) == {tuple(sorted(flags, key=len, reverse=True)) for flags in options}
    for flags, settings in options.items():
        default = settings.get("default")
        if default is not None:
            shown = f"{default:g}" if isinstance(default, float) else f"`{default}`"
            assert documented[tuple(sorted(flags, key=len, reverse=True))] == shown


def test_the_other_commands_take_no_option_that_cancel_does_not_take() -> None:
    for name in ("status", "check", "cancel-all"):
        assert set(OPTIONS[name]) <= set(OPTIONS["cancel"])


def test_json_has_the_keys_that_are_documented(run: Run, prepared: Path) -> None:
    text = page("command-line.md").split("## Output")[1]
    connection = ("--conn-id", "clickatell_default", "-o", "json")
    status = run("status", *connection, "--id", NAMED[0]).json
    assert {"states", "end", "messages"} <= set(status)
    assert {f"`{key}`" for key in status["messages"][0]} <= set(re.findall(r"`\w+`", text))
    assert {f"`{key}`" for key in run("check", *connection).json} <= set(re.findall(r"`\w+`", text))
    cancelled = run("cancel", *connection, "--yes", "--id", NAMED[0], "f" * 32).json
    described = page("operator.md").split("## Result")[1]
    assert [key for key in cancelled if f"`{key}`" not in text + described] == []
