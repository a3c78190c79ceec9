"""What the package wrote itself and reads back, and what may have become of it meanwhile."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any

from airflow_provider_smscancel.campaigns import earlier_parts
from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.earlier import CarriedOver
from airflow_provider_smscancel.campaigns.journal import Identity, Journal, report_line
from airflow_provider_smscancel.campaigns.kept_list import lines_of, take_lines
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.sources import SourceError
from torture.fuzzing import corpus
from torture.fuzzing.target import Target, insist

# Nobody writes these files just now: a torn one is not worth waiting for.
earlier_parts.WRITTEN_WITHIN_S = 0.0

OWNER = "0123abcd"
IDENTITY = Identity("clickatell", corpus.URL, "message_id")
RUN = json.dumps(
    {"gateway": "clickatell", "host": corpus.URL, "id_type": "message_id", "not_ours": []}
).encode()
IDS = (corpus.CLICKATELL_ID, "b" * 32, "c1")
RESULTS = tuple(
    CancelResult(message_id, outcome, status, "a detail", 1, datetime(2030, 1, 1, tzinfo=UTC))
    for message_id, outcome, status in zip(
        IDS, (Outcome.CANCELLED, Outcome.TOO_LATE, Outcome.WILL_NOT_SEND), ("006", "004", None), strict=True
    )
)


class Files:
    """A folder in memory, or a file in it."""

    def __init__(self, files: dict[str, bytes], name: str = "") -> None:
        self.name = name
        self._files = files

    def __truediv__(self, name: str) -> Files:
        return Files(self._files, name)

    def iterdir(self) -> Iterator[Files]:
        """Go through the files."""
        return (Files(self._files, name) for name in self._files)

    def open(self, _mode: str) -> IO[Any]:
        """Open this file."""
        return io.BytesIO(self._files[self.name])

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Do nothing: it is there."""


class Values:
    """A store of values in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, /) -> Any:
        """Return a value."""
        return self.values.get(key)

    def set(self, key: str, value: Any, /) -> None:
        """Write a value."""
        self.values[key] = value

    def delete(self, key: str, /) -> None:
        """Delete a value."""
        self.values.pop(key, None)


def _listed() -> Campaign:
    campaign = corpus.campaign()
    for message_id in IDS:
        campaign.add(message_id, "2030-01-01T00:00:00Z", "item 1")
    return campaign


def _feed_own_files(data: bytes) -> None:
    """Read back a report's part or run file, a kept list, or a value of the state store, by the first byte."""
    feed = (_feed_part, _feed_run, _feed_kept, _feed_value)
    feed[data[0] % len(feed) if data else 0](data[1:])


def _carried(run: bytes, part: bytes) -> dict[int, CarriedOver]:
    files = Files({f"run-{OWNER}.json": run, f"part-{OWNER}-1-0a0a-000001.jsonl": part})
    journal = Journal(files, owner=OWNER, try_number=2, identity=IDENTITY, total=len(IDS))
    return dict(journal.carried_over(_listed()))


def _feed_part(data: bytes) -> None:
    said: set[tuple[str, str]] = set()
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if isinstance(row, dict):
                said.add((str(row.get("message_id")).lower(), str(row.get("outcome"))))
    for index, found in _carried(RUN, data).items():
        insist(
            (IDS[index], found.outcome.value) in said, "took up an outcome that no line tells of this message"
        )


def _feed_run(data: bytes) -> None:
    part = "\n".join(report_line(result, 1) for result in RESULTS).encode()
    carried = _carried(data, part)
    if carried:
        run = json.loads(data)
        ours = (IDENTITY.gateway, IDENTITY.host, IDENTITY.id_type)
        insist((run["gateway"], run["host"], run["id_type"]) == ours, "took another report for its own")


def _feed_kept(data: bytes) -> None:
    campaign = corpus.campaign()
    try:
        take_lines(campaign, data.split(b"\n"))
    except SourceError:
        return
    insist(len(campaign.due) == len(campaign), "lost track of a date")
    for due in campaign.due:
        insist(due == UNDATED or abs(due) < float("inf"), "a date that is no number")
    insist(type(campaign.duplicates) is int, "a count that is none")
    insist(campaign.incomplete is None or isinstance(campaign.incomplete, str), "a reason that is no text")


def _checkpoint_value() -> dict[str, Any]:
    store = Values()
    checkpoint = Checkpoint(store, host=corpus.URL, clock=lambda: 0.0)
    checkpoint.carried_over(_listed())
    for index, result in enumerate(RESULTS):
        checkpoint.note(index, result.outcome, result.gateway_status)
    checkpoint.save(within_s=1.0)
    return store.values


WRITTEN = _checkpoint_value()
SETTLED = {index: CarriedOver(each.outcome, each.gateway_status) for index, each in enumerate(RESULTS)}


def _feed_value(data: bytes) -> None:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    store = Values()
    # Either all that the store holds, or the value of the one bucket.
    bucket = max(WRITTEN, key=len)
    store.values = values if isinstance(values, dict) and bucket in values else {**WRITTEN, bucket: values}
    found = dict(Checkpoint(store, host=corpus.URL, clock=lambda: 0.0).carried_over(_listed()))
    insist(found in ({}, SETTLED), "took up what was not written about these messages")


def _own_files() -> Iterator[bytes]:
    campaign = _listed()
    campaign.add("d1", None, "item 4")
    campaign.add(None, None, "item 5")
    yield b"\0" + "\n".join(report_line(result, 1) for result in RESULTS).encode()
    yield b"\1" + RUN
    yield b"\2" + "\n".join(lines_of(campaign)).encode()
    yield from (b"\3" + json.dumps(each).encode() for each in (WRITTEN, WRITTEN[max(WRITTEN, key=len)]))
    yield from (bytes((kind,)) + bite for kind in range(4) for bite in corpus.BITES)


TARGETS = {
    "own_files": Target("reports, kept lists and state-store values", 0.04, 1024, _own_files, _feed_own_files)
}
