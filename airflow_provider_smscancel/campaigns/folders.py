"""Folders of files, on a disk or in an object store, as they differ in what matters here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any, Protocol, Self

BUCKET_SCHEMES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl", "az"})
"""Stores without folders: a name with slashes is all there is. What can be made there is a bucket."""


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


def why(error: Exception) -> str:
    """Say what a store complains about, without its own words, which may hold a signed URL."""
    said = type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        return f"{said}: {os.strerror(error.errno)}"
    if isinstance(error, ImportError) and error.name:
        return f"{said}: the library {error.name} is not installed"
    return said
