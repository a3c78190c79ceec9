"""What a person or a script sees: lines and a bar on standard error, the result on standard output."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from airflow_provider_smscancel.campaigns.visible import visible

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.job import Job

PACKAGE = "airflow_provider_smscancel"
WIDTH_OF_A_FILE = 200
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "bold red"}


class Screen:
    """Where a command writes. While it is open, nothing but the result gets to standard output.

    :param as_json: whether the result is one JSON object.
    :param verbose: whether what Airflow and the libraries log is shown too, on standard error.
    """

    def __init__(self, *, as_json: bool, verbose: bool) -> None:
        self._as_json = as_json
        self.log = logging.getLogger(f"{PACKAGE}.cli")
        self._verbose = verbose
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)
        self._draws = sys.stderr.isatty() and not self._err.is_dumb_terminal
        self._notes: deque[str] = deque()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Take over this package's log lines, and keep everybody else's off standard output."""
        ours, root, standard_output = logging.getLogger(PACKAGE), logging.getLogger(), sys.stdout
        handler = _Lines(self._err)
        before = ours.level, ours.propagate, root.level
        on_output = [
            each
            for each in root.handlers
            # Those of Airflow 2 keep no stream: they look up what sys.stdout is at each line.
            if isinstance(each, logging.StreamHandler) and vars(each).get("stream") is standard_output
        ]
        ours.setLevel(logging.INFO)
        ours.propagate = False
        ours.addHandler(handler)
        root.setLevel(logging.INFO if self._verbose else logging.CRITICAL)
        for each in on_output:
            each.setStream(sys.stderr)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        finally:
            ours.removeHandler(handler)
            for each in on_output:
                each.setStream(standard_output)
            ours.propagate = before[1]
            ours.setLevel(before[0])
            root.setLevel(before[2])

    @contextmanager
    def following(self, job: Job) -> Iterator[Callable[[str], None]]:
        """Show how a job goes: a bar on a terminal; elsewhere the job's own lines, every few seconds.

        :return: says what is going on: it may be called from a signal handler.
        """
        usual = job.on_progress

        def show_lines() -> None:
            self._write_notes()
            usual()

        job.on_progress = show_lines
        try:
            if self._draws:
                with self._bar(job) as tell:
                    yield tell
            else:
                yield self.log.warning
        finally:
            self._write_notes()

    @contextmanager
    def _bar(self, job: Job) -> Iterator[Callable[[str], None]]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err, transient=True) as bar:
            task = bar.add_task(job.doing.capitalize(), total=None, said="")

            def show_bar() -> None:
                self._write_notes()
                bar.update(task, total=len(job.todo), completed=job.settled, said=job.said())

            job.on_progress = show_bar
            yield lambda text: bar.update(task, description=text)

    def note(self, text: str) -> None:
        """Keep a line until the thread that waits for the job writes it: a terminal that is held must not hold up the engine."""
        self._notes.append(text)

    def _write_notes(self) -> None:
        while self._notes:
            self.log.info("%s", self._notes.popleft())

    def ask(self, question: str) -> None:
        """Write a question; what is typed follows on its last line."""
        self._err.print(visible(question, keep="\n"), end=" ", markup=False, soft_wrap=True)

    def complain(self, text: str) -> None:
        """Write what is wrong."""
        self._err.print(visible(text), style="bold red", markup=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Write what a person should know beside the result."""
        self._err.print(visible(text, keep="\n"), markup=False, soft_wrap=True)

    def result(self, found: Mapping[str, Any], *shown: Table | str) -> None:
        """Write the result.

        :param found: what ``--output json`` writes.
        :param shown: what is written otherwise: tables and lines.
        """
        if self._as_json:
            self._out.print(json.dumps(found), markup=False, soft_wrap=True)
            return
        for each in shown:
            if isinstance(each, str):
                self._out.print(visible(each), markup=False, soft_wrap=True)
            else:
                self._out.print(each, markup=False)


def counts_table(counts: Mapping[str, int]) -> Table:
    """Make a table of the counts that are not zero, and their sum."""
    table = _table()
    table.add_column()
    table.add_column("messages", justify="right")
    for name, count in counts.items():
        if count:
            table.add_row(name, str(count))
    table.add_row("total", str(sum(counts.values())))
    return table


def rows_table(headings: Sequence[str], rows: Iterable[Sequence[str | None]]) -> Table:
    """Make a table of texts. What is too long is folded and never cut off: ids are copied from here."""
    table = _table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(text or "")) for text in row))
    return table


def _table() -> Table:
    # No lines at the sides, for the same reason.
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else WIDTH_OF_A_FILE
    return Console(file=cast("IO[str]", _Tolerant(stream)), highlight=False, emoji=False, width=width)


class _Lines(logging.Handler):
    """Writes each record as one plain line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        # A line that can't be written (the terminal is gone, say) must not hold up what it is about.
        with contextlib.suppress(Exception):
            style = _STYLES.get(record.levelno)
            self._console.print(visible(record.getMessage()), style=style, markup=False, soft_wrap=True)


class _Tolerant(io.TextIOBase):
    """A stream that nobody may read to its end: a closed terminal or pipe must not stop the stopping."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = stream.encoding or "utf-8"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with self._given_up_on_errors():
            self._stream.write(text.encode(self._encoding, "backslashreplace").decode(self._encoding))
        return len(text)

    def flush(self) -> None:
        with self._given_up_on_errors():
            self._stream.flush()

    @contextmanager
    def _given_up_on_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            # What is buffered would raise again when Python ends.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
