"""A campaign's list, written down once, so that whoever goes on has the very same: a query run twice may give another.

One JSON value a line: a head, then the rows that name no message, then the messages, the most urgent first::

    {"messages": 2, "rejected": 1, "duplicates": 0, "incomplete": null}
    {"position": "line 3", "reason": "the id is empty"}
    ["9cbc54b1d2ab4ea59c6e5ee0a6a1b2c3", 1893456000.0]
    ["9cbc54b1d2ab4ea59c6e5ee0a6a1b2c4", null]

Read back, it gives the same counts, positions and dates as the source did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import IO, Any

from airflow_provider_smscancel.campaigns.folders import Folder, lines_in, make_folder
from airflow_provider_smscancel.campaigns.journal import LONGEST_LINE
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError

LINES_AT_A_TIME = 10_000


def lines_of(campaign: Campaign) -> Iterator[str]:
    """Write a campaign down, line by line."""
    yield json.dumps(
        {
            "messages": len(campaign),
            "rejected": len(campaign.rejected),
            "duplicates": campaign.duplicates,
            "incomplete": campaign.incomplete,
        }
    )
    for row in campaign.rejected:
        yield json.dumps({"position": row.position, "reason": row.reason})
    # In order of urgency: sorting what is sorted costs the reader next to nothing.
    for index in sorted(range(len(campaign)), key=campaign.due.__getitem__):
        due = campaign.due[index]
        yield json.dumps([campaign.ids[index], None if due == UNDATED else due])


def keep(campaign: Campaign, folder: Folder, name: str) -> None:
    """Write a campaign's list into a folder.

    :param name: of the file.
    :raises Exception: whatever the store raises.
    """
    make_folder(folder)
    with (folder / name).open("wb") as file:
        _write(file, lines_of(campaign))


def _write(file: IO[Any], lines: Iterable[str]) -> None:
    some: list[str] = []
    for line in lines:
        some.append(line)
        if len(some) >= LINES_AT_A_TIME:
            file.write(("\n".join(some) + "\n").encode())
            some = []
    if some:
        file.write(("\n".join(some) + "\n").encode())


def read_kept(campaign: Campaign, folder: Folder, name: str) -> None:
    """Take up a list that :func:`keep` wrote.

    :param campaign: takes the messages; empty, of the same gateway and kind of ids.
    :raises SourceError: when the file can't be read, or not to its end.
    """
    try:
        with (folder / name).open("rb") as file:
            take_lines(campaign, lines_in(file, longest=LONGEST_LINE))
    except SourceError:
        raise
    except Exception as error:  # stores raise what they like
        raise SourceError(
            f"The list of messages that was written down before ({name}) can't be read: {type(error).__name__}."
        ) from None


def take_lines(campaign: Campaign, lines: Iterable[str | bytes]) -> None:
    """Take up what :func:`lines_of` gave.

    :raises SourceError: when something is missing or broken.
    """
    rows = map(json.loads, lines)
    try:
        head = next(rows)
        for row in rows:
            if isinstance(row, list):
                campaign.add_dated(_text(row[0]), UNDATED if row[1] is None else _moment(row[1]))
            else:
                campaign.reject(_text(row["position"]), _text(row["reason"]))
        whole = len(campaign) == head["messages"] == len(campaign.due)
        whole = whole and len(campaign.rejected) == head["rejected"]
        campaign.duplicates = int(head["duplicates"])
        campaign.incomplete = None if head["incomplete"] is None else _text(head["incomplete"])
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError, StopIteration):
        whole = False
    if not whole:
        raise SourceError("The list of messages that was written down before is not whole.")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _moment(value: float) -> float:
    if not math.isfinite(value):  # JSON as Python reads it knows NaN, which no order can be made of
        raise ValueError
    return value
