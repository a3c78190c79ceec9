"""The commands. Each takes what was read from the command line and exits with its status."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow_provider_smscancel.cli.asking import ask_last_four, need_terminal
from airflow_provider_smscancel.cli.cancelling import cancel_campaign
from airflow_provider_smscancel.cli.errors import FAILED, INTERRUPTED, WRONG, CommandError, nothing_sent
from airflow_provider_smscancel.cli.files import show_files
from airflow_provider_smscancel.cli.screen import Screen
from airflow_provider_smscancel.cli.surveying import survey
from airflow_provider_smscancel.exceptions import SmsGatewayError
from airflow_provider_smscancel.hooks.by_connection import hook_of
from airflow_provider_smscancel.hooks.cancelling_all import IN_DOUBT, CancelsAll
from airflow_provider_smscancel.provider_info import CANCEL_ALL

PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


def _command(
    function: Callable[[argparse.Namespace, Screen], int],
) -> Callable[[argparse.Namespace], NoReturn]:
    @functools.wraps(function)
    def run(options: argparse.Namespace) -> NoReturn:
        screen = Screen(as_json=getattr(options, "output", None) == "json", verbose=options.verbose)
        with screen.opened(), _connections_of_the_ui():
            try:
                status = function(options, screen)
            except CommandError as error:
                screen.complain(str(error))
                status = error.status
            except KeyboardInterrupt:
                status = INTERRUPTED
        sys.exit(status)

    return run


@contextmanager
def _connections_of_the_ui() -> Iterator[None]:
    """Let connections be found that are saved in Airflow's database: outside of a task, Airflow 3 looks there only so."""
    before = os.environ.get(PROCESS_CONTEXT)
    os.environ[PROCESS_CONTEXT] = "server"
    try:
        yield
    finally:
        del os.environ[PROCESS_CONTEXT]
        if before is not None:
            os.environ[PROCESS_CONTEXT] = before


@_command
def cancel(options: argparse.Namespace, screen: Screen) -> int:
    """Stop messages, or with ``--dry-run`` only ask where they are."""
    if options.dry_run:
        return survey(options, screen, each=False)
    return cancel_campaign(options, screen)


@_command
def status(options: argparse.Namespace, screen: Screen) -> int:
    """Ask where each message is."""
    return survey(options, screen, each=True)


@_command
def check(options: argparse.Namespace, screen: Screen) -> int:
    """Check a connection."""
    with nothing_sent():
        works, text = hook_of(options.conn_id).test_connection()
    screen.result({"connection": options.conn_id, "works": works, "message": text}, text)
    return 0 if works else WRONG


@_command
def cancel_all(options: argparse.Namespace, screen: Screen) -> int:
    """Cancel everything that is scheduled under a licence key."""
    with nothing_sent():
        hook = hook_of(options.conn_id)
        if not isinstance(hook, CancelsAll):
            raise ValueError(
                f"{hook.hook_name} documents no way to cancel everything, only {CANCEL_ALL} does: use the command cancel"
            )
        need_terminal("This command is for a person; a program may call the hook's cancel_all_messages.")
        screen.tell(
            "This cancels EVERY scheduled message of EVERYBODY who uses the licence key of connection "
            f"{options.conn_id!r}, at {hook.gateway.base_url}.\n"
            "It names none of them, and it can not be undone."
        )
        last_four = ask_last_four(screen)
    try:
        done = hook.cancel_all_messages(confirm_last_four=last_four)
    except ValueError as error:
        raise CommandError(str(error)) from None
    except SmsGatewayError as error:
        raise CommandError(str(error), FAILED) from None
    except KeyboardInterrupt:
        raise CommandError(f"Interrupted. {IN_DOUBT}", INTERRUPTED) from None
    if not done:
        raise CommandError(
            f"{hook.hook_name} answers false: it does not say that anything was cancelled, nor why. "
            "Ask for the status of the messages.",
            FAILED,
        )
    screen.result(
        {},
        f"{hook.hook_name} says that everything is cancelled. It names no messages: ask for the status of those that matter.",
    )
    return 0


@_command
def files(options: argparse.Namespace, screen: Screen) -> int:
    """Say where the documentation and the example DAGs are."""
    return show_files(options, screen)


def sandbox(options: argparse.Namespace) -> NoReturn:
    """Run both gateways on loopback."""
    from airflow_provider_smscancel.sandbox.command import serve

    sys.exit(serve(options))
