"""Single tries at a campaign whose store is attacked, and what each of them lost."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from support.ground_truth import FORMATS, contradicts

from airflow_provider_smscancel.campaigns import (
    cancel_job,
    earlier_parts,
    folders,
    journal,
    kept_list,
    tenure,
)
from airflow_provider_smscancel.campaigns import checkpoint as checkpoint_module
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.checkpoint import Checkpoint
from airflow_provider_smscancel.campaigns.earlier_parts import Identity
from airflow_provider_smscancel.campaigns.job import Service
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd
from airflow_provider_smscancel.campaigns.sources import add_ids
from airflow_provider_smscancel.sandbox.server import SandboxServer
from airflow_provider_smscancel.transport.aio import AsyncTransport

OWNER = "5708a6e5"
MIX = {"scheduled": 0.8, "sent": 0.08, "cancelled": 0.04, "failed": 0.04}
"""Of which states messages are; the rest are unknown to the gateway."""
DONE = {"cancelled", "already_cancelled"}
Losses = Counter[str]
CONTRADICTIONS, WITHOUT, NEVER_ASKED, NOT_TOLD, HELD_UP = (
    "contradictions",
    "without an outcome",
    "never asked",
    "neither stored nor told",
    "waited for ever",
)
KINDS = (CONTRADICTIONS, WITHOUT, NEVER_ASKED, NOT_TOLD, HELD_UP)


class World:
    """A campaign at a sandbox.

    :param server: runs already.
    :param name: one of the formats.
    :param count: how many messages.
    """

    def __init__(self, server: SandboxServer, name: str, count: int) -> None:
        server.state.reset()
        self.state = server.state
        self.faults = 0
        """How often something went wrong with its store, or with what that held."""
        self.url = server.url
        self.gateway = FORMATS[name](server.url)
        self.ids: list[str] = []
        now = self.state.now()
        for state, share in MIX.items():
            for _ in range(max(1, int(share * count))):
                message = self.state.add(
                    self.gateway.name, "", scheduled_at=None if state == "sent" else now + 86_400
                )
                message.failed = state == "failed"
                message.cancelled_at = now if state == "cancelled" else None
                self.ids.append(message.id)
        self.ids += [f"{each[:-6]}ffffff" for each in self.ids[: max(1, count - len(self.ids))]]
        self.position = f"item {len(self.ids) + 1}"
        """Of a row that names no message."""

    @property
    def names(self) -> list[str]:
        """All that must have an outcome, as a report calls it."""
        return [*self.ids, self.position]

    def state_of(self, message_id: str) -> str | None:
        """Say where a message is by the gateway's own record."""
        message = self.state.find(self.gateway.name, message_id)
        return None if message is None else message.phase(self.state.now()).value

    def denies(self, name: str, outcome: str) -> bool:
        """Say whether the gateway's own record denies an outcome."""
        if name == self.position:
            return outcome != Outcome.REJECTED
        return contradicts(self.gateway.name, outcome, self.state_of(name))

    def campaign(self) -> Campaign:
        """Read the list."""
        campaign = Campaign(self.gateway)
        add_ids(campaign, [*self.ids, "not an id!"])
        return campaign

    def journal(self, folder: Any, number: int, *, owner: str = OWNER) -> Journal:
        """Open a report."""
        identity = Identity(self.gateway.name, self.gateway.base_url, "message_id")
        return Journal(folder, owner=owner, try_number=number, identity=identity, total=len(self.ids) + 1)


class Told:
    """What a task's log was told."""

    def __init__(self) -> None:
        self.errors = ""
        """All that was an error."""

    def debug(self, msg: Any, /, *args: Any) -> None:
        """Pass over what nobody reads at 2 a.m."""

    info = warning = debug

    def error(self, msg: Any, /, *args: Any) -> None:
        """Take up an error."""
        self.errors += f"{str(msg) % args if args else msg}\n"

    exception = error


@dataclass
class Tried:
    """What came of a try.

    :param outcomes: of each message, also of those that were carried over.
    :param carried: of those alone.
    """

    outcomes: dict[str, str] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    end: RunEnd | None = None
    told: Told = field(default_factory=Told)


class NotedJob(CancelJob):
    """Notes what it says of each message."""

    latest: ClassVar[NotedJob]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        NotedJob.latest = self
        self.tried = Tried()
        super().__init__(*arguments, take_result=self._note, **options)
        self.tried.outcomes.update({row.position: Outcome.REJECTED for row in self.campaign.rejected})

    def _note(self, result: CancelResult) -> None:
        self.tried.outcomes[result.message_id] = result.outcome.value

    def _result(self, index: int, outcome: Outcome, code: str | None) -> CancelResult:
        """Is called for each message that is carried over, and for no other."""
        result = super()._result(index, outcome, code)
        self.tried.carried[result.message_id] = self.tried.outcomes[result.message_id] = outcome.value
        return result


