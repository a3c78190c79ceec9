"""Manifests: files that name the messages of a campaign, as CSV or JSON Lines, plain or gzipped, or as Parquet.

Read as a stream, at a bounded cost in memory. One bad row never holds up the rest: it is rejected by its line. Only a file that
is unusable as a whole is an error.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from airflow_provider_smscancel.campaigns.manifest_lines import Lines, ManifestPath, shown_path
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.parquet import read_parquet
from airflow_provider_smscancel.campaigns.sources import (
    NOT_AN_ID,
    TWO_IDS,
    SourceError,
    TwoIds,
    is_no_value,
    json_object,
)
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES

LONGEST_RECORD_LINES = 100
LONGEST_RECORD_BYTES = 64 * 1024
"""How far a quoted column may reach beyond its first line before its quote counts as one that was never closed."""

_DELIMITERS = (",", ";", "\t")
_TOO_LONG = "the line is longer than 1 MiB"
_BROKEN_QUOTES = "its quotes are broken: one is not closed, or is closed in the middle of a column"
_UNMISTAKABLE = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
"""Ids as the gateways give them out. Nothing that stands in another column looks so by chance."""
_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_KNOWN_WORDS = "|".join(
    [
        "api|campaign|cli|client|external|gateway|guid|id|key|message|msg|number|reference|sms|text|uuid",
        *CONNECTION_TYPES,
    ]
)
_SIMILAR_NAME = re.compile(
    rf"(?=.*(?:id|message|msg))(?:(?:{_KNOWN_WORDS})s?[_ .-]?){{1,6}}|[a-z]{{1,20}}_id", re.IGNORECASE
)
"""Made of known words, so that an error which quotes such a name can't quote a person's from a file without a header."""


def read_manifest(campaign: Campaign, path: ManifestPath) -> None:
    """Add the messages of a manifest to a campaign. Rows that name no message are rejected as ``line N``, the first being 1.

    - CSV: a header with the column ``message_id`` and perhaps ``scheduled_at``; separated by commas, semicolons or tabs.
    - JSON Lines: one object per line with the key ``message_id`` (a text) and perhaps ``scheduled_at``.

    - Parquet: a column ``message_id`` and perhaps ``scheduled_at``; its rows are named ``row N``.

    Text in UTF-8; what else is in a row is ignored. When reading breaks off, what was read counts, and a rejected row says that
    the rest is missing.

    :param campaign: takes the ids. A manifest without rows leaves it as it was.
    :param path: where the manifest is; its name tells the format.
    :raises SourceError: when the file can't be opened, is of another format, or has no column ``message_id``: nothing must be
        sent. Mend the manifest, or the path to it, and run the task again.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        read_parquet(campaign, path)
        return
    gzipped = name.endswith(".gz")
    stem = name.removesuffix(".gz")
    if not stem.endswith((".csv", ".jsonl")):
        raise SourceError(
            f"manifest {shown_path(path)}: its name must end with .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet"
        )
    lines = Lines(path, gzipped=gzipped)
    try:
        if stem.endswith(".csv"):
            _Csv(campaign, lines).read()
        else:
            _read_json_lines(campaign, lines)
    finally:
        lines.close()
    if lines.store_failed:
        campaign.incomplete = f"manifest {lines.shown} was read to line {lines.number} only ({lines.broken})"
    if lines.broken is not None:
        campaign.reject(
            f"line {lines.number + 1}",
            f"the file breaks off here ({lines.broken}): what follows was not read. Mend the file and run it again",
        )


def _read_json_lines(campaign: Campaign, lines: Lines) -> None:
    for line in lines:
        position = f"line {lines.number}"
        if line is None:
            campaign.reject(position, _TOO_LONG)
            continue
        for part in line.splitlines():  # JSON has no line end of any kind within a text
            if text := part.decode("utf-8", "replace").strip():
                _read_json(campaign, text, position)


def _read_json(campaign: Campaign, text: str, position: str) -> None:
    try:
        # Only where it may matter: with the hook, reading takes longer.
        may_name_two = text.count("message_id") > 1 or "\\u" in text
        row = json.loads(text, object_pairs_hook=json_object if may_name_two else None)
    except (ValueError, RecursionError):
        campaign.reject(position, "not JSON: one object per line is expected")
        return
    if not isinstance(row, dict):
        campaign.reject(position, "not a JSON object: one object with message_id per line is expected")
    elif isinstance(row, TwoIds):
        campaign.reject(position, TWO_IDS)
    elif "message_id" not in row:
        campaign.reject(position, "the object has no key message_id")
    elif is_no_value(row["message_id"]):
        campaign.reject(position, NOT_AN_ID)
    else:
        campaign.add(row["message_id"], row.get("scheduled_at"), position)


