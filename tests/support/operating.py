"""Runs single tries of the operator against a sandbox, outside Airflow, and reads what came of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException, AirflowSkipException
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

Row = dict[str, Any]
Seed = Callable[..., list[str]]
GATEWAYS = ("clickatell", "esendex")


def requests_so_far(server: SandboxServer) -> int:
    """Say how many requests the sandbox has answered."""
    return sum(server.state.traffic.count(name) for name in GATEWAYS)


class Told(list[tuple[str, str, int]]):
    """What the task's log was told: level, text, and how many requests the sandbox had answered by then."""

    def __init__(self, server: SandboxServer) -> None:
        super().__init__()
        self._server = server

    def _tell(self, level: str, msg: Any, args: tuple[Any, ...]) -> None:
        self.append((level, str(msg) % args if args else str(msg), requests_so_far(self._server)))

    def debug(self, msg: Any, *args: Any) -> None:
        self._tell("debug", msg, args)

    def info(self, msg: Any, *args: Any) -> None:
        self._tell("info", msg, args)

    def warning(self, msg: Any, *args: Any) -> None:
        self._tell("warning", msg, args)

    def error(self, msg: Any, *args: Any) -> None:
        self._tell("error", msg, args)

    def said(self, level: str) -> str:
        return "\n".join(text for its_level, text, _ in self if its_level == level)


@dataclass
class FakeTask:
    """Stands for the running task instance."""

    try_number: int = 1
    map_index: int = -1
    dag_id: str = "kill_switch"
    task_id: str = "cancel"
    run_id: str = "run_1"
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))  # what does not survive JSON is no XCom


@dataclass
class Played:
    """What came of one try."""

    returned: Any
    error: BaseException | None
    ti: FakeTask
    told: Told
    requests: int
    operator: CancelMessageOperator

    @property
    def summary(self) -> Row:
        found = self.ti.xcoms["summary"]
        assert isinstance(found, dict)
        return found

    @property
    def outcomes(self) -> dict[str, int]:
        """The outcomes that are not zero."""
        return {name: count for name, count in self.summary["outcomes"].items() if count}

    @property
    def not_stopped(self) -> list[Row]:
        found = self.ti.xcoms["not_stopped"]
        assert isinstance(found, list)
        return found

    def failed_for_good(self) -> str:
        """Say why the task failed, having checked that Airflow does not retry it."""
        assert isinstance(self.error, AirflowFailException), self.error
        return str(self.error)

    def failed_retryably(self) -> str:
        """Say why the task failed, having checked that Airflow retries it."""
        assert isinstance(self.error, AirflowException), self.error
        assert not isinstance(self.error, AirflowFailException | AirflowSkipException)
        return str(self.error)

    def refused_before_anything(self) -> str:
        """Say why the task failed, having checked that it sent nothing, and that a retry would not help."""
        assert self.requests == 0
        assert self.ti.xcoms == {}
        return self.failed_for_good()


Play = Callable[..., Played]


def truth(sandbox: SandboxServer) -> dict[str, Row]:
    """Read the sandbox's own record, by id."""
    lines = requests.get(f"{sandbox.url}/_sandbox/messages", timeout=30).text.splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def states(sandbox: SandboxServer, ids: Sequence[str]) -> Counter[str]:
    """Count where messages are by the sandbox's own record."""
    record = truth(sandbox)
    return Counter(record[message_id]["state"] for message_id in ids)


def read_report(folder: Path | str, *, torn: bool = False) -> list[Row]:
    """Read every line of every part of a report, in the order of (try, finished_at).

    :param torn: pass over the line that a process was killed in the middle of.
    """
    parts = sorted(Path(folder).glob("part-*.jsonl"))
    rows = []
    for line in [line for part in parts for line in part.read_text().splitlines()]:
        try:
            rows.append(json.loads(line))
        except ValueError:
            if not torn:
                raise
    return sorted(rows, key=lambda row: (row["try"], row["finished_at"]))


def final_outcomes(folder: Path | str, *, torn: bool = False) -> dict[str, str]:
    """Say what became of each message by the report: the last line counts.

    :param torn: see :func:`read_report`.
    """
    return {row["message_id"]: row["outcome"] for row in read_report(folder, torn=torn)}
