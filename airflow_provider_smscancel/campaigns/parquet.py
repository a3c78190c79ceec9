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
        names = {name.strip().lower(): name for name in table.schema_arrow.names}
        if "message_id" not in names:
            raise SourceError(f"manifest {shown} has no column message_id.")
        columns = [names[name] for name in ("message_id", "scheduled_at") if name in names]
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
        ids, *dates = (batch.column(name).to_pylist() for name in columns)
        for message_id, scheduled_at in zip(ids, dates[0] if dates else [None] * len(ids), strict=True):
            number += 1
            if is_no_value(message_id):
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
