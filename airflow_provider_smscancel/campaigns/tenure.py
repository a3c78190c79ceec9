"""Who runs a try. A triggerer that stalls loses its triggers to another one and may not know it yet: then two run the same try."""

from __future__ import annotations

import contextlib
import json
import secrets
from datetime import datetime
from typing import Any

from airflow_provider_smscancel.campaigns.earlier_parts import LONGEST_LINE
from airflow_provider_smscancel.campaigns.folders import answered, make_folder
from airflow_provider_smscancel.campaigns.journal import Journal

WITHIN_S = 10.0
"""How long a store may take to say who has begun a try; messages leave meanwhile."""


class Tenure:
    """One process's turn at a try, noted in the report's folder as ``begun-<owner>-<try>.json``.

    :param journal: of that try.
    """

    def __init__(self, journal: Journal) -> None:
        self._folder = journal.folder
        self._note = f"begun-{journal.owner}-{journal.try_number}.json"
        self._summary = journal.summary_name
        self._token = secrets.token_hex(8)
        self._within_s = min(WITHIN_S, journal.read_within_s)

    def begin(self) -> bool:
        """Note that this process has begun. Return whether another one has before, and may have sent requests that left no trace.

        In doubt it is said to have: then a message found cancelled is not said to have been so before.
        """
        begun = True
        # Stores raise what they like, and the journal says what this one refuses.
        with contextlib.suppress(Exception):
            begun = answered(lambda _: self._read(self._note), within_s=self._within_s) is not None
        with contextlib.suppress(Exception):
            answered(lambda _: self._leave(), within_s=self._within_s)
        return begun

    def _leave(self) -> None:
        make_folder(self._folder)
        with (self._folder / self._note).open("wb") as file:
            file.write(json.dumps({"by": self._token}).encode() + b"\n")

    def is_over(self, started_at: datetime) -> bool:
        """Say whether another process has begun the same try since, or has ended it: what is open is then no longer ours to tell.

        In doubt it is not over: then every message has an outcome in the report, if perhaps not the best known.

        :param started_at: when the try began.
        """

        def told(_: object) -> tuple[dict[str, Any], dict[str, Any]]:
            return self._read(self._note) or {}, self._read(self._summary) or {}

        try:
            note, summary = answered(told, within_s=self._within_s)
        except Exception:  # stores raise what they like
            return False
        return (
            note.get("by", self._token) != self._token or summary.get("started_at") == started_at.isoformat()
        )

    def _read(self, name: str) -> dict[str, Any] | None:
        """Read a small file: ``None`` if there is none, nothing if it makes no sense."""
        try:
            with (self._folder / name).open("rb") as file:
                found = json.loads(file.read(LONGEST_LINE))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}
