"""What people hand over: manifests and ids as text. Nothing is taken for an id that is none, and no row is lost."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError, add_ids
from airflow_provider_smscancel.gateways.base import IdType
from torture.fuzzing import corpus
from torture.fuzzing.target import Target, insist

NAMES = ("m.csv", "m.jsonl", "m.csv.gz", "m.jsonl.gz")
PIECES = (256 * 1024, 256 * 1024, 7, 64)


class File:
    """A file in memory, as a path of which only so much is read at a time."""

    def __init__(self, name: str, content: bytes, piece: int = 256 * 1024) -> None:
        self.name = name
        self._content = content
        self._piece = piece

    def open(self, _mode: str) -> IO[Any]:
        """Open it."""
        if self._piece >= len(self._content):
            return io.BytesIO(self._content)
        return _Slow(self._content, self._piece)


class _Slow(io.BytesIO):
    def __init__(self, content: bytes, piece: int) -> None:
        super().__init__(content)
        self._piece = piece

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._piece if size is None or size < 0 else min(size, self._piece))


def _check_ids(campaign: Campaign) -> None:
    for message_id in campaign.ids:
        insist(corpus.REST.id_error(message_id, IdType.MESSAGE_ID) is None, "took what is no id for one")
    insist(len(campaign.due) == len(campaign), "lost track of a date")
    insist(all(row.reason.isprintable() for row in campaign.rejected), "a reason that is no line of text")


def _feed_manifest(data: bytes) -> None:
    """Read a manifest: the first byte says which name it has, the second how much is read at a time."""
    name, piece, content = *data[:2].ljust(2, b"\0"), data[2:]
    campaign = corpus.campaign()
    name, piece = NAMES[name % len(NAMES)], PIECES[piece % len(PIECES)]
    if name.endswith(".gz") and not content.startswith(b"\x1f\x8b"):
        content = corpus.gzipped(content)
    try:
        read_manifest(campaign, File(name, content, piece))
    except SourceError:
        return
    _check_ids(campaign)
    insist(campaign.total + campaign.duplicates <= _most_rows(content), "more rows than lines")
    if name == "m.jsonl":
        _check_no_line_is_lost(campaign, content)
    elif name == "m.csv":
        _check_no_row_is_lost(campaign, content)


def _most_rows(content: bytes) -> int:
    """Count the lines at most, and one row for a file that breaks off; of what is packed there is no telling."""
    return 10**9 if content.startswith(b"\x1f\x8b") else 2 + len(re.findall(rb"[\r\n]", content))


def _check_no_line_is_lost(campaign: Campaign, content: bytes) -> None:
    """Every line that holds an object with one usable id is taken up."""
    if b"\r" in content:
        return
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        pairs: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            pairs = json.loads(line.decode("utf-8", "replace"), object_pairs_hook=list)
        named = [value for name, value in _pairs(pairs) if name == "message_id"]
        if len(named) == 1 and isinstance(named[0], str) and re.fullmatch("[0-9a-f]{32}", named[0]):
            insist(campaign.index_of(named[0]) is not None, "lost track of a message")
        elif len(set(map(str, named))) > 1:
            usable = [each for each in named if isinstance(each, str) and re.fullmatch("[0-9a-f]{32}", each)]
            insist(not usable or campaign.rejected, "two ids on a line, and nobody was told")


def _check_no_row_is_lost(campaign: Campaign, content: bytes) -> None:
    """Every row as wide as the header whose cell in the right column is an id is taken up; quotes are not looked into."""
    lines = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    if b'"' in content or b"\r" in content or not lines:
        return
    for delimiter in (b",", b";", b"\t"):
        names = lines[0].split(delimiter)
        if names.count(b"message_id") != 1:
            continue
        at = names.index(b"message_id")
        for cells in (line.split(delimiter) for line in lines[1:]):
            if len(cells) == len(names) and re.fullmatch(b"[0-9a-f]{32}", cells[at]):
                insist(campaign.index_of(cells[at].decode()) is not None, "lost track of a message")
        return


def _pairs(found: object) -> list[tuple[str, object]]:
    if not isinstance(found, list):
        return []
    return [each for each in found if isinstance(each, tuple)]


def _manifests() -> Iterator[bytes]:
    rows = [
        (corpus.CLICKATELL_ID, "2030-01-01T00:00:00+00:00"),
        ("b" * 32, ""),
        ("c1", "x"),
        ("d-_2", "0001-01-01"),
    ]
    for delimiter in (",", ";", "\t"):
        for end in ("\n", "\r\n", "\r"):
            lines = [("message_id", "scheduled_at"), *rows, ('"quoted"', '"a ""b"""'), ('"open', "")]
            yield from (
                bytes((0, piece)) + end.join(map(delimiter.join, lines)).encode() for piece in range(3)
            )
    objects = [json.dumps({"message_id": each, "scheduled_at": at, "x": [1]}) for each, at in rows]
    yield from (bytes((1, piece)) + "\n".join(objects).encode() for piece in range(3))
    yield from (bytes((kind, 0)) + corpus.gzipped("\n".join(objects).encode()) for kind in (2, 3))
    yield bytes((2, 0)) + b"message_id\n" + b"\n".join(each.encode() for each, _ in rows)
    yield from (bytes((kind, 0)) + bite for kind in range(4) for bite in corpus.BITES)


