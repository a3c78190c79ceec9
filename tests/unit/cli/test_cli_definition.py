"""The commands are described once, for Airflow's command line and for `python -m`, and cost nothing until they run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.cli import cli_parser
from support.versions import since

from airflow_provider_smscancel import get_provider_info
from airflow_provider_smscancel.cli import commands
from airflow_provider_smscancel.cli.definition import COMMANDS, Command, make_parser

EVERYTHING = {
    "cancel": "--conn-id sms --id a b --id c --manifest f --id-type client_message_id --max-messages 5 --campaign x --report r "
    "--dry-run -y --requests-per-second 2.5 --max-concurrency 3 --give-up-after 4 -o json -v",
    "status": "--conn-id sms --id a --manifest f --id-type message_id --max-messages 5 --requests-per-second 2 "
    "--max-concurrency 3 --give-up-after 4 --output table --verbose",
    "check": "--conn-id sms -o json -v",
    "cancel-all": "--conn-id sms -v",
    "files": "--copy-dags-to dags -o json -v",
    "sandbox": "--host localhost --port 0 --latency 0.1 --rate-limit 3 --faults light --seed 4",
}


def read(parser_arguments: list[str], *, by_airflow: bool) -> dict[str, object]:
    if by_airflow:
        found = cli_parser.get_parser().parse_args(["smscancel", *parser_arguments])
    else:
        found = make_parser().parse_args(parser_arguments)
    return {name: value for name, value in vars(found).items() if name != "subcommand"}


def test_every_command_is_there() -> None:
    assert {command.name for command in COMMANDS} == set(EVERYTHING)
    assert all(callable(getattr(commands, command.function)) for command in COMMANDS)
    assert get_provider_info()["cli"] == ["airflow_provider_smscancel.cli.definition.get_cli_commands"]


@since("3.2", "commands of providers")
@pytest.mark.parametrize("name", EVERYTHING)
def test_airflow_and_python_read_the_same(name: str) -> None:
    arguments = [name, *EVERYTHING[name].split()]
    found = read(arguments, by_airflow=False)
    assert found == read(arguments, by_airflow=True)
    assert found["func"] in COMMANDS
    (command,) = [command for command in COMMANDS if command.name == name]
    assert len(found) == len(command.options) + 1, "every option is in the example above"
    required = [] if name in ("files", "sandbox") else ["--conn-id", "sms"]
    assert read([name, *required], by_airflow=False) == read([name, *required], by_airflow=True)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_no_help_holds_what_airflow_takes_for_markup(command: Command) -> None:
    for text in (command.help, command.description, *(each["help"] for each in command.options.values())):
        assert "[" not in text


@pytest.mark.parametrize("arguments", [(), ("cancel",)])
def test_help_comes_without_loading_airflow(arguments: tuple[str, ...]) -> None:
    program = (
        "import atexit, sys; from airflow_provider_smscancel.__main__ import main;"
        "heavy = {'airflow', 'requests', 'aiohttp', 'rich', 'starlette'};"
        "atexit.register(lambda: print(*heavy & set(sys.modules), file=sys.stderr)); main([*sys.argv[1:], '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == []
    assert "usage: python -m airflow_provider_smscancel" in done.stdout


def test_what_airflow_loads_for_its_command_line_is_light() -> None:
    program = (
        "import sys; from airflow_provider_smscancel.cli.definition import get_cli_commands;"
        "print(*{'airflow', 'requests', 'aiohttp', 'rich', 'starlette', 'uvicorn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
