"""Manifests in Parquet, read in batches. Needs the optional library ``pyarrow``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

from airflow_provider_smscancel.campaigns.folders import why
from airflow_provider_smscancel.campaigns.manifest_lines import (
    ManifestPath,
    may_pass,
    open_manifest,
    shown_path,
    unreadable,
)
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import NOT_AN_ID, SourceError, is_no_value

ROWS_AT_A_TIME = 20_000
LONGEST_WORD = 1024
"""In bytes. A word of a Parquet dictionary is stored once, however many rows point at it: longer ones are never multiplied."""
MOST_COLUMN_BYTES = 256 * 1024 * 1024
"""How large one column of one row group may be, unpacked: seven million ids."""

_UNREADABLE = object()
"""Stands for a value that is there and can't be read. As a date it counts as none."""


def read_parquet(campaign: Campaign, path: ManifestPath) -> None:
    """Add the messages of a Parquet file to a campaign. Rows that name no message are rejected as ``row N``, from 1.

    :param campaign: takes the ids of the column ``message_id``, and dates of the column ``scheduled_at`` if it is there.
    :param path: where the file is.
    :raises SourceError: when ``pyarrow`` is missing, or the file can't be opened, is not Parquet, or has no such column:
        nothing must be sent.
    :raises SourceUnavailable: when its store failed; trying again may help.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise SourceError(
            "manifest: Parquet needs pyarrow: pip install 'airflow-provider-smscancel[parquet]', or use CSV or JSON Lines."
        ) from None
    shown = shown_path(path)
    file = _Watched(open_manifest(path))
    with contextlib.closing(file):
        try:
            table = pyarrow.parquet.ParquetFile(file)
        except Exception:  # what pyarrow raises about the file, or what the store did
            failure = file.failure
            if failure is None:
                raise SourceError(f"manifest {shown} is not a Parquet file that can be read.") from None
            raise unreadable(shown, why(failure), passing=may_pass(failure)) from None
        columns = _columns(table.schema_arrow, shown)
        _check_sizes(table.metadata, columns, shown)
        _read_batches(campaign, _batches(table, file, columns), columns, file, shown)


def _columns(schema: Any, shown: str) -> list[str]:
    """Find the columns to read, by the names that they have in the file.

    :raises SourceError: when there is no message_id, or it can't be told which one is meant.
    """
    found = []
    for wanted in ("message_id", "scheduled_at"):
        same = [field for field in schema if field.name == wanted] or [
            field for field in schema if field.name.strip().lower() == wanted
        ]
        if wanted == "message_id" and not same:
            raise SourceError(f"manifest {shown} has no column message_id.")
        if len(same) > 1:
            raise SourceError(f"manifest {shown} has the column {wanted} more than once: keep one.")
        if same and same[0].type.num_fields and not hasattr(same[0].type, "index_type"):
            raise SourceError(
                f"manifest {shown}: its column {wanted} holds lists or records, not one value a row."
            )
        found += [field.name for field in same]
    return found


def _check_sizes(metadata: Any, columns: list[str], shown: str) -> None:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        # A column's own metadata is not looked at without need: damaged statistics in it end the process, in pyarrow's C++.
        if group.total_byte_size <= MOST_COLUMN_BYTES:
            continue
        size = max((chunk.total_uncompressed_size for chunk in _chunks(group, columns)), default=0)
        if size > MOST_COLUMN_BYTES:
            raise SourceError(
                f"manifest {shown}: in its row group {number + 1} a column unpacks to {size:,} "
                "bytes, which is no list of ids, or one to be written in smaller row groups."
            )


def _chunks(group: Any, columns: list[str]) -> Iterator[Any]:
    for at in range(group.num_columns):
        chunk = group.column(at)
        with contextlib.suppress(UnicodeDecodeError):  # a name that is no text is none of ours
            if chunk.path_in_schema in columns:
                yield chunk


def _batches(table: Any, file: _Watched, columns: list[str]) -> Iterator[Any]:
    """Read a file batch by batch, each at a bounded cost in memory.

    Spelling out the words of a dictionary is much quicker than going through it, and safe where all of them are short.
    """
    in_words = type(table)(file, metadata=table.metadata, read_dictionary=columns)
    for group in range(table.metadata.num_row_groups):
        first = next(in_words.iter_batches(batch_size=1, row_groups=[group], columns=columns), None)
        if first is None:
            continue
        source = in_words if any(map(_has_long_words, first.columns)) else table
        yield from source.iter_batches(batch_size=ROWS_AT_A_TIME, row_groups=[group], columns=columns)


def _has_long_words(column: Any) -> bool:
    # Even of a single row, such a column brings along the whole dictionary of its row group.
    return hasattr(column, "dictionary") and max(_lengths(column.dictionary), default=0) > LONGEST_WORD


def _lengths(words: Any) -> Iterable[int]:
    import pyarrow.compute

    try:
        return [length or 0 for length in pyarrow.compute.binary_length(words).to_pylist()]
    except pyarrow.ArrowNotImplementedError:  # numbers and dates, all of them short
        return [0] * len(words)


def _values(column: Any) -> list[Any]:
    """Give the values of a column as Python has them, and :data:`_UNREADABLE` for each that it can't have."""
    if not hasattr(column, "dictionary"):
        try:
            return list(column.to_pylist())
        except (
            Exception
        ):  # one date beyond the year 9999, or bytes that are no text, must not cost the others
            return [_value(each) for each in column]
    words = [
        _value(word) if length <= LONGEST_WORD else _UNREADABLE
        for word, length in zip(column.dictionary, _lengths(column.dictionary), strict=True)
    ]
    last = len(words) - 1
    return [
        None if at is None else words[at] if 0 <= at <= last else _UNREADABLE
        for at in column.indices.to_pylist()
    ]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception:
        return _UNREADABLE


def _read_batches(
    campaign: Campaign, batches: Iterator[Any], columns: list[str], file: _Watched, shown: str
) -> None:
    number = 0
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:  # what pyarrow raises about the file, or what the store did
            said = why(file.failure or error)
            if file.failure is not None:
                campaign.incomplete = f"manifest {shown} was read to row {number} only ({said})"
            campaign.reject(
                "the last rows",
                f"the file breaks off ({said}): what follows was not read. Mend the file and run it again",
            )
            return
        if batch is None:
            return
        ids, *dates = (_values(batch.column(name)) for name in columns)
        for message_id, scheduled_at in zip(ids, dates[0] if dates else [None] * len(ids), strict=True):
            number += 1
            if message_id is _UNREADABLE:
                campaign.reject(
                    f"row {number}",
                    "the id can't be read: it is no text in UTF-8, far too long, or the file is damaged here",
                )
            elif is_no_value(message_id):
                campaign.reject(f"row {number}", NOT_AN_ID)
            else:
                campaign.add(message_id, scheduled_at, f"row {number}")


class _Watched:
    """A file that remembers whether its store failed: pyarrow's own errors are about what is in it.

    :param file: open, binary and seekable.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.closed = False
        self.failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:  # stores raise what they like
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Close the file. A store that complains now is not listened to: what was read is read."""
        self.closed = True
        with contextlib.suppress(Exception):
            self._file.close()
