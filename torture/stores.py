"""Stores that refuse, lose, tear, hang or forget: as a folder, and below Airflow's object storage."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO, Any, NamedTuple
from unittest.mock import patch

LONGER_THAN_ANY_TRY_S = 20.0
"""Who still waits then for a store that never answers would have waited for ever."""


class Fault(Enum):
    """What a store does in place of what it was asked."""

    REFUSED = "it refuses"
    UNACKNOWLEDGED = "it does what it was asked, and says that it failed"
    TORN = "it writes half of it, and says that it failed"
    HANGS = "it never answers"
    SLOW = "it takes its time"
    STALE = "it lists what was there when it was asked first"
    ENDED = "it ends the task of an event loop that nobody here has begun"


class Call(NamedTuple):
    """One call of a store.

    :param kind: ``list``, ``read``, ``write`` or ``mkdir``.
    :param name: the file's, empty for a folder.
    :param number: how many calls of this kind there have been, from 1.
    """

    kind: str
    name: str
    number: int


Wrong = Callable[[Call], Fault | None]
"""Says of a call what goes wrong with it."""


def nothing(_: Call) -> None:
    """Let every call succeed."""


class Store:
    """What goes wrong with a folder, and how often it did.

    :param wrong: see :data:`Wrong`.
    :param slow_s: seconds that a slow call takes.
    """

    def __init__(self, wrong: Wrong, *, slow_s: float = 0.05) -> None:
        self.wrong = wrong
        self.slow_s = slow_s
        self.faults = 0
        self.held_up = False
        """Whether a try waited for an answer that never came."""
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._let_go = threading.Event()
        self._first_listing: list[str] | None = None

    def let_go(self) -> None:
        """End the calls that hang."""
        self._let_go.set()

    def ask(self, kind: str, name: str = "") -> Fault | None:
        """Let a call come; what the store does in place of answering has been done when this returns."""
        with self._lock:
            self._calls[kind] += 1
            fault = self.wrong(Call(kind, name, self._calls[kind]))
            self.faults += fault is not None
        if fault is Fault.HANGS:
            self.held_up |= not self._let_go.wait(LONGER_THAN_ANY_TRY_S)
            raise TimeoutError
        if fault is Fault.SLOW:
            time.sleep(self.slow_s)
        if fault is Fault.ENDED:
            raise GeneratorExit
        if fault is Fault.REFUSED:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return fault

    def names(self, folder: Path) -> list[str]:
        """List a folder."""
        fault = self.ask("list")
        names = [path.name for path in folder.iterdir()]
        if self._first_listing is None:
            self._first_listing = names
        return self._first_listing if fault is Fault.STALE else names

    def open(self, path: Path, mode: str) -> IO[Any]:
        """Open a file for reading or for writing."""
        if "r" in mode:
            self.ask("read", path.name)
            return path.open(mode)
        return _Upload(path, self.ask("write", path.name))


class _Upload(io.BytesIO):
    """Is written whole when it is closed, as in an object store."""

    def __init__(self, path: Path, fault: Fault | None) -> None:
        super().__init__()
        self._path = path
        self._fault = fault
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def close(self) -> None:
        if self.closed:
            return
        content = self.getvalue()
        super().close()
        with self._path.open("wb") as file:
            file.write(content[: len(content) // 2] if self._fault is Fault.TORN else content)
        if self._fault in (Fault.TORN, Fault.UNACKNOWLEDGED):
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class FaultyFolder:
    """A folder of such a store, without Airflow."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path_on_disk = path
        self.store = store

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path_on_disk.name

    def __truediv__(self, name: str) -> FaultyFolder:
        return FaultyFolder(self.path_on_disk / name, self.store)

    def iterdir(self) -> Iterator[FaultyFolder]:
        """List it."""
        return (self / name for name in self.store.names(self.path_on_disk))

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Make it."""
        self.store.ask("mkdir")
        self.path_on_disk.mkdir(parents=parents, exist_ok=exist_ok)

    def open(self, mode: str) -> IO[Any]:
        """Open a file."""
        return self.store.open(self.path_on_disk, mode)


@contextlib.contextmanager
def below_object_storage(folder: Path, store: Store) -> Iterator[None]:
    """Let what goes wrong go wrong in the file system that Airflow's ``ObjectStoragePath`` of this folder asks."""
    from fsspec.implementations.local import LocalFileSystem

    ls, open_file, mkdir = LocalFileSystem.ls, LocalFileSystem._open, LocalFileSystem.makedirs  # noqa: SLF001

    def is_ours(path: str) -> bool:
        return Path(path) == folder or Path(path).parent == folder

    def ls_or_not(self: Any, path: str, detail: bool = False, **options: Any) -> Any:
        if not is_ours(path):
            return ls(self, path, detail=detail, **options)
        return [str(folder / name) for name in store.names(folder)]

    def open_or_not(self: Any, path: str, mode: str = "rb", **options: Any) -> Any:
        if not is_ours(path):
            return open_file(self, path, mode=mode, **options)
        return store.open(Path(path), mode)

    def mkdir_or_not(self: Any, path: str, exist_ok: bool = False) -> None:
        if is_ours(path):
            store.ask("mkdir")
        mkdir(self, path, exist_ok=exist_ok)

    with (
        patch.object(LocalFileSystem, "ls", ls_or_not),
        patch.object(LocalFileSystem, "_open", open_or_not),
        patch.object(LocalFileSystem, "makedirs", mkdir_or_not),
    ):
        yield


# -- real disks ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[bool]:
    """Put a disk of its own, of so few kilobytes, in a folder's place.

    :return: whether that may be done here. (It takes the rights of root. Where they are missing, no file that this process writes
        may grow longer than two kilobytes meanwhile: what is written is torn all the same.)
    """
    folder.mkdir(parents=True, exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mounting, capture_output=True, check=False).returncode == 0:
        try:
            yield True
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    try:
        yield False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """Let nobody write into a folder. For root no permission forbids that: there the folder is a disk of its own.

    :return: whether that may be done here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        folder.chmod(0o500)
        try:
            yield True
        finally:
            folder.chmod(0o700)
        return
    with small_disk(folder, kilobytes=64) as mounted:
        if mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield mounted
