"""Sees everything that a person, a log or a page could get to see of a call, and has it searched."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torture.needles import Search

HARNESS = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests"))
"""Whose own local variables hold what was planted."""
CHATTY = ("", "requests", "urllib3", "aiohttp", "asyncio", "airflow", "airflow_provider_smscancel")


class Witness:
    """A context manager that listens at debug level to every logger, to both streams, to warnings, and to what nobody caught.

    :param search: is given what was seen at :meth:`tell`.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._seen: dict[str, list[str]] = {}
        self._handler = _Handler(self)
        self._stack = contextlib.ExitStack()
        self.log = logging.getLogger("planted")

    def __enter__(self) -> Self:
        for name in CHATTY:
            logger = logging.getLogger(name)
            self._stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.DEBUG)
        root = logging.getLogger()
        root.addHandler(self._handler)
        self._stack.callback(root.removeHandler, self._handler)
        logging.captureWarnings(True)
        self._stack.callback(logging.captureWarnings, False)
        self._stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always")
        self._stack.enter_context(_set(threading, "excepthook", self._uncaught_in_thread))
        self._stack.enter_context(_set(sys, "unraisablehook", self._unraisable))
        self._stack.enter_context(environment(PYTHONASYNCIODEBUG="1"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def note(self, kind: str, *texts: str) -> None:
        """Keep what was seen."""
        self._seen.setdefault(kind, []).extend(texts)

    def call(self, way: Callable[[], Any]) -> None:
        """Do something, and keep whatever comes of it."""
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                found = way()
            self.note("results", repr(found), str(found))
        except SystemExit as end:  # whose traceback nobody writes
            self.note("output", str(end.code))
        except (Exception, KeyboardInterrupt) as error:
            self.error(error)
        self.note("output", output.getvalue())

    def error(self, error: BaseException) -> None:
        """Keep all that an exception tells: also to another process, and to whoever shows local variables."""
        self.note("errors", str(error), repr(error), repr(vars(error)))
        self.note("tracebacks", "".join(traceback.format_exception(error)))
        self.note("tracebacks with local variables", with_locals(error))
        with contextlib.suppress(pickle.PicklingError, TypeError, AttributeError):
            again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
            self.note("errors", repr(again), repr(vars(again)))

    def tell(self, scenario: str) -> None:
        """Have everything searched that was seen since the last time: each kind of it is a place."""
        seen, self._seen = self._seen, {}
        for kind, texts in seen.items():
            self._search.text(f"{scenario}: {kind}", "\n".join(texts))

    def _uncaught_in_thread(self, found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            self.error(found.exc_value)

    def _unraisable(self, found: Any) -> None:
        self.note("errors", repr(found.object), str(found.err_msg))
        if found.exc_value is not None:
            self.error(found.exc_value)


class _Handler(logging.Handler):
    def __init__(self, witness: Witness) -> None:
        super().__init__(logging.DEBUG)
        self._witness = witness

    def emit(self, record: logging.LogRecord) -> None:
        self._witness.note("logs", f"{record.name} {record.getMessage()} {record.args!r}")
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return
        self._witness.note("tracebacks", "".join(traceback.format_exception(error)))
        if record.name.startswith("airflow_provider_smscancel"):
            self._witness.error(error)


def with_locals(error: BaseException) -> str:
    """Write a traceback with the local variables of every frame but this harness's own."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    waiting: list[traceback.TracebackException | None] = [found]
    while waiting:
        each = waiting.pop()
        if each is not None:
            frames = [frame for frame in each.stack if not frame.filename.startswith(HARNESS)]
            each.stack = traceback.StackSummary.from_list(frames)
            waiting += [each.__cause__, each.__context__, *(each.exceptions or ())]
    return "".join(found.format())


@contextlib.contextmanager
def _set(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def environment(**variables: str | None) -> Iterator[None]:
    """Set environment variables, or take them away, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    _put(variables)
    try:
        yield
    finally:
        _put(before)


def _put(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
