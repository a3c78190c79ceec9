"""Manifests in Parquet."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_smscancel.campaigns import parquet
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

ONE, TWO = "a" * 32, "b" * 32
IDS = [f"{number:032x}" for number in range(5)]
WHEN = datetime(2030, 1, 1, tzinfo=UTC)


def read(path: Path) -> Campaign:
    campaign = Campaign(ClickatellRest(base_url="https://127.0.0.1", token="token-of-a-test"))
    read_manifest(campaign, path)
    return campaign


def written(folder: Path, **columns: Any) -> Path:
    path = folder / "campaign.PARQUET"
    pq.write_table(pa.table(columns), path)
    return path


def test_ids_and_dates_are_read_and_other_columns_ignored(tmp_path: Path) -> None:
    campaign = read(written(tmp_path, to=["x", "y"], message_id=[ONE, TWO], scheduled_at=[WHEN, None]))
    assert campaign.ids == [ONE, TWO]
    assert list(campaign.due) == [WHEN.timestamp(), UNDATED]


def test_a_date_may_be_text(tmp_path: Path) -> None:
    assert (
        read(written(tmp_path, message_id=[ONE], scheduled_at=["2030-01-01T00:00:00Z"])).due[0]
        == WHEN.timestamp()
    )


def test_rows_that_name_no_message_are_rejected_by_their_number(tmp_path: Path) -> None:
    campaign = read(written(tmp_path, message_id=[ONE, None, "not one!", "nan"]))
    assert campaign.ids == [ONE]
    assert [row.position for row in campaign.rejected] == ["row 2", "row 3", "row 4"]


def test_numbers_are_rejected_rather_than_guessed(tmp_path: Path) -> None:
    assert "quote it" in read(written(tmp_path, message_id=[12345])).rejected[0].reason


def test_many_batches_are_read_to_the_end(tmp_path: Path) -> None:
    campaign = read(written(tmp_path, message_id=[f"{n:032x}" for n in range(50_001)]))
    assert len(campaign) == 50_001


def test_a_missing_column_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column message_id"):
        read(written(tmp_path, id=[ONE]))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"message_id\n" + ONE.encode()])
def test_what_is_no_parquet_file_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "campaign.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not a Parquet file"):
        read(path)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="can't be opened"):
        read(tmp_path / "campaign.parquet")


def test_rows_that_can_not_be_read_leave_a_rejected_row(tmp_path: Path) -> None:
    path = written(tmp_path, message_id=[f"{n:032x}" for n in range(1000)])
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"\0" * 2000 + whole[2200:])
    campaign = read(path)
    assert campaign.rejected[-1].position == "the last rows"
    assert "breaks off" in campaign.rejected[-1].reason


def test_without_pyarrow_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, message_id=[ONE])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"\[parquet\]"):
        read(path)


@pytest.mark.parametrize("twice", ["message_id", "scheduled_at"])
def test_a_column_that_comes_twice_is_a_clear_error_and_never_a_guess(twice: str, tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table([pa.array([ONE])] * 3, names=["message_id", "scheduled_at", twice]), path)
    with pytest.raises(SourceError, match=f"{twice} more than once"):
        read(path)


def test_the_column_as_it_is_spelled_goes_before_one_in_capitals(tmp_path: Path) -> None:
    assert read(written(tmp_path, message_id=[ONE], Message_ID=[TWO])).ids == [ONE]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param(2**62, pa.timestamp("us", "UTC"), id="a year that Python does not know"),
        pytest.param(2**30, pa.timestamp("us", "Mars/Phobos"), id="a zone that nobody knows"),
    ],
)
def test_a_date_that_python_can_not_express_holds_up_no_message(
    value: int, kind: pa.DataType, tmp_path: Path
) -> None:
    campaign = read(written(tmp_path, message_id=[ONE, TWO], scheduled_at=pa.array([value, None], kind)))
    assert (campaign.ids, campaign.undated) == ([ONE, TWO], 2)


def test_an_id_that_is_no_text_at_all_is_rejected_by_its_row(tmp_path: Path) -> None:
    offsets = pa.array([0, 32, 33], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(ONE.encode() + b"\xff")])
    campaign = read(written(tmp_path, message_id=broken))
    assert (campaign.ids, [row.position for row in campaign.rejected]) == ([ONE], ["row 2"])


# Found by fuzzing: a column's statistics are of another size than they say. Where pyarrow is asked for the metadata of that
# column, its C++ throws what its Python does not expect, and that ends the process.
STATISTICS_OF_ANOTHER_SIZE = base64.b64decode(
    "UEFSMRUEFRQVFAAVFRJMBAAAAQAAAGEBAAAAYhUAFRIVEiwVBBUQFQYVBhw2ACgBYhgBYRERAAAAAgAAAAQBAQMCFQQVGBUYTBUE"
    "FQASAAAEAAAAMjAzMAAAAAAVABUSFRIsFQQVEBUGFQYcNgAoBDIwKTMwGAAREQAAAAIAAAAEAQEDAhUEGTw1ABgGc2NoZW1hFQQA"
    "FQwlAhgKTWVzc2FnZV9JRCUATBwAAAAVDCUKGAxzY2hzZHVsZWRfYXQlAEwcAAAAFgQZHBksJgAcFQwZNQAGFBkYCk1lc3NhZ2Vf"
    "SUQVABYEFnwWfCY4JggcNgAoAWIYAWEREQAZLBUEFQAVAgAVABUQFQIAPBYEGQYZJgAEAAAAJgAcFQwZNQAGEBkYDHNjaGVkdWxl"
    "ZF9hdBUAFgQWhAEWhAEmuAEmhAEcNgAoBDIwMzAYABERABksFQQVABUCABUAFRAVAgA8FggZBhkmAAQAAAAWgAIWBCYIFoACABkc"
    "GAxBUlJPVzpzY2hlbWEYrAIvLy8vLzlnQUFBQVFBQUFBQUFBS0FBd0FCZ0FGQUFnQUNnQUFBQUFCQkFBRUFBQUFjUC8vL3dRQUFB"
    "QUNBQUFBV0FBQUFCUUFBQUFRQUJRQUNBQUdBQWNBREFBQUFCQUFFQUFBQUFBQUFRVVFBQUFBSUFBQUFBUUFBQUFBQUFBQURBQUFB"
    "SE5qYUdWa2RXeGxaRjloZEFBQUFBQ2MvLy8vRUFBWUFBZ0FCZ0FIQUF3QUVBQVVBQkFBQUFBQUFBRUZGQUFBQUVnQUFBQWtBQUFB"
    "QkFBQUFBQUFBQUFLQUFBQVRXVnpjMkZuWlY5SlJBQUFDQUFJQUFBQUJBQUlBQUFBREFBQUFBZ0FEQUFJQUFjQUNBQUFBQUFBQUFF"
    "Z0FBQUFCQUFFQUFRQUFBQT0AGCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI3LjAuMRksHAAAHAAAAFsCAABQQVIx"
)
READ = """
import sys
from pathlib import Path
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
try:
    read_manifest(Campaign(ClickatellRest(token="t")), Path(sys.argv[1]))
