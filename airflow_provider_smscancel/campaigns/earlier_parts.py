"""Which parts of a report folder are about this task's campaign, and what they say."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_smscancel.campaigns.earlier import CarriedOver
from airflow_provider_smscancel.campaigns.folders import (
    Folder,
    asked_again,
    lines_in,
    names_in,
)
from airflow_provider_smscancel.campaigns.outcome import Outcome

if TYPE_CHECKING:
    from airflow_provider_smscancel.campaigns.messages import Campaign

log = logging.getLogger(__name__)

LONGEST_LINE = 65_536
WRITTEN_WITHIN_S = 0.5
"""How long after it was found torn a file is looked at again."""

Note = tuple[int, CarriedOver, int, float]
"""A line about a message of the campaign: its index, what became of it, in which try, and when."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a report is about. Parts about anything else are never taken for ours.

    :param gateway: the connection type.
    :param host: the gateway's base URL.
    :param id_type: what kind of ids.
    """

    gateway: str
    host: str
    id_type: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds of one owner.

    :param parts: the names of those that are about the same.
    :param writers: who wrote parts, about whatever.
    :param not_ours: who of them wrote about something else.
    :param from_try: parts of earlier tries are about something else, also those that are still to come: a try that was given up
        may write on.
    :param last_try: the last that has left something.
    """

    parts: list[str] = field(default_factory=list)
    writers: set[str] = field(default_factory=set)
    not_ours: list[str] = field(default_factory=list)
    from_try: int = 0
    last_try: int = 0


def look(folder: Folder, owner: str, identity: Identity, *, try_number: int) -> Found:
    """Look which parts there are, and what they are about.

    :param try_number: which try this is.
    :raises Exception: whatever the store raises.
    """
    names = names_in(folder)
    mine = re.compile(rf"part-{owner}-((\d+)-[0-9a-f]+)-\d+\.jsonl")
    found = [match for name in names if (match := mine.fullmatch(name))]
    writers = {match[1] for match in found}
    last_try = max((int(match[2]) for match in found), default=0)
    is_known = bool(found) or run_name(owner) in names
    run = read_run(folder, owner) if is_known else {}
    if is_known and not run:
        time.sleep(WRITTEN_WITHIN_S)  # perhaps somebody is writing it just now
        run = read_run(folder, owner)
    if not _is_about(run, identity):
        if found:
            log.warning(
                "The report folder holds parts of this task that are about another gateway, host or id_type (or do not say): "
                "they are left alone, and every message is asked."
            )
        return Found([], writers, sorted(writers), try_number if is_known else 0, last_try)
    not_ours, from_try = run.get("not_ours", []), run.get("from_try", 0)
    ours = [m[0] for m in found if m[1] not in not_ours and int(m[2]) >= from_try]
    return Found(sorted(ours), writers, not_ours, from_try, max(last_try, from_try))


def run_name(owner: str) -> str:
    """Name the file that says what an owner's parts are about."""
    return f"run-{owner}.json"


def read_run(folder: Folder, owner: str) -> dict[str, Any]:
    """Read what an owner's parts are about; nothing, where the file is missing or torn.

    :raises Exception: whatever the store raises.
    """
    try:
        with (folder / run_name(owner)).open("rb") as file:
            found = json.loads(file.read(LONGEST_LINE))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}  # it does not say that the parts are ours
    return found if isinstance(found, dict) else {}


def _is_about(run: dict[str, Any], identity: Identity) -> bool:
    not_ours, from_try = run.get("not_ours", []), run.get("from_try", 0)
    return (
        {key: run.get(key) for key in asdict(identity)} == asdict(identity)
        and isinstance(not_ours, list)
        and all(isinstance(writer, str) for writer in not_ours)
        and isinstance(from_try, int)
    )


def read_part(folder: Folder, name: str, campaign: Campaign) -> list[Note]:
    """Read what a part says of a campaign's messages. What of it can not be read is passed over, and the log says so."""
    notes: list[Note] = []
    torn = 0

    def read() -> None:
        nonlocal torn
        torn = 0
        with (folder / name).open("rb") as file:
            for line in lines_in(file, longest=LONGEST_LINE):
                said = _read_line(line)
                if said is None:
                    torn += 1
                    continue
                message_id, found, try_number, at = said
                index = campaign.index_of(message_id)
                if index is not None:
                    notes.append((index, found, try_number, at))

    try:
        asked_again(read)
    except Exception as error:  # stores raise what they like
        log.warning("Part %s can't be read to its end (%s).", name, type(error).__name__)
    if torn:
        log.warning("Part %s has %d lines that can't be read: those messages are asked again.", name, torn)
    return notes


def _read_line(line: bytes) -> tuple[str, CarriedOver, int, float] | None:
    try:
        row = json.loads(line)
        status = row["gateway_status"]
        found = CarriedOver(Outcome(row["outcome"]), status if isinstance(status, str) else None)
        at = datetime.fromisoformat(row["finished_at"]).timestamp()
        return str(row["message_id"]), found, max(0, int(row["try"])), at
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
