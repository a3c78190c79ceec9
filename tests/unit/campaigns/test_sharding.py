"""Splitting a manifest, so that several tasks can stop a campaign side by side."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from support.scripted import hex_id

from airflow_provider_smscancel.campaigns import split_manifest
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sharding import MOST_SHARDS
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

IDS = [hex_id(number) for number in range(200)]


def manifest(folder: Path, lines: list[str]) -> Path:
    path = folder / "campaign.csv"
    path.write_text("\n".join(["message_id,scheduled_at", *lines, ""]))
    return path


def rows_of(shard: str) -> list[dict[str, str]]:
    with Path(shard).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_message_is_in_one_shard_and_always_in_the_same(tmp_path: Path) -> None:
    forwards = split_manifest(str(manifest(tmp_path, IDS)), 4, str(tmp_path / "some" / "folder"))
    assert [Path(shard).name for shard in forwards] == [f"shard-{n:04d}-of-0004.csv" for n in range(4)]
    found = [[row["message_id"] for row in rows_of(shard)] for shard in forwards]
    assert sorted(each for some in found for each in some) == sorted(IDS)
    assert all(30 < len(some) < 70 for some in found)
    backwards = split_manifest(manifest(tmp_path, IDS[::-1]), 4, tmp_path / "other")
    assert [sorted(row["message_id"] for row in rows_of(shard)) for shard in backwards] == [
        sorted(some) for some in found
    ]


def test_spellings_of_one_id_fall_together_and_none_is_left_out(tmp_path: Path) -> None:
    # Whether they are one id is for the one who cancels to say: of client ids each is another, also of such.
    ids = [f"{number:032x}" for number in range(0xA0, 0xB0)]
    lines = [*ids, *(each.upper() for each in ids), ids[0]]
    shards = split_manifest(manifest(tmp_path, lines), 4, tmp_path)
    found = [[row["message_id"] for row in rows_of(shard)] for shard in shards]
    assert sorted(each for some in found for each in some) == sorted({*lines})
    for some in found:
        assert {each.lower() for each in some} <= {*some}
        assert {each.lower().upper() for each in some} <= {*some}


def test_each_shard_is_in_order_of_urgency(tmp_path: Path) -> None:
    lines = [
        f"{IDS[0]},2030-01-01T10:00:00Z",
        f"{IDS[1]},2030-01-01T09:00:00+01:00",
        IDS[2] + ",",
        f"{IDS[3]},2030-01-01T09:30:00Z",
    ]
    (shard,) = split_manifest(manifest(tmp_path, lines), 1, tmp_path)
    assert [row["message_id"] for row in rows_of(shard)] == [IDS[2], IDS[1], IDS[3], IDS[0]]
    assert rows_of(shard)[1]["scheduled_at"] == "2030-01-01T08:00:00+00:00"


def test_rows_that_name_no_message_are_counted_in_the_first_shard(tmp_path: Path) -> None:
    shards = split_manifest(manifest(tmp_path, [IDS[0], " ,2030-01-01T09:00:00Z"]), 2, tmp_path)
    counted = []
    for shard in shards:
        campaign = Campaign(ClickatellRest(token="t"))
        read_manifest(campaign, Path(shard))
        counted.append((len(campaign), len(campaign.rejected)))
    assert counted[0][1] == 1
    assert counted[1][1] == 0
    assert sum(good for good, _ in counted) == 1


@pytest.mark.parametrize("shards", [0, -1, MOST_SHARDS + 1, True, 2.0, "2", None])
def test_a_wrong_number_of_shards_is_refused(shards: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shards must be a whole number from 1 to 1000"):
        split_manifest(manifest(tmp_path, IDS), shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "folder", "said"),
    [
        ("nowhere.csv", "out", "can't be opened"),
        ("campaign.txt", "out", "its name must end with"),
        ("nosuch://bucket/campaign.csv", "out", r"nosuch:// can not be opened here"),
        ("campaign.csv", "nosuch://bucket/out", r"nosuch:// can not be opened here"),
        ("sftp://anna:sesame@host/campaign.csv", "out", r"sftp://host/campaign.csv: only Airflow knows"),
    ],
)
def test_what_can_not_be_used_is_refused_before_anything_is_written(
    path: str, folder: str, said: str, tmp_path: Path
) -> None:
    manifest(tmp_path, IDS)
    absolute = [each if "://" in each else str(tmp_path / each) for each in (path, folder)]
    with pytest.raises(ValueError, match=said) as raised:
        split_manifest(absolute[0], 2, absolute[1])
    assert "sesame" not in str(raised.value)
    assert [each.name for each in tmp_path.iterdir()] == ["campaign.csv"]


def test_a_url_without_a_connection_is_opened(tmp_path: Path) -> None:
    manifest(tmp_path, IDS[:3])
    (shard,) = split_manifest(f"file://{tmp_path}/campaign.csv", 1, f"file://{tmp_path}/out")
    assert shard == f"file://{tmp_path}/out/shard-0000-of-0001.csv"
    assert (tmp_path / "out" / "shard-0000-of-0001.csv").read_text().count("\n") == 4


def test_half_a_manifest_is_not_split(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise TimeoutError
            return super().read(100)

    class Store:
        name = "campaign.csv"

        def open(self, mode: str) -> Any:
            return Failing(manifest(tmp_path, IDS).read_bytes())

    with pytest.raises(
        SourceUnavailable, match=r"was read to line \d+ only \(TimeoutError.*Nothing was written"
    ):
        split_manifest(Store(), 2, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bad", ["\\ud800", "a\\nb", "a\\rb", "a\\u0000b"])
def test_an_id_that_can_not_be_written_holds_up_no_other(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    path.write_text(f'{{"message_id": "{bad}"}}\n{{"message_id": "{IDS[0]}"}}\n')
    shards = split_manifest(path, 1, tmp_path / "shards")
    assert [(row["message_id"], row["scheduled_at"]) for row in rows_of(shards[0])] == [
        ("", "line 1"),
        (IDS[0], ""),
    ]


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_a_date_beyond_the_calendar_holds_up_no_split(date: str, tmp_path: Path) -> None:
    shards = split_manifest(manifest(tmp_path, [f"{IDS[0]},{date}"]), 1, tmp_path / "shards")
    assert rows_of(shards[0]) == [{"message_id": IDS[0], "scheduled_at": ""}]
