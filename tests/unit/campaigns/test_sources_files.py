from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns import manifest_lines, messages
from airflow_provider_smscancel.campaigns.manifest_lines import shown_path
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError, SourceUnavailable
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
from airflow_provider_smscancel.gateways.esendex import EsendexUs

# Not in order, so that gzip can't pack them away into a handful of bytes.
IDS = [f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}" for number in range(3000)]
ONE, TWO = IDS[:2]
CSV = ("message_id,name\n" + "".join(f"{message_id},x\n" for message_id in IDS)).encode()
JSONL = "".join(json.dumps({"message_id": message_id}) + "\n" for message_id in IDS).encode()


def new() -> Campaign:
    return Campaign(ClickatellRest(token="t"))


def read(path: object) -> Campaign:
    campaign = new()
    read_manifest(campaign, path)
    return campaign


@pytest.fixture
def read_bytes(tmp_path):
    def read_bytes(content: bytes, name: str = "m.jsonl") -> Campaign:
        (tmp_path / name).write_bytes(content)
        return read(tmp_path / name)

    return read_bytes


class Faulty(io.RawIOBase):
    """Hands out its content in small pieces, then fails."""

    def __init__(self, content: bytes, error: Exception, piece: int = 7) -> None:
        self._left = io.BytesIO(content)
        self._error = error
        self._piece = piece

    def read(self, size: int = -1) -> bytes:
        found = self._left.read(self._piece)
        if not found:
            raise self._error
        return found


class Store:
    """A path whose file is somewhere else."""

    def __init__(self, name: str, file: object) -> None:
        self.name = name
        self._file = file

    def __str__(self) -> str:
        return f"s3://user:secret@bucket/{self.name}?signature=secret"

    def open(self, mode: str) -> object:
        if isinstance(self._file, Exception):
            raise self._file
        return self._file


# -- names and opening ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", CSV),
        ("M.CSV", CSV),
        ("m.csv.gz", gzip.compress(CSV)),
        ("m.jsonl", JSONL),
        ("m.JsonL.GZ", gzip.compress(JSONL)),
    ],
)
def test_the_name_tells_the_format(read_bytes, name, content):
    campaign = read_bytes(content, name)
    assert campaign.ids == IDS
    assert not campaign.rejected


@pytest.mark.parametrize(
    "name", ["m.txt", "m.json", "m.parquet.gz", "m", "m.gz", "csv", "m.csv.zip", "m.csv.gz.gz"]
)
def test_another_name_is_an_error_that_names_what_is_supported(read_bytes, name):
    with pytest.raises(SourceError, match=r"\.csv, \.csv\.gz, \.jsonl, \.jsonl\.gz or \.parquet"):
        read_bytes(CSV, name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.csv: can't be opened \(FileNotFoundError: No such file"):
        read(tmp_path / "gone.csv")


def test_a_folder_is_no_manifest(tmp_path):
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(SourceError, match="IsADirectoryError"):
        read(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("https://host/?signature=secret"), "PermissionError"),
        (RuntimeError("secret"), "RuntimeError"),
        (ImportError("secret", name="s3fs"), "the library s3fs is not installed"),
    ],
)
def test_whatever_a_store_raises_is_told_without_its_secrets(error, said):
    for store in (Store("m.jsonl", error), Store("m.jsonl", Faulty(b"", error))):
        # What may have passed by the next try is told apart: Airflow's retry is worth it.
        kind = SourceUnavailable if isinstance(error, RuntimeError) else SourceError
        with pytest.raises(kind, match=said) as caught:
            read(store)
        assert "s3://bucket/m.jsonl: " in str(caught.value)
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (Path("/data/a@b?c.csv"), "/data/a@b?c.csv"),
        ("s3://conn@bucket/a/m.csv", "s3://bucket/a/m.csv"),
        ("s3://key:sec/ret@bucket/m.csv", "s3://bucket/m.csv"),
        ("https://u:p@ss@host/m.csv?sig=x", "https://host/m.csv"),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("file:///a\nb.csv", "file:///a\\nb.csv"),
    ],
)
def test_a_path_is_shown_without_what_may_be_secret(path, shown):
    assert shown_path(path) == shown


# -- JSON Lines -------------------------------------------------------------------------------------------------------