except SourceError:
    pass
"""


def test_damaged_statistics_of_a_column_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    path.write_bytes(STATISTICS_OF_ANOTHER_SIZE)
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_date_beyond_any_calendar_costs_its_message_nothing_but_the_date(tmp_path: Path) -> None:
    far = pa.table(
        {"message_id": IDS, "scheduled_at": pa.array([2**50, *range(len(IDS) - 1)], pa.timestamp("s", "UTC"))}
    )
    pq.write_table(far, tmp_path / "m.parquet")
    campaign = read(tmp_path / "m.parquet")
    assert list(campaign.ids) == IDS
    assert list(campaign.due) == [UNDATED, *range(len(IDS) - 1)]


def test_a_time_zone_that_nobody_knows_costs_the_dates_only(tmp_path: Path) -> None:
    dates = pa.array(range(len(IDS)), pa.timestamp("us", "Nowhere/Atall"))
    pq.write_table(pa.table({"message_id": IDS, "scheduled_at": dates}), tmp_path / "m.parquet")
    assert list(read(tmp_path / "m.parquet").ids) == IDS


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path: Path) -> None:
    raw = [pa.py_buffer(b"\0\0\0\0\x02\0\0\0\x05\0\0\0"), pa.py_buffer(b"\xff\xfeabc")]
    ids = pa.Array.from_buffers(pa.string(), 2, [None, *raw])
    pq.write_table(pa.table({"message_id": ids}), tmp_path / "m.parquet")
    campaign = read(tmp_path / "m.parquet")
    assert list(campaign.ids) == ["abc"]
    assert [row.position for row in campaign.rejected] == ["row 1"]


def test_the_same_column_twice_and_columns_of_lists_are_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    ids = pa.array(IDS)
    pq.write_table(pa.table([ids, ids], names=["message_id", "message_id"]), path)
    with pytest.raises(SourceError, match="the column message_id more than once"):
        read(path)
    pq.write_table(pa.table({"message_id": [IDS]}), path)
    with pytest.raises(SourceError, match="holds lists or records"):
        read(path)


def test_a_long_word_that_every_row_points_at_is_not_spelled_out_for_each(tmp_path: Path) -> None:
    rows = 20_000
    word = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["a" * 1_000_000])
    pq.write_table(pa.table({"message_id": word}), tmp_path / "m.parquet", compression="zstd")
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)  # the usual one's peak is that of whatever ran before
    pa.set_memory_pool(counted)
    try:
        campaign = read(tmp_path / "m.parquet")
    finally:
        pa.set_memory_pool(usual)
    assert len(campaign.rejected) == rows
    assert 0 < counted.max_memory() < 100 << 20


def test_a_column_that_unpacks_to_more_than_any_list_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MOST_COLUMN_BYTES", 50)
    with pytest.raises(SourceError, match="in its row group 1 a column unpacks to"):
        read(written(tmp_path, message_id=IDS))