def _feed_parquet(data: bytes) -> None:
    campaign = corpus.campaign()
    with contextlib.suppress(SourceError):
        read_manifest(campaign, File("m.parquet", data))
    _check_ids(campaign)


def _parquets() -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    dates = pa.array([1_893_456_000_000_000, None], pa.timestamp("us", "UTC"))
    for table in (
        pa.table({"message_id": [corpus.CLICKATELL_ID, None], "scheduled_at": dates, "x": [1, 2]}),
        pa.table({"Message_ID": pa.array(["a", "b"]).dictionary_encode(), "scheduled_at": ["2030", ""]}),
        pa.table({"message_id": pa.array([b"a", b"b"]), "y": [[1], []]}),
    ):
        for compression in ("none", "snappy"):
            file = io.BytesIO()
            pq.write_table(table, file, compression=compression)
            yield file.getvalue()


def _feed_ids(data: bytes) -> None:
    campaign = corpus.campaign()
    text = data.decode("utf-8", "surrogatepass" if data[:1] == b"\0" else "replace") if _is_text(data) else ""
    with contextlib.suppress(SourceError):
        add_ids(campaign, text)
    _check_ids(campaign)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data[:1] != b"\0"
    return True


def _id_texts() -> Iterator[bytes]:
    ids = [corpus.CLICKATELL_ID, corpus.ESENDEX_ID, "c1"]
    objects = [{"message_id": each, "scheduled_at": "2030-01-01T00:00:00Z"} for each in ids]
    yield from (json.dumps(each).encode() for each in (ids, objects, [1, None, "a"]))
    yield from (repr(each).encode() for each in (ids, tuple(ids), objects, [1.5, None, b"x", {1}]))
    yield from (separator.join(ids).encode() for separator in ("\n", ",", " ", ", ", "','"))
    yield from (
        b"['a' 'b']",
        b"(" * 300,
        b"[" + b"-" * 3000 + b"1]",
        b"[1" + b"0" * 5000 + b"]",
        b"['\\N{DASH}']",
    )
    yield from (b"\0\xed\xa0\x80", *corpus.BITES)


TARGETS = {
    "manifests": Target("manifests in CSV and JSON Lines", 0.07, 512, _manifests, _feed_manifest),
    "parquet": Target("manifests in Parquet", 0.01, 4096, _parquets, _feed_parquet),
    "ids": Target("ids as text", 0.08, 5000, _id_texts, _feed_ids),
}
