"""Runs commands in this process against a sandbox, and on a real pseudo-terminal in a process of their own."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from support.operating import Row

COMMAND = (sys.executable, "-m", "airflow_provider_smscancel")
IN_ITS_OWN_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Done:
    """What came of one command.

    :param requests: how many the sandbox has answered meanwhile.
    """

    status: int
    out: str
    err: str
    requests: int

    @property
    def json(self) -> Row:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def outcomes(self) -> dict[str, int]:
        """The outcomes that are not zero."""
        return {name: count for name, count in self.json["outcomes"].items() if count}

    def refused_before_anything(self) -> str:
        """Say what was wrong, having checked that nothing was sent and that it was said so in one line."""
        assert self.status == 2, self
        assert self.requests == 0
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        assert "othing was sent" in self.err or "othing was cancelled" in self.err
        return self.err


Run = Callable[..., Done]


class TypedText(io.StringIO):
    """Standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._seen = b""

    @property
    def seen(self) -> str:
        """Everything that was written so far."""
        return self._seen.decode(errors="replace")

    def wait_for(self, text: str, *, within_s: float = 60.0) -> None:
        """Read until a text was written."""
        give_up_at = time.monotonic() + within_s
        while text not in self.seen:
            assert time.monotonic() < give_up_at, f"{text!r} was not written: {self.seen}"
            assert self._read(), f"it ended without {text!r}: {self.seen}"

    def type(self, text: str) -> None:
        """Type something; ``\\x03`` is Ctrl-C."""
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close the terminal, as a connection that is lost does."""
        os.close(self._master)
        self._master = -1

    def wait(self, *, within_s: float = 60.0) -> int:
        """Read to the end, and return the exit status."""
        while self._master >= 0 and self._read():
            pass
        return self.process.wait(within_s)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._master >= 0:
            os.close(self._master)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 60)
        data = b""
        with contextlib.suppress(OSError):  # on Linux, how the end of a terminal is told
            data = os.read(self._master, 65_536) if ready else b""
        self._seen += data
        return bool(data)


@contextmanager
def on_a_terminal(
    arguments: Sequence[str], environment: dict[str, str], **options: Any
) -> Iterator[Terminal]:
    """Run a command on a pseudo-terminal of 120 columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", IN_ITS_OWN_TERMINAL, *COMMAND, *arguments],
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
        stdin=slave,
        stderr=slave,
        start_new_session=True,
        **{"stdout": slave, **options},
    )
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        terminal.close()
