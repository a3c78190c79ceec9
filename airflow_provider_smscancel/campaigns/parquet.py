"""Manifests in Parquet, read in batches. Needs the optional library ``pyarrow``."""

from __future__ import annotations

from typing import Any

from airflow_provider_smscancel.campaigns.manifest_lines import ManifestPath, shown_path
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import NOT_AN_ID, SourceError, is_no_value

ROWS_AT_A_TIME = 20_000


def read_parquet(campaign: Campaign, path: ManifestPath) -> None:
    """Add the messages of a Parquet file to a campaign. Rows that name no message are rejected as ``row N``, from 1.

    :param campaign: takes the ids of the column ``message_id``, and dates of the column ``scheduled_at`` if it is there.
    :param path: where the file is.
    :raises SourceError: when ``pyarrow`` is missing, or the file can't be opened, is not Parquet, or has no such column:
        nothing must be sent.
    """
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SourceError(
            "manifest: Parquet needs pyarrow: pip install 'airflow-provider-smscancel[parquet]', or use CSV or JSON Lines."
        ) from None
    shown = shown_path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(
            f"manifest {shown} can't be opened: {error.strerror or type(error).__name__}"
        ) from None
    with file:
        try:
            table = ParquetFile(file)
        except (pa.ArrowException, OSError):
            raise SourceError(f"manifest {shown} is not a Parquet file that can be read.") from None
        names = {name.strip().lower(): name for name in table.schema_arrow.names}
        if "message_id" not in names:
            raise SourceError(f"manifest {shown} has no column message_id.")
        columns = [names[name] for name in ("message_id", "scheduled_at") if name in names]
        try:
            _read_batches(campaign, table, columns)
        except (pa.ArrowException, OSError) as error:
            campaign.reject(
                "the last rows",
                f"the file breaks off ({type(error).__name__}): what follows was not read. Mend the file and run it again",
            )


def _read_batches(campaign: Campaign, table: Any, columns: list[str]) -> None:
    number = 0
    for batch in table.iter_batches(batch_size=ROWS_AT_A_TIME, columns=columns):
        ids, *dates = (batch.column(name).to_pylist() for name in columns)
        for message_id, scheduled_at in zip(ids, dates[0] if dates else [None] * len(ids), strict=True):
            number += 1
            if is_no_value(message_id):
                campaign.reject(f"row {number}", NOT_AN_ID)
            else:
                campaign.add(message_id, scheduled_at, f"row {number}")