def test_json_lines_are_read_and_bad_ones_rejected_by_their_line(read_bytes):
    lines = [
        f'{{"message_id": "{ONE}", "scheduled_at": "2031-05-01T12:00:00Z", "to": "x"}}',
        "",
        "{",
        f'["{TWO}"]',
        f'"{TWO}"',
        f'{{"id": "{TWO}"}}',
        '{"message_id": 12345}',
        '{"message_id": null}',
        '{"message_id": "None"}',
        '{"message_id": "+44 7700 900123"}',
        "[" * 100_000,
        '{"message_id": ' + "9" * 5000 + "}",
        "   ",
        f'  {{"message_id": "{TWO}", "scheduled_at": 5}}',
    ]
    campaign = read_bytes("\r\n".join(lines).encode())
    assert campaign.ids == [ONE, TWO]
    assert campaign.undated == 1
    assert [row.position for row in campaign.rejected] == [f"line {number}" for number in range(3, 13)]
    assert "quote it" in campaign.rejected[4].reason
    assert not any("7700" in row.reason for row in campaign.rejected)


def test_an_empty_json_lines_file_is_an_empty_campaign(read_bytes):
    assert read_bytes(b"").total == 0
    assert read_bytes(b"\n\n").total == 0


def test_json_lines_survive_a_byte_order_mark_and_invalid_bytes(read_bytes):
    campaign = read_bytes(
        b'\xef\xbb\xbf{"message_id": "%s", "a": "\xff"}\n{"message_id": "a\xff"}\n' % ONE.encode()
    )
    assert campaign.ids == [ONE]
    assert [row.position for row in campaign.rejected] == ["line 2"]


@pytest.mark.parametrize(
    ("most", "some"), [(b"\n", b"\r"), (b"\r", b"\n"), (b"\r\n", b"\r"), (b"\r", b"\r\n")]
)
def test_json_lines_with_mixed_line_ends_lose_no_row(read_bytes, most, some):
    rows = JSONL.splitlines()[:9]
    assert read_bytes(most.join([*rows[:3], some.join(rows[3:7]), *rows[7:]])).ids == IDS[:9]


def test_an_overlong_json_line_is_skipped(read_bytes):
    campaign = read_bytes(b'{"message_id": "%s", "a": "%s"}\n' % (ONE.encode(), b"x" * (2 << 20)) + JSONL)
    assert campaign.ids == IDS
    assert [row.position for row in campaign.rejected] == ["line 1"]


# -- what is not text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(read_bytes, name, encoding):
    content = (JSONL if "jsonl" in name else CSV).decode().encode(encoding)
    with pytest.raises(SourceError, match="is UTF-16"):
        read_bytes(gzip.compress(content) if name.endswith("gz") else content, name)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(gzip.compress(CSV), "gzip"), (b"PK\x03\x04\x14\n", "spreadsheet"), (b"PAR1\x15\n", "Parquet")],
)
def test_what_is_no_text_is_named(read_bytes, name, content, said):
    with pytest.raises(SourceError, match=said):
        read_bytes(content, name)


# -- gzip, and files that break off -----------------------------------------------------------------------------------


def assert_broken_off(campaign: Campaign, first_line: int) -> None:
    assert campaign.ids == IDS[: len(campaign)]
    assert len(campaign.rejected) == 1
    assert campaign.rejected[0].position == f"line {len(campaign) + first_line}"
    assert "breaks off here" in campaign.rejected[0].reason
    assert "not read" in campaign.rejected[0].reason


