"""Manifests in Parquet, read in batches. Needs the optional library ``pyarrow``."""

from __future__ import annotations

import contextlib
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
        ids, dates = (_columns(table.schema_arrow.names, name) for name in ("message_id", "scheduled_at"))
        if not ids:
            raise SourceError(f"manifest {shown} has no column message_id.")
        for name, same in (("message_id", ids), ("scheduled_at", dates)):
            if len(same) > 1:
                raise SourceError(f"manifest {shown} has the column {name} more than once: keep one.")
        columns = [*ids, *dates]
        _read_batches(campaign, table, columns, file, shown)


def _read_batches(campaign: Campaign, table: Any, columns: list[str], file: _Watched, shown: str) -> None:
    number = 0
    batches = table.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns)
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
                    "the id can't be read: it is no text in UTF-8, or the file is damaged here",
                )
            elif is_no_value(message_id):
                campaign.reject(f"row {number}", NOT_AN_ID)
            else:
                campaign.add(message_id, scheduled_at, f"row {number}")


def _columns(names: list[str], wanted: str) -> list[str]:
    """Find the columns of a name: as it is spelled, else without regard to case, as in CSV."""
    exact = [name for name in names if name.strip() == wanted]
    return exact or [name for name in names if name.strip().lower() == wanted]


def _values(column: Any) -> list[object]:
    """Read a column's values. What Python has no value for (a year 10000, an unknown zone, broken text) holds up no other row."""
    with contextlib.suppress(Exception):  # pyarrow's own, and whatever a library for time zones raises
        values: list[object] = column.to_pylist()
        return values
    return [_value(column, index) for index in range(len(column))]


def _value(column: Any, index: int) -> object:
    with contextlib.suppress(Exception):  # as above
        value: object = column[index].as_py()
        return value
    return _UNREADABLE


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
