"""Holds a run for as long as there is a reason to."""

from __future__ import annotations

import asyncio


class Gate:
    """Open, unless somebody holds it. Each reason to hold it is a name."""

    def __init__(self) -> None:
        self._holds: set[str] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.is_open = self._open.is_set
        self.wait = self._open.wait

    def hold(self, why: str) -> None:
        """Close it for this reason."""
        self._holds.add(why)
        self._open.clear()

    def release(self, why: str) -> None:
        """Drop this reason; with the last one, it opens."""
        self._holds.discard(why)
        if not self._holds:
            self._open.set()

    def is_held(self, why: str) -> bool:
        """Say whether it is closed for this reason."""
        return why in self._holds
