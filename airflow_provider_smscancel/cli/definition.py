"""The commands and their options, described once.

Airflow's command line (3.2+) and the parser of ``python -m airflow_provider_smscancel`` are both made from :data:`COMMANDS`.
Airflow imports this at every start of its command line, so that what a command needs is imported only when it runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from airflow_provider_smscancel.provider_info import CANCEL_ALL, GATEWAYS, TAKE_CLIENT_IDS
from airflow_provider_smscancel.sandbox import command as sandbox

NAME = "smscancel"
HELP = f"Stop SMS campaigns that are scheduled at {GATEWAYS}"
_ENDED = (
    "2 usage, list, connection or credentials are wrong; 129, 130 or 143 the terminal was closed, Ctrl-C or SIGTERM came before "
    "the end."
)

Options = Mapping[tuple[str, ...], Mapping[str, Any]]
"""What to add to a parser, by flags: in the terms of ``argparse``, which Airflow's own description shares.

The help texts hold no square brackets: Airflow takes them for markup.
"""

_CONNECTION: Options = {
    ("--conn-id",): {
        "required": True,
        "metavar": "ID",
        "help": "the connection, as it is saved in Airflow; its type picks the gateway",
    }
}
_LIST: Options = {
    ("--id",): {
        "action": "extend",
        "nargs": "+",
        "metavar": "ID",
        "help": "message ids, separated by blanks or commas; may be repeated; - reads them from standard input",
    },
    ("--manifest",): {
        "metavar": "FILE",
        "help": "instead of --id: a .csv, .jsonl (each also .gz) or .parquet file with a column message_id and perhaps one "
        "scheduled_at; a path or an object storage URL",
    },
    ("--id-type",): {
        "choices": ("message_id", "client_message_id"),
        "default": "message_id",
        "help": f"client_message_id: ids that the sender chose; takes {TAKE_CLIENT_IDS} (default: %(default)s)",
    },
    ("--max-messages",): {
        "type": int,
        "metavar": "N",
        "help": "refuse to start when there are more: the wrong list",
    },
}
_PACE: Options = {
    ("--requests-per-second",): {
        "type": float,
        "metavar": "R",
        "help": "the pace, 0.1 to 10000 (default: the connection's)",
    },
    ("--max-concurrency",): {
        "type": int,
        "metavar": "N",
        "help": "how many requests may be under way, 1 to 1000 (default: the connection's)",
    },
    ("--give-up-after",): {
        "type": float,
        "default": 600.0,
        "metavar": "S",
        "help": "how many seconds the gateway may be down before the run ends (default: 600)",
    },
}
_CAMPAIGN: Options = {
    ("--campaign",): {"metavar": "NAME", "help": "a name for the lines that are printed and the summary"},
    ("--report",): {
        "metavar": "FOLDER",
        "help": "where the outcome of each message is written, and what the same command resumes from: a path or an object "
        "storage URL (default: a new folder under report_folder of Airflow's section smscancel, if that is set)",
    },
    ("--dry-run",): {"action": "store_true", "help": "ask where each message is, and cancel nothing"},
    ("-y", "--yes"): {"action": "store_true", "help": "do not ask before cancelling"},
}
_VERBOSE: Options = {
    ("-v", "--verbose"): {
        "action": "store_true",
        "help": "also write what Airflow and the libraries log, and for cancel a line for each message (on standard error)",
    }
}
_OUTPUT: Options = {
    ("-o", "--output"): {
        "choices": ("table", "json"),
        "default": "table",
        "help": "json: one JSON object and nothing else on standard output (default: %(default)s)",
    },
    **_VERBOSE,
}
_FILES: Options = {
    ("--copy-dags-to",): {
        "metavar": "FOLDER",
        "help": "copy the example DAGs into this folder, such as your Airflow's dags folder; files that somebody has changed stay",
    }
}
_SANDBOX: Options = {(flag,): settings for flag, settings in sandbox.OPTIONS.items()}


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    :param name: what is typed.
    :param help: one line.
    :param description: what a person must know before using it.
    :param options: what it takes.
    :param function: its name in :mod:`~airflow_provider_smscancel.cli.commands`.
    """

    name: str
    help: str
    description: str
    options: Options
    function: str

    def __call__(self, arguments: argparse.Namespace) -> None:
        """Run it, and exit with its status."""
        commands = import_module("airflow_provider_smscancel.cli.commands")
        function: Callable[[argparse.Namespace], None] = getattr(commands, self.function)
        function(arguments)


COMMANDS = (
    Command(
        "cancel",
        "Stop messages",
        "Stops the messages of a list, the most urgent first, and says for each whether it was stopped. Asks before it "
        "begins, unless --yes is given. Repeating it is safe; with the same --report it takes up what is open. Exit status: "
        f"0 every message is stopped or will not be sent for another reason; 1 some are not, or not everything is known; {_ENDED}",
        {**_CONNECTION, **_LIST, **_CAMPAIGN, **_PACE, **_OUTPUT},
        "cancel",
    ),
    Command(
        "status",
        "Ask where messages are, and change nothing",
        "Asks where each message of a list is: pending, sent, cancelled, failed or unknown. Changes nothing. Exit status: "
        f"0 every message was asked about; 1 the gateway gave no answer for too long; {_ENDED}",
        {**_CONNECTION, **_LIST, **_PACE, **_OUTPUT},
        "status",
    ),
    Command(
        "check",
        "Check a connection",
        "Makes one harmless call through a connection, and says what is wrong with it. Exit status: 0 it works; 2 it does not; "
        "130 Ctrl-C.",
        {**_CONNECTION, **_OUTPUT},
        "check",
    ),
    Command(
        "cancel-all",
        f"{CANCEL_ALL} only: cancel everything under a licence key",
        "Cancels, in one request, every message of every campaign of everybody who uses the connection's licence key. It "
        "cannot be undone. Asks on a terminal for the last four characters of the key. Exit status: 0 the gateway says "
        "that it did; 1 it says that it did not, or gave no answer; 2 nothing was sent; 130 Ctrl-C: the text says what that means.",
        {**_CONNECTION, **_VERBOSE},
        "cancel_all",
    ),
    Command(
        "files",
        "Say where the documentation and the example DAGs are",
        "Both come with the package. Sends nothing. Exit status: 0 done; 2 not all of the example DAGs were copied.",
        {**_FILES, **_OUTPUT},
        "files",
    ),
    Command("sandbox", "Run both gateways on loopback", sandbox.DESCRIPTION, _SANDBOX, "sandbox"),
)


def get_cli_commands() -> list[Any]:
    """Describe the commands to Airflow 3.2+."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    make_arg: Callable[..., Arg] = Arg  # whose constructor has no types
    described = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            func=command,
            args=[make_arg(flags=flags, **settings) for flags, settings in command.options.items()],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name=NAME, help=HELP, subcommands=described)]


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of ``python -m airflow_provider_smscancel``. What it reads has ``func``, to be called with it."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_smscancel", description=f"{HELP}.")
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.description)
        for flags, settings in command.options.items():
            subparser.add_argument(*flags, **settings)
        subparser.set_defaults(func=command)
    return parser
