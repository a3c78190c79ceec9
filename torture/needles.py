"""Finds planted texts wherever they were written down, in whatever form: raw, escaped, encoded, packed, or in a database.

Everything is compared without regard to case. That blurs base64 a little, which for texts of nine bytes or more does not matter.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

SHORTEST = 9
"""Bytes. A shorter needle, or what base64 leaves of it, would be found by chance."""
_RUNS = re.compile(rf"[A-Za-z0-9]{{{SHORTEST},}}")
_SQLITE = b"SQLite format 3\0"
_PACKED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How gzip and zlib begin."""
_MOST_UNPACKED = 64 * 1024 * 1024


def forms_of(text: str) -> dict[bytes, str]:
    """Write a text in every form in which it could get into a log, a page or a database.

    :return: what each form is called, by the form, in small letters.
    """
    raw = text.encode()
    forms = {
        "raw": raw,
        "URL-quoted": quote(text, safe="").encode(),
        "URL-quoted as a path": quote(text).encode(),
        "URL-quoted as a form": quote_plus(text).encode(),
        "URL-quoted twice": quote(quote(text, safe=""), safe="").encode(),
        "JSON": json.dumps(text)[1:-1].encode(),
        "JSON in UTF-8": json.dumps(text, ensure_ascii=False)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
        "repr": repr(text)[1:-1].encode(),
        "repr of bytes": repr(raw)[2:-1].encode(),
        "ascii()": ascii(text)[1:-1].encode(),
        "HTML": html.escape(text).encode(),
        "HTML without quotes": html.escape(text, quote=False).encode(),
        "HTML in ASCII": html.escape(text).encode("ascii", "xmlcharrefreplace"),
        "Latin-1": text.encode("latin-1", "replace"),
        "UTF-16": text.encode("utf-16-le"),
        "hexadecimal": raw.hex().encode(),
        "hexadecimal UTF-16": text.encode("utf-16-be").hex().encode(),
    }
    found = {form.lower(): name for name, form in reversed(forms.items())}
    for form in _base64_forms(raw):
        found[form.lower()] = "base64"
    return found


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Yield what base64 makes of a text wherever in a longer one it stands, less what its neighbours change."""
    for before, spoilt in ((0, 0), (1, 2), (2, 3)):
        length = before + len(raw)
        settled = 4 * (length // 3) + length % 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + raw)[spoilt:settled]


@dataclass(frozen=True)
class Needle:
    """Something that nobody may see.

    :param name: what to call it when it is found: the text itself is not repeated.
    :param text: at least nine bytes.
    :param spellings: further ways to write it, such as a number without its country code.
    """

    name: str
    text: str = field(repr=False)
    spellings: tuple[str, ...] = field(default=(), repr=False)

    def forms(self) -> dict[bytes, str]:
        """Return every form of the text, of its spellings, and of their longest parts: escapes leave letters and digits alone."""
        if len(self.text.encode()) < SHORTEST:
            raise ValueError(f"the needle {self.name!r} is so short that it would be found by chance")
        found: dict[bytes, str] = {}
        for text in (self.text, *self.spellings):
            for part in _RUNS.findall(text):
                found |= {form: f"a part, {name}" for form, name in forms_of(part).items()}
        for text in (self.text, *self.spellings):
            found |= forms_of(text)
        return found


@dataclass(frozen=True)
class Hit:
    """A needle in a place where it must not be.

    :param place: where.
    :param needle: which.
    :param form: in what form.
    """

    place: str
    needle: str
    form: str

    def __str__(self) -> str:
        return f"{self.needle} ({self.form}) in {self.place}"


class Search:
    """Looks for needles, and counts the places that it looked at.

    :param needles: what must not be found.
    :param markers: what has to be found, as a proof that the right places were searched.
    """

    def __init__(self, needles: Iterable[Needle], markers: Iterable[Needle] = ()) -> None:
        self.needles = list(needles)
        self._forms = {needle.name: needle.forms() for needle in self.needles}
        self._markers = {marker.name: marker.forms() for marker in markers}
        self.hits: list[Hit] = []
        self.places = 0
        self.bytes = 0
        self.marked: dict[str, set[str]] = {}
        """In which places each marker was found."""

    @property
    def tried(self) -> int:
        """How many pairs of a place and a needle."""
        return self.places * len(self.needles)

    def add(self, needles: Iterable[Needle]) -> None:
        """Take up needles that became known later, such as a session's id."""
        for needle in needles:
            self.needles.append(needle)
            self._forms[needle.name] = needle.forms()

    def text(self, place: str, text: str) -> None:
        """Search a text."""
        self.data(place, text.encode(errors="surrogatepass"))

    def data(self, place: str, data: bytes) -> None:
        """Search bytes, and what is packed in them."""
        self.places += 1
        self._look(place, data)

    def file(self, path: Path, place: str = "") -> None:
        """Search a file: its bytes, and if it is a database also every column of every row."""
        place = place or str(path)
        data = path.read_bytes()
        self.data(place, data)
        if data.startswith(_SQLITE):
            for table, rows in _tables(path):
                self.places += 1
                for row in rows:
                    self._look(f"{place}, table {table}", row)

    def tree(self, folder: Path) -> None:
        """Search every file below a folder, and their names."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            self.data(f"the name of {name}", name.encode(errors="surrogateescape"))
            if path.is_file():
                self.file(path, name)

    def _look(self, place: str, data: bytes) -> None:
        self.bytes += len(data)
        small = data.lower()
        for name, forms in self._markers.items():
            if any(form in small for form in forms):
                self.marked.setdefault(name, set()).add(place)
        for name, forms in self._forms.items():
            for form, called in forms.items():
                if form in small:
                    self.hits.append(Hit(place, name, called))
                    break
        if data.startswith(_PACKED):
            unpacked = _unpacked(data)
            if unpacked is not None:
                self._look(f"{place}, unpacked", unpacked)


def _unpacked(data: bytes) -> bytes | None:
    try:
        if data.startswith(_PACKED[0]):
            return gzip.decompress(data)
        return zlib.decompressobj().decompress(data, _MOST_UNPACKED)
    except (OSError, EOFError, zlib.error):
        return None


def _tables(path: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield each table of a database, and its values. What was in a journal beside the file is read as well."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        database.text_factory = bytes
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            quoted = name.decode().replace('"', '""')
            rows = database.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - a table's own name
            yield name.decode(), (_bytes_of(value) for row in rows for value in row if value is not None)


def _bytes_of(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
