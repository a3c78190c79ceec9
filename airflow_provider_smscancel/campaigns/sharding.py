"""Splits a campaign, so that several workers can stop it side by side."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

from airflow_provider_smscancel.campaigns.folders import Folder, make_folder, why
from airflow_provider_smscancel.campaigns.manifest_lines import shown_path
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
from airflow_provider_smscancel.gateways.base import IdType

MOST_SHARDS = 1000
_CASELESS = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class _AnyId:
    """Takes any id: which gateway's they are is for the one who cancels to say."""

    name = "any"

    def id_error(self, message_id: str, id_type: IdType) -> str | None:
        if not message_id:
            return "the id is empty"
        # Such an id is no gateway's, and half a surrogate pair could not be written, nor a line break read back.
        return None if message_id.isprintable() else "the id holds a character that no id has"

    def canonical_id(self, message_id: str, id_type: IdType) -> str:
        return message_id  # whether the case of its letters counts is for the one who cancels to say


def split_manifest(
    path: str | PathLike[str] | Folder, shards: int, folder: str | PathLike[str] | Folder
) -> list[str]:
    """Split a manifest into shards for tasks that run side by side.

    A message goes to a shard by a hash of its id, so that the same list is always split alike and duplicates fall together.
    Each shard is in order of urgency: without a date first, then the earliest. Rows that name no message go to the first
    shard, as rows with an empty id, so that they are counted there.

    :param path: the manifest: an absolute path or URL, or a path object. A URL with the id of an Airflow connection needs
        Airflow's own: ``ObjectStoragePath("s3://conn_id@bucket/campaign.csv")``.
    :param shards: how many, from 1 to 1000.
    :param folder: where to write them, in the same forms; made if it is missing (a bucket is not).
    :return: the paths of the shards, as text, ``shards`` of them, with the connection's id in those that have one; a shard
        may have no message.
    :raises ValueError: a wrong number of shards, or a manifest or a folder that can not be used; nothing was written.
    :raises SourceUnavailable: the manifest's store failed, perhaps in the middle; nothing was written. Try again.
    :raises OSError: or whatever the folder's store raises: perhaps some shards were written. Try again.
    """
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= MOST_SHARDS:
        raise ValueError(f"shards must be a whole number from 1 to {MOST_SHARDS}.")
    source, target = _open(path), _open(folder)
    campaign = Campaign(_AnyId())
    read_manifest(campaign, source)
    if campaign.incomplete is not None:
        # Shards of half a manifest would look like whole ones.
        raise SourceUnavailable(f"The {campaign.incomplete}. Nothing was written: try again.")
    members: list[list[int]] = [[] for _ in range(shards)]
    for index in sorted(range(len(campaign)), key=campaign.due.__getitem__):
        members[_shard_of(campaign.ids[index], shards)].append(index)
    make_folder(target)
    return [_write(target, number, shards, campaign, some) for number, some in enumerate(members)]


def _open(path: str | PathLike[str] | Folder) -> Any:
    if not isinstance(path, str):
        return path
    if "://" not in path:
        return Path(path)
    scheme, _, rest = path.partition("://")
    if "@" in rest.partition("/")[0]:
        raise ValueError(
            f"{shown_path(path)}: only Airflow knows what stands before the @ of a URL. Pass ObjectStoragePath(…) of Airflow "
            "in place of the text. Nothing was written."
        )
    from upath import UPath  # comes with Airflow; a local path needs none of it

    try:
        opened = UPath(path)
        _ = opened.fs
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"{shown_path(path)}: {scheme}:// can not be opened here ({why(error)}): is it spelled right, and is the library "
            "of that store installed? Nothing was written."
        ) from None
    return opened


def _shard_of(message_id: str, shards: int) -> int:
    # Without regard to case where an id may be the same in another: so that duplicates fall together.
    key = message_id.lower() if _CASELESS.fullmatch(message_id) else message_id
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) % shards


def _write(folder: Folder, number: int, shards: int, campaign: Campaign, members: list[int]) -> str:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["message_id", "scheduled_at"])
    if number == 0:
        # A second column that is not empty keeps such a row from counting as the blank end of a spreadsheet's export.
        rows.writerows(["", row.position] for row in campaign.rejected)
    for index in members:
        due = campaign.due[index]
        rows.writerow(
            [campaign.ids[index], "" if due == UNDATED else datetime.fromtimestamp(due, UTC).isoformat()]
        )
    path = folder / f"shard-{number:04d}-of-{shards:04d}.csv"
    with path.open("wb") as file:
        file.write(text.getvalue().encode())
    return str(path)
