"""What may happen to a report between two tries. Each function is given the folder of one owner's report and a source of randomness.

The first ones mangle what is true; what they leave may be believed. The others put lies where nobody may believe them: each says
of every message that it is cancelled.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_smscancel.campaigns.outcome import Outcome

Line = dict[str, Any]


@dataclass(frozen=True)
class Left:
    """What a try has left.

    :param folder: where.
    :param owner: whose.
    :param ids: of all messages of the campaign.
    :param random: decides what is hit.
    """

    folder: Path
    owner: str
    ids: Sequence[str]
    random: random.Random

    @property
    def parts(self) -> list[Path]:
        """The files with lines."""
        return sorted(self.folder.glob(f"part-{self.owner}-*.jsonl"))

    @property
    def run(self) -> Path:
        """The file that says what they are about."""
        return self.folder / f"run-{self.owner}.json"

    def lies(self, **members: Any) -> bytes:
        """Say of every message that it is cancelled."""
        line: Line = {"gateway_status": "006", "detail": "", "attempts": 1, "try": 9}
        line |= {"outcome": Outcome.CANCELLED.value, "finished_at": "2099-01-01T00:00:00+00:00", **members}
        return b"".join(json.dumps({"message_id": each, **line}).encode() + b"\n" for each in self.ids)

    def lie(self, name: str = "", **members: Any) -> None:
        """Write a part of lies."""
        (self.folder / (name or f"part-{self.owner}-9-beef-000001.jsonl")).write_bytes(self.lies(**members))

    def said_of_run(self, **members: Any) -> None:
        """Change what the parts are said to be about."""
        self.run.write_text(json.dumps({**json.loads(self.run.read_text()), **members}))


# -- what is true, mangled -----------------------------------------------------------------------------------------------


def _rewritten(left: Left, change: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    for part in left.parts:
        part.write_bytes(b"\n".join(change(part.read_bytes().splitlines())) + b"\n")


def _torn(left: Left) -> None:
    for part in left.parts:
        content = part.read_bytes()
        part.write_bytes(content[: left.random.randrange(len(content))])


def _torn_at_the_start(left: Left) -> None:
    for part in left.parts:
        content = part.read_bytes()
        part.write_bytes(content[left.random.randrange(len(content)) :])


def _duplicated(left: Left) -> None:
    for part in left.parts:
        name = part.name[: -len("000001.jsonl")] + f"9{part.name[-11:]}"
        (left.folder / name).write_bytes(part.read_bytes() * 2)


def _shuffled(left: Left) -> None:
    _rewritten(left, lambda lines: left.random.sample(lines, len(lines)))


def _with(noise: bytes) -> Callable[[Left], None]:
    def put_in(left: Left) -> None:
        _rewritten(
            left,
            lambda lines: [
                each for line in lines for each in ((noise, line) if left.random.random() < 0.3 else (line,))
            ],
        )

    return put_in


def _with_a_mark_in_front(left: Left) -> None:
    for part in left.parts:
        part.write_bytes(b"\xef\xbb\xbf" + part.read_bytes())


def _as_utf_16(left: Left) -> None:
    for part in left.parts:
        part.write_bytes(part.read_bytes().decode(errors="replace").encode("utf-16"))


def _bits_flipped(left: Left) -> None:
    for part in left.parts:
        content = bytearray(part.read_bytes())
        for _ in range(20):
            content[left.random.randrange(len(content))] ^= 1 << left.random.randrange(8)
        part.write_bytes(bytes(content))


def _from_a_later_version(left: Left) -> None:
    def later(lines: list[bytes]) -> Iterable[bytes]:
        for line in lines:
            row = {**json.loads(line), "schema": 7, "shard": {"of": [1, 2]}}
            if left.random.random() < 0.3:
                row["outcome"] = "recalled"
            yield json.dumps(row).encode()

    _rewritten(left, later)
    left.said_of_run(schema=7, more=[None])


def _by_a_clock_of_the_past(left: Left) -> None:
    def earlier(lines: list[bytes]) -> Iterable[bytes]:
        return (
            json.dumps({**json.loads(line), "finished_at": "2099-01-01T00:00:00+00:00"}).encode()
            for line in lines
        )

    _rewritten(left, earlier)  # so that whatever comes now was settled before that


def _some_removed(left: Left) -> None:
    for part in left.parts[::2]:
        part.unlink()


def _emptied(left: Left) -> None:
    for path in left.folder.iterdir():
        path.unlink()


def _summary_lies(left: Left) -> None:
    (left.folder / f"summary-{left.owner}.json").write_text(
        json.dumps({"total": len(left.ids), "outcomes": {"cancelled": len(left.ids)}, "report_error": None})
    )


MANGLED: dict[str, Callable[[Left], None]] = {
    "torn": _torn,
    "torn at the start": _torn_at_the_start,
    "duplicated": _duplicated,
    "shuffled": _shuffled,
    "bits flipped": _bits_flipped,
    "NUL bytes": _with(b"\0" * 300),
    "giant lines": _with(b"[" * 300_000),
    "not UTF-8": _with(b'{"message_id": "\xff\xfe\xc3"}'),
    "noise": _with(b'{"outcome": "cancelled", "try": 1e999, "finished_at": 7, "gateway_status": {}}'),
    "a byte order mark": _with_a_mark_in_front,
    "UTF-16": _as_utf_16,
    "a later version": _from_a_later_version,
    "clock set back": _by_a_clock_of_the_past,
    "parts removed": _some_removed,
    "folder emptied": _emptied,
    "summary that lies": _summary_lies,
}


# -- lies ----------------------------------------------------------------------------------------------------------------


def _lies_with_run(content: bytes | None) -> Callable[[Left], None]:
    def put_in(left: Left) -> None:
        left.lie()
        if content is None:
            left.run.unlink(missing_ok=True)
        else:
            left.run.write_bytes(content)

    return put_in


def _lies_about(**members: Any) -> Callable[[Left], None]:
    def put_in(left: Left) -> None:
        left.lie()
        left.said_of_run(**members)

    return put_in


def _lies_named(name: str) -> Callable[[Left], None]:
    return lambda left: left.lie(name.replace("OWNER", left.owner))


def _lies_said_so(**members: Any) -> Callable[[Left], None]:
    return lambda left: left.lie(**members)


def _lies_about_others(left: Left) -> None:
    others = [each[:-4] + "eeee" for each in left.ids]
    Left(left.folder, left.owner, others, left.random).lie()


LIES: dict[str, Callable[[Left], None]] = {
    "another gateway": _lies_about(gateway="another"),
    "another host": _lies_about(host="https://elsewhere.example"),
    "another kind of ids": _lies_about(id_type="client_message_id"),
    "disowned": _lies_about(not_ours=["9-beef"]),
    "disowned by who knows whom": _lies_about(not_ours=None),
    "of a try before those that count": _lies_about(from_try=10),
    "no run file": _lies_with_run(None),
    "an empty run file": _lies_with_run(b""),
    "a torn run file": _lies_with_run(b'{"gateway": "click'),
    "a run file of noise": _lies_with_run(b"[" * 70_000),
    "another owner": _lies_named("part-ffffffff-9-beef-000001.jsonl"),
    "a name that is none": _lies_named("part-OWNER-9-beef-000001.jsonl.tmp"),
    "states of a dry run": _lies_named("states-OWNER.jsonl"),
    "other messages": _lies_about_others,
    "an unknown outcome": _lies_said_so(outcome="CANCELLED"),
    "an outcome that is none": _lies_said_so(outcome=["cancelled"]),
    "no date": _lies_said_so(finished_at=None),
    "a try that is none": _lies_said_so(**{"try": "last"}),
    "open outcomes": _lies_said_so(outcome="unconfirmed"),
}
