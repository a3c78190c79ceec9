"""The sandbox as a command: its options, and how it serves."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel import sandbox

if TYPE_CHECKING:
    from types import FrameType

EXIT_USAGE = 2
DESCRIPTION = "Clickatell and Esendex US on loopback, for tests and demonstrations. Nothing is sent."


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then return 0; return 2 when it can't be started as asked.

    :param options: what :data:`OPTIONS` were read into.
    """
    try:
        from airflow_provider_smscancel.sandbox.faults import FaultError
        from airflow_provider_smscancel.sandbox.server import NotLoopbackError, Server, listen
        from airflow_provider_smscancel.sandbox.state import SandboxState
    except ModuleNotFoundError as missing:
        return _complain(str(missing))
    try:
        state = SandboxState(
            seed=options.seed,
            latency=options.latency,
            rate_limit=options.rate_limit,
            faults=options.faults,
        )
        listener, url = listen(options.host, options.port)
    except (FaultError, NotLoopbackError) as error:
        return _complain(str(error))
    except (OSError, OverflowError) as error:
        return _complain(f"can't listen on {options.host} port {options.port}: {error}")
    server = Server(state, on_ready=lambda: _announce(url))

    def end(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn repeats a signal to the handler that was there before it; the default ones would turn the clean
    # end into an exit by signal. These also cover the moments before and after uvicorn's own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run([listener])
    return 0


def _announce(url: str) -> None:
    http_api = (
        f"user: {sandbox.CLICKATELL_USER} password: {sandbox.CLICKATELL_PASSWORD}"
        f" api_id: {sandbox.CLICKATELL_API_ID}"
    )
    lines = (
        f"smscancel sandbox listening on {url}",
        f"  Clickatell REST token: {sandbox.CLICKATELL_TOKEN}",
        f"  Clickatell HTTP API {http_api}",
        f"  Esendex licence key: {sandbox.ESENDEX_LICENSE_KEY}",
        f"  ground truth: {url}/_sandbox/messages",
    )
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        # Who read it has left, `head` say; those who were told the port stay. Python would complain again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError("must be a number from 0 to 3600")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _complain(message: str) -> int:
    print(f"smscancel sandbox: {message}", file=sys.stderr)
    return EXIT_USAGE


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--host": {"default": "127.0.0.1", "help": "a loopback address (default: %(default)s)"},
    "--port": {"type": int, "default": 8099, "help": "0 for any free port (default: %(default)s)"},
    "--latency": {
        "type": _not_negative,
        "default": 0.0,
        "metavar": "S",
        "help": "seconds by which each answer is delayed",
    },
    "--rate-limit": {
        "type": _positive,
        "metavar": "N",
        "help": "requests that each gateway takes in any sliding second; more get a 429",
    },
    "--faults": {
        "default": "none",
        "metavar": "PROFILE",
        "help": "none, light or heavy (default: %(default)s)",
    },
    "--seed": {"type": int, "default": 0, "help": "decides every id and fault (default: %(default)s)"},
}
"""Its options, as ``argparse`` takes them."""
