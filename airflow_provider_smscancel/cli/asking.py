"""Questions to the person at the terminal, before something is cancelled."""

from __future__ import annotations

import getpass
import sys

from airflow_provider_smscancel.cli.errors import CommandError
from airflow_provider_smscancel.cli.screen import Screen


def need_terminal(instead: str) -> None:
    """Refuse to go on where there is nobody to ask.

    :param instead: what to do without a terminal.
    :raises CommandError: standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise CommandError(
            f"There is nobody to ask: standard input is not a terminal. {instead} Nothing was sent."
        )


def agreed(screen: Screen, question: str) -> bool:
    """Ask a question whose answer is no unless somebody says yes."""
    screen.ask(question)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        screen.tell("")  # the cursor is behind the question
        raise


def ask_last_four(screen: Screen) -> str:
    """Ask for the last four characters of the licence key, which are not shown while they are typed."""
    try:
        return getpass.getpass("Last four characters of the licence key (not shown): ", sys.stderr)
    except EOFError:
        screen.tell("")
        return ""
    except KeyboardInterrupt:
        screen.tell("")
        raise
