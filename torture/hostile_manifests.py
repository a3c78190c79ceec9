"""Lists as an attacker would write them: bombs, lines without an end, and what is no file at all."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torture.plan import FULL, Plan, Row

MEGABYTE = 1 << 20
GROWTH_MB = 900
"""What a child may grow by at most, so that a bomb that goes off does not take the machine along."""
ALLOWED_MB = 300
READ = """
import json, os, resource, signal, sys
from pathlib import Path
import pyarrow.compute, pyarrow.parquet
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

def read(path):
    campaign = Campaign(ClickatellRest(token="t"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_manifest(campaign, Path(path))
        first = campaign.rejected[0]
        told = f"{first.position}: {first.reason}"
    except Exception as error:
        told = str(error) or type(error).__name__
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(json.dumps([grown, told]), flush=True)

for path in sys.argv[1:]:
    process = os.fork()
    if not process:
        signal.alarm(600)
        read(path)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status:
        print(json.dumps([10**6, f"it died: {status}"]), flush=True)
"""
"""Reads each file in a process of its own, which begins with all that is imported."""


def attack_manifests(plan: Plan) -> Row:
    """Read bombs, endless lines and what is no file, each in a process of its own whose memory is measured."""
    size_mb = 10_240 if plan.messages >= FULL.messages else max(32, plan.messages // 8)
    wrong: list[str] = []
    largest = 0
    with tempfile.TemporaryDirectory() as name:
        cases = list(_manifests(Path(name), size_mb))
        if plan.messages > 100:
            cases += _large_manifests(Path(name), size_mb)
        halves = [[path for path, _ in cases[at::2]] for at in range(2)]
        with ThreadPoolExecutor(2) as pool:
            found = dict(pair for pairs in pool.map(_read, halves) for pair in pairs)
        for path, word in cases:
            grown, told = found.get(path, (10**6, "it was not read"))
            largest = max(largest, grown)
            if grown > ALLOWED_MB or word not in told or not told.isprintable():
                wrong.append(f"{path.name!r}: {grown} MB, {told[:150]}")
    return Row(
        f"manifests: bombs and lines of {size_mb:,} MB, devices, pipes, quotes, nesting, types",
        len(cases), "files", len(wrong),
        "; ".join(wrong[:3]) or f"each refused with its position or reason; memory grew by {largest} MB at most",
    )  # fmt: skip


def _read(paths: list[Path]) -> list[tuple[Path, tuple[int, str]]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, *map(str, paths)],
        capture_output=True,
        text=True,
        preexec_fn=_limit_memory,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [(path, (grown, text)) for path, (grown, text) in zip(paths, told, strict=False)]


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, ((GROWTH_MB + 600) * MEGABYTE,) * 2)


def _manifests(folder: Path, size_mb: int) -> Iterator[tuple[Path, str]]:
    """Write each, and say which word of what is told about it proves that it was understood."""
    too_long = "the line is longer than 1 MiB"
    for name, begin, block in (
        ("zeros.csv.gz", b"", b"\0"),
        ("zeros-below.csv.gz", HEAD, b"\0"),
        ("nested.jsonl.gz", b"", b'{"message_id":' + b"[" * 900_000 + b"\n"),
    ):
        yield _packed(folder / name, begin, block, size_mb), BOMB
    for name, begin, word in (
        ("line.csv", HEAD, f"line 2: {too_long}"), ("line.jsonl", b"", f"line 1: {too_long}"), ("header.csv", b"", "no header"),
    ):  # fmt: skip
        path = folder / name
        with path.open("wb") as file:  # sparse: it takes no room on the disk
            file.write(begin)
            file.truncate(size_mb * MEGABYTE)
        yield path, word
    yield (
        _written(folder / "wide.csv", b"message_id" + b",x" * 400_000 + b"\n" + b"," * 400_000 + b"!\n"),
        "line 2",
    )
    yield _written(folder / "quotes.csv", HEAD + b'"a,\n' * 20_000), "its quotes are broken"
    yield _written(folder / "deep.jsonl", b"[" * 900_000 + b"\n"), "line 1: not JSON"
    yield _written(folder / "digits.jsonl", b'{"message_id": ' + b"9" * 900_000 + b"}\n"), "line 1"
    yield _written(folder / "pickle.csv", pickle.dumps(Trap())), "no column message_id"
    yield _written(folder / "pickle.parquet", pickle.dumps(Trap())), "not a Parquet file"
    yield _written(folder / "zip.csv", b"PK\x03\x04" + b"\0" * 100), "zip archive"
    yield (
        _written(folder / "twice.csv.gz", gzip.compress(gzip.compress(b"\0" * MEGABYTE))),
        "packed with gzip once more",
    )
    yield from _no_files(folder)
    yield from _parquets(folder)


def _no_files(folder: Path) -> Iterator[tuple[Path, str]]:
    os.mkfifo(folder / "pipe.csv")
    (folder / "zero.csv").symlink_to("/dev/zero")
    (folder / "self.csv").symlink_to(folder / "self.csv")
    (folder / "folder.csv").mkdir()
    for name, word in (
        ("pipe.csv", "is no file but"), ("zero.csv", "is no file but"), ("self.csv", "can't be opened"),
        ("folder.csv", "can't be opened"),
    ):  # fmt: skip
        yield folder / name, word
    # Its name would make one line two, colour the terminal, and turn the text round.
    yield folder / "evil\n[INFO] all stopped \x1b[32m\u202egnp.csv", "can't be opened"


def _parquets(folder: Path) -> Iterator[tuple[Path, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name: str, table: Any, **options: Any) -> Path:
        pq.write_table(table, folder / name, **options)
        return folder / name

    word = pa.array(["a" * 20_000_000])
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), word)
    yield (
        write("words.parquet", pa.table({"message_id": rows}), compression="zstd"),
        "row 1: the id can't be read",
    )
    one = pa.array(["!"])
    yield write("twice.parquet", pa.table([one, one], names=["message_id", "message_id"])), "more than once"
    yield write("lists.parquet", pa.table({"message_id": pa.array([["a"]])})), "holds lists or records"
    late = pa.table({"message_id": one, "scheduled_at": pa.array([2**50], pa.timestamp("s", "Evil/Zone"))})
    yield write("late.parquet", late), "row 1"
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    yield write("bytes.parquet", pa.table({"message_id": bad})), "row 1: the id can't be read"


HEAD = b"message_id,x\n"
MANY = "More than 2,000,000 rows"
BOMB = "unpacks to more than 500 times its size"


def _large_manifests(folder: Path, size_mb: int) -> Iterator[tuple[Path, str]]:
    """Write those that take seconds to write or to read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, begin, block in (
        ("zeros.jsonl.gz", b"", b"\0"),
        ("blank.csv.gz", HEAD, b"\n" * 1000 + b" " * 30_000),
        ("columns.csv.gz", HEAD, b"," * (MEGABYTE - 8) + b"\n"),
    ):
        yield _packed(folder / name, begin, block, size_mb), BOMB
    yield _packed(folder / "rejected.csv.gz", HEAD, b"!,\n", 64), MANY
    large = pa.table({"message_id": pa.array(["a" * 150_000_000] * 2)})
    pq.write_table(large, folder / "large.parquet", compression="zstd", use_dictionary=False)
    yield folder / "large.parquet", "a column unpacks to"
    pq.write_table(pa.table({"message_id": pa.nulls(2_500_000, pa.string())}), folder / "nulls.parquet")
    yield folder / "nulls.parquet", MANY


def _packed(path: Path, begin: bytes, block: bytes, size_mb: int) -> Path:
    packer = zlib.compressobj(9, wbits=31)
    piece = block * max(1, MEGABYTE // len(block))
    with path.open("wb") as file:
        file.write(packer.compress(begin))
        for _ in range(min(size_mb, 64)):  # far beyond where it must be noticed
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return path


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


class Trap:
    """Leaves a file where anybody unpickles it."""

    where = Path(tempfile.gettempdir()) / f"trap-{os.getpid()}"

    def __reduce__(self) -> Any:
        return (Path.touch, (self.where,))
