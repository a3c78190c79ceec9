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
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from airflow_provider_smscancel.campaigns.earlier_parts import LONGEST_LINE
from airflow_provider_smscancel.campaigns.folders import (
    FOR_GOOD,
    Folder,
    answered,
    asked_again,
    lines_in,
    make_folder,
)
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError

LINES_AT_A_TIME = 10_000
WITHIN_S = 30.0
"""How long a store may take for the next lines of a list before it is given up."""


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
    :raises TimeoutError: the store does not answer.
    :raises Exception: whatever the store raises.
    """

    def write(answered_something: Callable[[], None]) -> None:
        make_folder(folder)
        with (folder / name).open("wb") as file:
            _write(file, lines_of(campaign), answered_something)

    answered(write, within_s=WITHIN_S)


def _write(file: IO[Any], lines: Iterable[str], answered_something: Callable[[], None]) -> None:
    some: list[str] = []
    for line in lines:
        some.append(line)
        if len(some) >= LINES_AT_A_TIME:
            file.write(("\n".join(some) + "\n").encode())
            answered_something()
            some = []
    if some:
        file.write(("\n".join(some) + "\n").encode())


def read_kept(new: Callable[[], Campaign], folder: Folder, name: str) -> Campaign:
    """Take up a list that :func:`keep` wrote. A store that refuses is asked again a few times: nobody else has the list.

    :param new: makes an empty campaign, of the same gateway and kind of ids.
    :raises SourceError: when the file can't be read, or not to its end.
    """

    def read(answered_something: Callable[[], None]) -> Campaign:
        campaign = new()
        with (folder / name).open("rb") as file:
            take_lines(campaign, _followed(lines_in(file, longest=LONGEST_LINE), answered_something))
        return campaign

    try:
        return answered(
            lambda answered_something: asked_again(
                lambda: read(answered_something), for_good=(*FOR_GOOD, SourceError)
            ),
            within_s=WITHIN_S,
        )
    except SourceError:
        raise
    except Exception as error:  # stores raise what they like
        raise SourceError(
            f"The list of messages that was written down before ({name}) can't be read: {type(error).__name__}."
        ) from None


def _followed(lines: Iterable[bytes], answered_something: Callable[[], None]) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number % LINES_AT_A_TIME == 0:
            answered_something()
        yield line


def take_lines(campaign: Campaign, lines: Iterable[str | bytes]) -> None:
    """Take up what :func:`lines_of` gave.

    :raises SourceError: when something is missing or broken.
    """
    rows = map(json.loads, lines)
    try:
        head = next(rows)
        for row in rows:
            if isinstance(row, list):
                _take(campaign, *row)
            else:
                campaign.reject(_text(row["position"]), _text(row["reason"]))
        whole = len(campaign) == head["messages"] and len(campaign.rejected) == head["rejected"]
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


def _take(campaign: Campaign, message_id: object, due: float | None) -> None:
    text = _text(message_id)
    if campaign.gateway.id_error(text, campaign.id_type) is not None:
        raise ValueError
    campaign.add_dated(text, UNDATED if due is None else _moment(due))
    if len(campaign) != len(campaign.due):
        raise ValueError  # it stands there twice: each message after it would get another's date
