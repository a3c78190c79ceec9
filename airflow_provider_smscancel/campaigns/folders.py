"""Folders of files, on a disk or in an object store, as they differ in what matters here."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import IO, Any, Protocol, Self, TypeVar

T = TypeVar("T")

BUCKET_SCHEMES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", "az"})
"""Stores without folders: a name with slashes is all there is. What can be made there is a bucket."""

READ_AGAIN_AFTER_S = (0.5, 1.0, 2.0)
"""When a store that refuses to be read is asked again: what it holds would have to be asked of the gateway otherwise."""
FOR_GOOD = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
"""Refusals that the next second does not change: messages leave meanwhile."""


class Folder(Protocol):
    """What is needed of a folder: ``pathlib.Path`` and Airflow's ``ObjectStoragePath`` both offer it."""

    def __truediv__(self, name: str) -> Self: ...
    @property
    def name(self) -> str: ...  # noqa: D102
    def iterdir(self) -> Iterator[Self]: ...  # noqa: D102
    def open(self, mode: str) -> IO[Any]: ...  # noqa: D102
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...  # noqa: D102


def make_folder(folder: Folder) -> None:
    """Make a folder that is missing, and what leads to it; but never a bucket, which a misspelled URL would make.

    :raises Exception: whatever the store raises.
    """
    if getattr(folder, "protocol", "") not in BUCKET_SCHEMES:
        folder.mkdir(parents=True, exist_ok=True)


def names_in(folder: Folder) -> list[str]:
    """Name what is in a folder now. In one that is not there, there is nothing.

    :raises Exception: whatever the store raises.
    """
    store: Any = getattr(folder, "fs", None)
    try:
        if store is None:
            return [path.name for path in folder.iterdir()]
        # Not iterdir(): of a folder that is missing it says that it is no folder. And a store's listings are kept for the
        # life of the process: what other processes write meanwhile would be missing in them, and could not be opened.
        where = str(getattr(folder, "path"))  # noqa: B009 - only such a folder has one
        store.invalidate_cache(where)
        try:
            return [str(name).rpartition("/")[2] for name in store.ls(where, detail=False)]
        finally:
            store.invalidate_cache(where)
    except FileNotFoundError:
        return []


def asked_again(ask: Callable[[], T], *, for_good: tuple[type[Exception], ...] = FOR_GOOD) -> T:
    """Ask a store, and a few times more while it refuses.

    :param for_good: what is no use to be asked again for.
    :raises Exception: what it raised the last time.
    """
    for wait in READ_AGAIN_AFTER_S:
        try:
            return ask()
        except for_good:
            raise
        except Exception:  # stores raise what they like
            time.sleep(wait)
    return ask()


def answered(ask: Callable[[Callable[[], None]], T], *, within_s: float) -> T:
    """Ask a store in a thread of its own, as it may never answer.

    :param ask: is given what to call whenever the store has answered something.
    :param within_s: seconds that may pass without an answer.
    :return: what ``ask`` returns.
    :raises TimeoutError: there was none for so long. The thread stays behind, and nobody hears of what comes of it.
    :raises Exception: what ``ask`` raises.
    """
    answer: Future[T] = Future()
    heard: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        try:
            answer.set_result(ask(lambda: heard.put(None)))
        except Exception as error:  # stores raise what they like
            answer.set_exception(error)
        except BaseException as error:  # also what ends a task of an event loop, which is none here
            answer.set_exception(OSError(f"ended by {type(error).__name__}"))
        heard.put(None)

    threading.Thread(target=work, name="smscancel-store", daemon=True).start()
    while not answer.done():
        try:
            heard.get(timeout=within_s)
        except queue.Empty:
            if not answer.done():
                raise TimeoutError(f"no answer for {within_s:g} s") from None
    return answer.result()


def lines_in(file: IO[bytes], *, longest: int) -> Iterator[bytes]:
    """Give the lines of a file, without their ends. What is longer than ``longest`` bytes comes in pieces.

    The files of object stores have a ``readline`` that knows no limit.
    """
    rest = b""
    while piece := file.read(longest):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > longest:
            yield rest
            rest = b""
    if rest:
        yield rest


def why(error: BaseException) -> str:
    """Say what a store complains about, without its own words, which may hold a signed URL."""
    said = type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        return f"{said}: {os.strerror(error.errno)}"
    if isinstance(error, ImportError) and error.name:
        return f"{said}: the library {error.name} is not installed"
    return said