def play(
    world: World,
    folder: Any,
    number: int,
    *,
    owner: str = OWNER,
    stop_after: int | None = None,
    checkpoint: Checkpoint | None = None,
    rate: float | None = None,
) -> Tried:
    """Make one try, and say what came of it.

    :param folder: of the report; ``None``: there is none.
    :param stop_after: tell it to stop once so many messages are settled.
    """
    told = Told()
    rate = rate or (2_000 if stop_after is None else 800)  # slow enough to be stopped in the middle
    job = NotedJob(
        Service(world.gateway, lambda: AsyncTransport(world.url, timeout=10.0), Limits(rate, 16, 10.0)),
        world.campaign(),
        name=None,
        log=told,
        journal=None if folder is None else world.journal(folder, number, owner=owner),
        report=None if folder is None else "report",
        try_number=number,
        checkpoint=checkpoint,
    )

    def watch() -> None:
        if stop_after is not None and job.settled >= stop_after:
            job.stop()

    job.on_progress = watch
    job.prepare()
    tried = job.tried
    tried.end = job.run()
    tried.summary, tried.told = job.summary, told
    return tried


# -- what was lost -------------------------------------------------------------------------------------------------------


def lost_by(world: World, tried: Tried) -> Losses:
    """Count what a try lost, whatever its store did."""
    lost: Losses = Counter()
    lost[CONTRADICTIONS] = sum(world.denies(name, outcome) for name, outcome in tried.outcomes.items())
    lost[WITHOUT] = sum(name not in tried.outcomes for name in world.names)
    counts = {name: count for name, count in tried.summary["outcomes"].items() if count}
    if counts != Counter(tried.outcomes.values()) or tried.summary["total"] != len(world.names):
        lost[WITHOUT] += 1
    if tried.end is RunEnd.COMPLETE:
        lost[NEVER_ASKED] = sum(world.state_of(each) == "scheduled" for each in world.ids)
    return lost


def lost_in_report(
    world: World, tried: Tried, folder: Path, *, owner: str = OWNER, but: str = "beef"
) -> Losses:
    """Count what is neither in the report nor said to be missing there.

    :param folder: on the disk.
    :param but: writers of this name are none of the package's.
    """
    lost: Losses = Counter()
    lines = read_report(folder, owner, but=but)
    lost[CONTRADICTIONS] = sum(
        world.denies(name, outcome) for name, outcome in lines.items() if name in world.names
    )
    error = tried.summary["report_error"]
    if error is None:
        lost[NOT_TOLD] = sum(lines.get(name) != tried.outcomes[name] for name in world.names)
        summary = folder / f"summary-{owner}.json"
        lost[NOT_TOLD] += not summary.exists() or json.loads(summary.read_text()) != tried.summary
        return lost
    # What a try carries over is in the report of the try that it comes from.
    not_done = [
        name for name, outcome in tried.outcomes.items() if outcome not in DONE and name not in tried.carried
    ]
    lost[NOT_TOLD] = sum(name not in tried.told.errors for name in not_done)
    return lost


def read_report(folder: Path, owner: str = OWNER, *, but: str = "beef") -> Mapping[str, str]:
    """Read a report as its page says: the last line by (try, finished_at) counts. What is torn is passed over."""
    rows = []
    for part in sorted(folder.glob(f"part-{owner}-*.jsonl")):
        if but in part.name:
            continue
        for line in part.read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                row = json.loads(line)
                rows.append(
                    (
                        row["try"] + 0,
                        str(row["finished_at"]),
                        row["message_id"],
                        Outcome(row["outcome"]).value,
                    )
                )
    return {name: outcome for _, _, name, outcome in sorted(rows)}


# -- time ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Let everything that waits for a store wait a fraction of the time: an outage of seconds takes as many tenths."""
    waits: dict[tuple[Any, str], Any] = {
        (journal, "PART_AFTER_S"): 0.01,
        (journal, "PART_AT_LEAST"): 10,
        (journal, "RETRY_AFTER_S"): (0.02, 0.04, 0.08, 0.16),
        (journal, "READ_WITHIN_S"): 0.2,
        (folders, "READ_AGAIN_AFTER_S"): (0.01, 0.02, 0.04),
        (earlier_parts, "WRITTEN_WITHIN_S"): 0.01,
        (kept_list, "WITHIN_S"): 1.0,
        (tenure, "WITHIN_S"): 0.2,
        (checkpoint_module, "EVERY_S"): 0.02,
        (checkpoint_module, "SHARE_OF_TIME"): 1.0,
        (checkpoint_module, "AFTER_REFUSAL_S"): 0.04,
        (cancel_job, "LAST_PART_S"): 0.4,
        (cancel_job, "LAST_PART_IN_A_HURRY_S"): 0.3,
    }
    with contextlib.ExitStack() as stack:
        for (module, name), value in waits.items():
            stack.enter_context(patch.object(module, name, value))
        yield