@pytest.mark.parametrize("name", ["m.csv.gz", "m.jsonl.gz"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_of_a_truncated_gzip_file_what_was_read_counts_and_the_rest_is_missed(read_bytes, name, share):
    packed = gzip.compress(JSONL if "jsonl" in name else CSV)
    campaign = read_bytes(packed[: int(len(packed) * share)], name)
    assert_broken_off(campaign, 1 if "jsonl" in name else 2)
    assert (share - 0.1) * len(IDS) < len(campaign) < len(IDS)


def test_a_gzip_file_without_its_last_bytes_has_all_ids_and_still_is_not_whole(read_bytes):
    campaign = read_bytes(gzip.compress(CSV)[:-1], "m.csv.gz")
    assert len(campaign) == len(IDS)
    assert_broken_off(campaign, 2)


def test_of_a_damaged_gzip_file_what_stands_before_the_damage_counts(read_bytes):
    packed = bytearray(gzip.compress(CSV))
    packed[-8] ^= 1  # the checksum
    campaign = read_bytes(bytes(packed), "m.csv.gz")
    assert len(campaign) == len(IDS)
    assert_broken_off(campaign, 2)


def test_damage_in_the_middle_of_gzip_data_costs_what_follows_only(read_bytes):
    packer = zlib.compressobj(wbits=31)
    half = len(CSV) // 2
    head = packer.compress(CSV[:half]) + packer.flush(zlib.Z_SYNC_FLUSH)
    campaign = read_bytes(head + b"\xff" * 1000, "m.csv.gz")
    assert len(campaign) == CSV[:half].count(b"\n") - 1
    assert_broken_off(campaign, 2)


def test_gzip_members_follow_each_other_padded_with_zeros(read_bytes):
    packed = gzip.compress(CSV[:50_000]) + b"\0" * 300 + gzip.compress(CSV[50_000:]) + b"\0\0"
    campaign = read_bytes(packed, "m.csv.gz")
    assert campaign.ids == IDS
    assert not campaign.rejected


def test_garbage_after_gzip_data_is_not_passed_over(read_bytes):
    campaign = read_bytes(gzip.compress(CSV) + b"garbage", "m.csv.gz")
    assert len(campaign) == len(IDS)
    assert_broken_off(campaign, 2)


@pytest.mark.parametrize("content", [CSV, b"x", b"\x1fx"])
def test_a_gz_that_is_no_gzip_is_an_error(read_bytes, content):
    with pytest.raises(SourceError, match="is no gzip file"):
        read_bytes(content, "m.csv.gz")


def test_an_empty_gz_is_an_error(read_bytes):
    with pytest.raises(SourceError, match="is empty"):
        read_bytes(b"", "m.csv.gz")


def test_a_csv_that_breaks_off_in_its_header_is_an_error(read_bytes):
    with pytest.raises(SourceError, match="breaks off"):
        read_bytes(gzip.compress(CSV)[:11], "m.csv.gz")


@pytest.mark.parametrize("error", [OSError(5, "x"), TimeoutError(), RuntimeError("a store's own")])
def test_an_error_in_the_middle_of_reading_ends_the_list_visibly(error):
    campaign = read(Store("m.csv", Faulty(CSV[:1000], error)))
    assert_broken_off(campaign, 2)
    assert len(campaign) == CSV[:1000].count(b"\n") - 1
    assert type(error).__name__ in campaign.rejected[0].reason
    assert "store's own" not in campaign.rejected[0].reason


def test_the_piece_of_a_line_before_a_break_is_not_taken_for_an_id():
    campaign = read(Store("m.csv", Faulty(CSV[:40], OSError())))
    assert campaign.ids == []
    assert [row.position for row in campaign.rejected] == ["line 2"]


def test_the_last_line_needs_no_line_end(read_bytes):
    assert read_bytes(CSV.rstrip(), "m.csv").ids == IDS


def test_a_break_within_an_open_quote_gives_back_the_lines_after_it():
    content = b'message_id,a\n%s,"x\n%s,y\nabc' % (ONE.encode(), TWO.encode())
    campaign = read(Store("m.csv", Faulty(content, OSError())))
    assert campaign.ids == [TWO]
    assert [row.position for row in campaign.rejected] == ["line 2", "line 4"]


def test_a_file_is_closed_whatever_happens():
    for content in (CSV, b"nothing\n"):
        file = io.BytesIO(content)
        with contextlib.suppress(SourceError, SourceUnavailable):
            read(Store("m.csv", file))
        assert file.closed


def test_a_store_that_complains_when_closing_costs_nothing():
    class Complains(io.BytesIO):
        def close(self) -> None:
            raise OSError("too late")

    assert read(Store("m.csv", Complains(CSV))).ids == IDS


@pytest.mark.parametrize("repeated", [1, 40])
def test_of_gzip_data_cut_off_anywhere_every_whole_line_counts(monkeypatch, repeated):
    monkeypatch.setattr(manifest_lines, "PIECE_BYTES", 50)
    packed = gzip.compress(
        b"".join([b'{"message_id": "%s"}\n' % (ONE[:8].encode() * 4)] * repeated + [JSONL[:400]])
    )
    for end in range(12, len(packed)):
        campaign = read(Store("m.jsonl.gz", io.BytesIO(packed[:end])))
        unpacked = zlib.decompressobj(wbits=31).decompress(packed[:end])
        assert len(campaign) + campaign.duplicates == unpacked.count(b"\n")
        assert len(campaign.rejected) == 1


# -- bounds -----------------------------------------------------------------------------------------------------------


class Forgetful(Campaign):
    """Keeps no rejected rows: what they take up is not the reader's doing."""

    def reject(self, position: str, reason: str) -> None:
        pass


@pytest.mark.parametrize("filler", [b"x" * 64, b"x" * 63 + b"\n", b'"' * 63 + b"\n", b'"x\n' + b"y" * 61])
def test_a_packed_bomb_is_read_at_a_bounded_cost(tmp_path, filler):
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(b"message_id\n")
    block = filler * ((1 << 20) // len(filler))
    for _ in range(12):
        packed += packer.compress(block)
    path = tmp_path / "m.csv.gz"
    path.write_bytes(packed + packer.flush())
    campaign = Forgetful(EsendexUs(base_url="https://messaging.esendex.us"))
    tracemalloc.start()
    try:
        read_manifest(campaign, path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


# -- anything at all --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=200) | st.text('message_id,;"\n\r\t{}:[] \0', max_size=100).map(str.encode),
    st.sampled_from([b"", b"message_id,a\n", b'{"message_id": "', b'message_id;"a\n', b"\x1f\x8b\x08"]),
    st.sampled_from(["m.csv", "m.jsonl", "m.csv.gz", "m.jsonl.gz"]),
    st.integers(1, 300),
    st.booleans(),
)
def test_arbitrary_bytes_are_read_or_are_a_source_error(content, start, name, piece, pack):
    content = start + content
    if pack:
        content = gzip.compress(content)
    with contextlib.suppress(SourceError, SourceUnavailable):
        campaign = read(Store(name, Faulty(content, OSError(), piece)))
        assert "breaks off" in campaign.rejected[-1].reason


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.booleans())
def test_how_a_file_is_cut_into_pieces_changes_nothing(piece, line_end, pack):
    content = CSV[:3000].replace(b"\n", line_end)

    class Pieces(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(piece)

    packed = gzip.compress(content) if pack else content
    campaign = read(Store("m.csv.gz" if pack else "m.csv", Pieces(packed)))
    assert campaign.ids[:-1] == IDS[: CSV[:3000].count(b"\n") - 1]
    assert not campaign.rejected


def test_a_line_end_cut_in_two_is_one_line_end():
    content = f'message_id\r{ONE}\r\n"{TWO}"\r'.encode()

    class Pieces(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(1)

    assert read(Store("m.csv", Pieces(content))).ids == [ONE, TWO]


def test_a_return_at_the_end_of_a_piece_ends_an_overlong_line_too():
    start = f"message_id\r{ONE}\r"
    content = start + "y" * (8 * manifest_lines.PIECE_BYTES - len(start) - 1) + f"\r{TWO}\r"
    campaign = read(Store("m.csv", io.BytesIO(content.encode())))
    assert campaign.ids == [ONE, TWO]
    assert [row.position for row in campaign.rejected] == ["line 3"]


@pytest.mark.parametrize("second", ["message_id", "message\\u005fid"])
def test_an_object_that_names_two_messages_is_rejected_and_neither_is_lost_unseen(read_bytes, second):
    campaign = read_bytes(f'{{"message_id": "{"a" * 32}", "{second}": "{"b" * 32}"}}\n'.encode())
    assert not campaign.ids
    assert [row.position for row in campaign.rejected] == ["line 1"]
    assert "more than once" in campaign.rejected[0].reason


def test_what_another_column_names_twice_does_not_matter(read_bytes):
    line = f'{{"message_id": "{"a" * 32}", "x": {{"message_id": 1, "message_id": 2}}, "y": 1, "y": 2}}'
    assert read_bytes(line.encode()).ids == ["a" * 32]


# -- what never ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl", "m.csv.gz", "m.parquet"])
def test_a_pipe_or_a_device_is_no_manifest_and_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SourceError, match="is no file but a device, a pipe or a socket"):
        read(tmp_path / name)
    (tmp_path / f"link-{name}").symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is no file but a device, a pipe or a socket"):
        read(tmp_path / f"link-{name}")


def test_a_packed_file_that_unpacks_a_thousandfold_is_refused(tmp_path):
    path = tmp_path / "m.csv.gz"
    path.write_bytes(gzip.compress(b"message_id\n" + bytes(20 << 20)))
    with pytest.raises(SourceError, match="unpacks to more than 500 times its size"):
        read(path)


def test_rows_that_name_nothing_do_not_fill_the_memory(read_bytes, monkeypatch):
    monkeypatch.setattr(messages, "MOST_REJECTED", 3)
    with pytest.raises(ValueError, match=r"More than 3 rows name no message \(line 2: .*\), up to line 5"):
        read_bytes(b"message_id\n" + b"!\n" * 9, "m.csv")
    assert len(read_bytes(b"message_id\n" + b"!\n" * 3, "m.csv").rejected) == 3


def test_rows_that_repeat_one_message_have_an_end(read_bytes, monkeypatch):
    monkeypatch.setattr(messages, "MOST_DUPLICATES", 3)
    with pytest.raises(
        ValueError, match="More than 3 rows name a message that an earlier row has named, up to line 6"
    ):
        read_bytes(b"message_id\n" + b"a\n" * 9, "m.csv")
