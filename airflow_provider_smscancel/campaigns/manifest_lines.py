"""From a manifest's file to its lines: opening, unpacking, splitting, each at a bounded cost in memory."""

from __future__ import annotations

import contextlib
import re
import stat
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from airflow_provider_smscancel.campaigns.folders import why
from airflow_provider_smscancel.campaigns.sources import SourceError, SourceUnavailable
from airflow_provider_smscancel.campaigns.visible import visible

PIECE_BYTES = 256 * 1024
LONGEST_LINE = 1024 * 1024
"""In bytes. A longer line is never held in memory as a whole."""
BOMB_BYTES = 16 * 1024 * 1024
BOMB_RATIO = 500
"""Beyond so many bytes, what unpacks to so many times its size is no list: a thousand to one is the most that gzip can do."""

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = "is UTF-16 text: save it as UTF-8"
_NOT_TEXT = (
    ((b"\xff\xfe", b"\xfe\xff"), _UTF_16),
    ((_GZIP_MAGIC,), "is packed with gzip once more than the end of its name says: rename it or unpack it"),
    ((b"PK\x03\x04",), "is a zip archive or a spreadsheet, not text: export it as CSV in UTF-8"),
    ((b"PAR1",), "is a Parquet file under another name: rename it"),
)
_FIRST_LINE = re.compile(rb'(?:[^"\r\n]+|"[^"]*"|")*+(\r{0,2}\n|\r(?=[^\r\n]|\r[^\n]))')
_USERINFO = re.compile(r"(?<=://)(?:[^/]*@|[^/@]*:[^@]*@)")