class _Header(NamedTuple):
    """The header as one delimiter makes it."""

    delimiter: str
    names: list[str]
    more_lines: int
    """Over how many lines it goes beyond its first."""

    def columns(self, wanted: str, *, fold: bool) -> list[int]:
        """Find the columns of a name, with or without regard to case."""
        return [at for at, name in enumerate(self.names) if (name.lower() if fold else name) == wanted]


class _Csv:
    """One CSV file.

    :param campaign: takes the ids.
    :param lines: of the file.
    """

    def __init__(self, campaign: Campaign, lines: Lines) -> None:
        self._campaign = campaign
        self._lines = lines
        header, self._id_column = self._read_header()
        self._delimiter = header.delimiter
        self._width = len(header.names)
        self._id_name = header.names[self._id_column]
        dates = header.columns("scheduled_at", fold=False) or header.columns("scheduled_at", fold=True)
        self._date_column = dates[0] if dates else None

    def read(self) -> None:
        for line in self._lines:
            position = f"line {self._lines.number}"
            if line is None:
                self._campaign.reject(position, _TOO_LONG)
                continue
            text = line.decode("utf-8", "replace")
            if "\r" in text or "\n" in text:
                self._read_stray_ends(line, position)
            else:
                self._read_row(text, position)

    def _read_row(self, text: str, position: str) -> None:
        row = self._row(text) if '"' in text else text.split(self._delimiter)
        if row is None:
            self._campaign.reject(position, _BROKEN_QUOTES)
        else:
            self._take(row, position)

    def _read_stray_ends(self, line: bytes, position: str) -> None:
        """Read a line with the other kind of line end in it: between rows (files put together), or just inside a column."""
        text = _text(line)
        row = self._row(text) if '"' in text else text.split(self._delimiter)
        own = row[self._id_column].strip(' "') if row is not None and len(row) == self._width else ""
        parts = line.splitlines()
        if any(self._is_a_row(part, own) for part in parts[1:]):
            for part in parts:
                self._read_row(_text(part), position)
        elif row is None:
            self._campaign.reject(position, _BROKEN_QUOTES)
        else:
            self._take(row, position)

    def _take(self, row: list[str], position: str) -> None:
        column = self._id_column
        if column >= len(row) or not row[column].strip():
            # Spreadsheets end their exports with rows of nothing but delimiters.
            if any(cell.strip() for cell in row):
                self._campaign.reject(position, "the column message_id is missing or empty in this row")
            return
        message_id = row[column].strip()
        if len(row) != self._width and self._is_displaced(row):
            self._campaign.reject(
                position,
                f"{len(row)} columns where the header has {self._width}: which one is the id can't be told "
                "(put a text with a delimiter in it in quotes)",
            )
            return
        if message_id == self._id_name:
            # Files that were put together. The name would pass for an id of Clickatell's.
            self._campaign.reject(position, "the header once more, not a message")
            return
        if is_no_value(message_id):
            self._campaign.reject(position, NOT_AN_ID)
            return
        date = self._date_column
        scheduled_at = row[date] if date is not None and date < len(row) else None
        self._campaign.add(message_id, scheduled_at, position)

    def _is_displaced(self, row: list[str]) -> bool:
        """Say whether a row of an odd length may have another column where the id should be.

        Clickatell's ids may be any word: a piece of a name would pass for one, and the real id would be lost.
        """
        if self._id_column == 0 or _UNMISTAKABLE.fullmatch(row[self._id_column].strip()):
            return False
        return len(row) < self._width or any(cell.strip() for cell in row[self._width :])

    # -- rows with quotes ---------------------------------------------------------------------------------------------

    def _row(self, first: str) -> list[str] | None:
        """Read a row and the lines over which it goes on; ``None``, and these put back, when it is broken."""
        if first.count('"') % 2 == 0 and (row := _one_line_row(first, self._delimiter)) is not None:
            return row
        row, taken = self._record(first, self._delimiter)
        # A quote that was left open is closed by the next one, which may belong to a good row: not every record that can
        # be read was meant so.
        if row is not None and taken and not self._is_plausible(row, [first.encode(), *taken]):
            row = None
        if row is None:
            self._lines.put_back(taken)
        return row

    def _record(self, first: str, delimiter: str) -> tuple[list[str] | None, list[bytes | None]]:
        """Read the record that begins with a line. Returns it, if it can be read, and the further lines it took."""
        taken: list[bytes | None] = []
        try:
            row = next(csv.reader(self._feed(first, taken), delimiter=delimiter, strict=True))
        except csv.Error:
            return None, taken
        return row, taken

    def _feed(self, first: str, taken: list[bytes | None]) -> Iterator[str]:
        yield first + "\n"
        size = 0
        for line in self._lines:
            taken.append(line)
            size += len(line or b"")
            if line is None or len(taken) > LONGEST_RECORD_LINES or size > LONGEST_RECORD_BYTES:
                return
            yield _text(line) + "\n"

    def _is_plausible(self, row: list[str], lines: list[bytes | None]) -> bool:
        """Say whether a record of several lines is one, and not good rows in the grip of a quote left open before them."""
        if len(row) != self._width:
            return False
        message_id = row[self._id_column].strip()
        return "\n" not in message_id and not any(
            self._is_a_row(part, message_id) for line in lines if line for part in line.splitlines()
        )

    def _is_a_row(self, line: bytes, but_for: str = "") -> bool:
        """Say whether a line is, taken by itself, a whole row with an id that looks like the others.

        :param but_for: an id that does not count: that of the record in which the line stands.
        """
        text = _text(line)
        readings = (text.split(self._delimiter), _one_line_row(text, self._delimiter))
        ids = (
            row[self._id_column].strip(' "')
            for row in readings
            if row is not None and len(row) == self._width
        )
        return any(found != but_for and self._is_like_an_id(found) for found in ids)

    def _is_like_an_id(self, text: str) -> bool:
        if _UNMISTAKABLE.fullmatch(text):
            return True
        known = self._campaign.ids[-1] if self._campaign.ids else ""
        return len(text) >= 8 and any(map(str.isdigit, text)) and _shape(text) == _shape(known)

    # -- the header ---------------------------------------------------------------------------------------------------

    def _read_header(self) -> tuple[_Header, int]:
        lines = self._lines
        first = next((line for line in lines if line is None or line.strip()), b"")
        if first is None:
            raise self._unusable(f"{_TOO_LONG}: that is no header. The first line must name the columns")
        if not first:
            state = "is empty" if lines.broken is None else f"breaks off at its beginning ({lines.broken})"
            raise self._unusable(f"{state}: no header. The first line must name the columns")
        headers = self._headers(_text(first))
        for fold in (False, True):
            for header in headers:
                columns = header.columns("message_id", fold=fold)
                if len(columns) > 1:
                    raise self._unusable("its header names the column message_id more than once: keep one")
                if columns:
                    for _ in range(header.more_lines):
                        next(lines)
                    return header, columns[0]
        raise self._unusable(_what_is_missing(headers))

    def _headers(self, first: str) -> list[_Header]:
        found = []
        for delimiter in _DELIMITERS:
            names, taken = self._record(first, delimiter)
            self._lines.put_back(taken)
            if names is not None:
                plain = [name.replace("\ufeff", "").strip() for name in names]
                found.append(_Header(delimiter, plain, len(taken)))
        return found

    def _unusable(self, problem: str) -> SourceError:
        return SourceError(f"manifest {self._lines.shown}: {problem}")


def _what_is_missing(headers: list[_Header]) -> str:
    if not headers:
        return "its header can't be read: a quote in it is not closed"
    names = max((header.names for header in headers), key=len)
    if any(_is_data(name) for name in names):
        return (
            "has no header: its first line looks like data. The first line must name the columns, one of them "
            "message_id"
        )
    similar = sorted({name for name in names if len(name) <= 40 and _SIMILAR_NAME.fullmatch(name)})[:5]
    hint = f" (it has {', '.join(similar)}: if that is meant, rename it)" if similar else ""
    return f"has no column message_id in its header{hint}. The first line must name the columns"


def _one_line_row(text: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True))
    except csv.Error:
        return None


def _text(line: bytes) -> str:
    """Decode a line. Stray line ends in it become blanks: the csv module refuses them."""
    return line.decode("utf-8", "replace").replace("\r", " ").replace("\n", " ")


def _is_data(cell: str) -> bool:
    return sum(map(str.isdigit, cell)) >= 4 or _UNMISTAKABLE.fullmatch(cell) is not None


def _shape(text: str) -> str:
    return _LETTER_OR_DIGIT.sub("x", text)