class ManifestPath(Protocol):
    """What is needed of a path: ``pathlib.Path`` and Airflow's ``ObjectStoragePath`` both offer it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    def open(self, mode: str) -> IO[Any]: ...  # noqa: D102


_LASTING = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    ValueError,
)
"""What goes wrong again when a file is opened again. Anything else may be the store's or the network's passing trouble."""


def shown_path(path: object) -> str:
    """Write a path for a person, on one line; of a URL without user, password and query, which may be secret."""
    text = str(path)
    if "://" in text:
        text = _USERINFO.sub("", text).partition("?")[0]
    return visible(text)


def may_pass(error: Exception) -> bool:
    """Say whether what went wrong may be the store's or the network's passing trouble."""
    return not isinstance(error, _LASTING)


def open_manifest(path: ManifestPath) -> IO[bytes]:
    """Open a manifest's file.

    :raises SourceError: when it can't be opened, and trying again would not help; when it is a device or a pipe.
    :raises SourceUnavailable: when trying again may help.
    """
    if _never_ends(path):
        raise SourceError(
            f"manifest {shown_path(path)}: is no file but a device, a pipe or a socket, which may never end: write the list into "
            "a file"
        )
    try:
        return path.open("rb")
    except Exception as error:  # stores raise what they like
        said, passing = why(error), may_pass(error)
    # Outside of the handler, so that the store's own error is not attached: it may hold a signed URL.
    text = f"manifest {shown_path(path)}: can't be opened ({said}). Check that it is there and may be read"
    raise SourceUnavailable(text) if passing else SourceError(text)


def _never_ends(path: ManifestPath) -> bool:
    if getattr(path, "protocol", "") not in ("", "file", "local"):
        return False
    try:
        kind = Path(str(getattr(path, "path", path))).stat().st_mode
    except (OSError, ValueError):
        return False  # opening it says what is wrong
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def unreadable(shown: str, said: str | None, *, passing: bool) -> SourceError | SourceUnavailable:
    """Make the error about a file of which nothing can be read.

    :param shown: the file, for a person.
    :param said: what the store complains about.
    :param passing: whether trying again may help.
    """
    text = f"manifest {shown}: can't be read ({said}). Check that it may be read, and try again"
    return SourceUnavailable(text) if passing else SourceError(text)


class Lines:
    """The lines of one file, counted, and with a way to put some back. ``None`` stands for one that is too long.

    Reading that breaks off ends the lines early: see :attr:`broken`.

    :param path: which file.
    :param gzipped: whether to unpack it.
    :raises SourceError: when it can't be opened. While iterating: when nothing of it can be read, or it is no text in UTF-8.
    """

    def __init__(self, path: ManifestPath, *, gzipped: bool) -> None:
        self.number = 0
        """Of the line that was taken last, from 1."""
        self.broken: str | None = None
        """Why reading ended before the end of the file, or ``None``."""
        self.store_failed = False
        """Whether that was the store's doing: reading it again may get further."""
        self.shown = shown_path(path)
        self._again: deque[bytes | None] = deque()
        self._file = open_manifest(path)
        pieces = self._pieces()
        if gzipped:
            pieces = self._unpacked(pieces)
        self._source = self._split(self._checked(pieces))

    def __iter__(self) -> Iterator[bytes | None]:
        return self

    def __next__(self) -> bytes | None:
        line = self._again.popleft() if self._again else next(self._source)
        self.number += 1
        return line

    def put_back(self, lines: list[bytes | None]) -> None:
        """Have the lines that were taken last come once more."""
        self._again.extendleft(reversed(lines))
        self.number -= len(lines)

    def close(self) -> None:
        """Close the file. A store that complains now is not listened to: what was read is read."""
        with contextlib.suppress(Exception):
            self._file.close()

    def _pieces(self) -> Iterator[bytes]:
        begun = False
        while True:
            try:
                piece = self._file.read(PIECE_BYTES)
            except Exception as error:  # stores raise what they like
                self.broken = why(error)
                # Once something was read, permission that is missing now has run out, say: it is the store's doing.
                self.store_failed = begun or may_pass(error)
                break
            if not piece:
                return
            begun = True
            yield piece
        if not begun:
            raise unreadable(self.shown, self.broken, passing=self.store_failed)

    def _unpacked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack gzip. The standard module discards what it has already unpacked when it meets a fault; this doesn't."""
        member = _Member()
        begun = False
        packed = unpacked = 0
        for piece in pieces:
            packed += len(piece)
            if not begun and not _GZIP_MAGIC.startswith(piece[:2]):
                raise SourceError(
                    f"manifest {self.shown}: is no gzip file, though its name says so: rename it"
                )
            begun = True
            data = piece
            while data:
                if member.ended:
                    # Several members may follow each other, padded with zeros.
                    data = data.lstrip(b"\0")
                    member = _Member() if data else member
                    continue
                for part in member.unpack(data):
                    unpacked += len(part)
                    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * packed:
                        raise self._bomb()
                    yield part
                if member.damaged:
                    self.broken = "its gzip data is damaged"
                    return
                data = member.unused
        if not begun:
            raise SourceError(
                f"manifest {self.shown}: is empty, without even gzip's own header: write it anew"
            )
        if not member.ended and self.broken is None:
            self.broken = "its gzip data is cut off"

    def _bomb(self) -> SourceError:
        return SourceError(
            f"manifest {self.shown}: unpacks to more than {BOMB_RATIO} times its size (seen after line {self.number}), as no list "
            "of messages does: look at who wrote it"
        )

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Refuse by its first bytes what is no text in UTF-8, and drop a byte-order mark."""
        start = b""
        for piece in pieces:
            start += piece
            if len(start) >= 64:
                break
        for marks, problem in _NOT_TEXT:
            if start.startswith(marks):
                raise SourceError(f"manifest {self.shown}: {problem}")
        head = start[:4096].lower()
        if b"\0" in head and b"message_id" not in head and b"message_id" in head.replace(b"\0", b""):
            raise SourceError(f"manifest {self.shown}: {_UTF_16}")
        yield start.removeprefix(_BOM)
        yield from pieces

    def _split(self, pieces: Iterable[bytes]) -> Iterator[bytes | None]:
        """Split at the kind of line end that the first line has: programs leave the other kind inside of lines unquoted.

        When reading broke off, the piece of a line at the end is left out: half an id may look like a whole one.
        """
        line_end = b""
        rest = b""
        skipping = False
        for piece in pieces:
            data = rest + piece
            line_end = line_end or _line_end(data)
            cut = _end_of_lines(data, line_end)
            rest = data[cut:]
            lines = _whole_lines(data[:cut], line_end)
            if lines and skipping:
                lines[0] = None
                skipping = False
            yield from lines
            if skipping or len(rest) > LONGEST_LINE:
                skipping = True
                rest = b"\r" if rest.endswith(b"\r") else b""
        if self.broken is not None:
            return
        if skipping:
            yield None
        elif rest:
            yield rest.removesuffix(b"\r")


def _line_end(head: bytes) -> bytes:
    """Find the first line end outside of quotes: a newline (perhaps with returns before it), or a bare return."""
    found = _FIRST_LINE.match(head)
    return found[1][-1:] if found else b""


def _end_of_lines(data: bytes, line_end: bytes) -> int:
    """Find where the last whole line ends. A return at the very end may be half of a line end: it waits for what follows."""
    if not line_end:
        return 0
    if line_end == b"\n":
        return 1 + data.rfind(b"\n")
    cut = 1 + data.rfind(b"\r", 0, len(data) - 1)
    return cut + 1 if cut and data.startswith(b"\n", cut) else cut


def _whole_lines(data: bytes, line_end: bytes) -> list[bytes | None]:
    if not data:
        return []
    if b"\r" in data:
        data = data.replace(b"\r\r\n", line_end).replace(b"\r\n", line_end)
    lines: list[bytes | None] = list(data.split(line_end))
    lines.pop()  # what follows the last line end: nothing
    if len(data) > LONGEST_LINE:
        return [line if line is None or len(line) <= LONGEST_LINE else None for line in lines]
    return lines


class _Member:
    """One member of a gzip file, unpacked in pieces of a bounded size."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self.damaged = False

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    @property
    def unused(self) -> bytes:
        return self._inflate.unused_data

    def unpack(self, data: bytes) -> Iterator[bytes]:
        full = False
        while (data or full) and not self.ended:
            before = self._inflate.copy()
            try:
                out = self._inflate.decompress(data, PIECE_BYTES)
            except zlib.error:
                self.damaged = True
                break
            yield out
            full = len(out) == PIECE_BYTES
            data = self._inflate.unconsumed_tail
        if self.damaged:
            # zlib keeps to itself what it had unpacked of this piece before the fault: go up to it byte by byte.
            with contextlib.suppress(zlib.error):
                for at in range(len(data)):
                    yield before.decompress(data[at : at + 1])
