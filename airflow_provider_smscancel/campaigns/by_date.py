"""The messages that were not asked yet, by their dates: which of them comes next when there is not time for all.

Dropping what is past due and taking the earliest date among the rest is optimal for jobs of equal length that are all there
from the start: no schedule saves more. It needs one precaution. When there is not time for all, the earliest one left is always
about to leave, and a request that arrives a moment after has saved nobody: every single one would come too late. So messages
that may leave before a request about them arrives are asked only while that costs none of those that can be saved for sure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from airflow_provider_smscancel.campaigns.messages import UNDATED

LOOKED_AT = 1000
"""How many messages are looked at to tell whether there is time for all of them: every one, or every tenth, or …"""
LOOK_AGAIN_AFTER = 200
"""For how many messages that holds, unless the pace changes."""
SAME_PACE = 1.05


class ByDate:
    """Messages in the order of their dates; without a date first, and otherwise as given.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages.
    """

    def __init__(self, due: array[float], todo: Iterable[int]) -> None:
        self._due = due
        self._order = array("q", sorted(todo, key=due.__getitem__))
        self._undated = bisect_right(self._order, UNDATED, key=due.__getitem__)
        self._taken = bytearray(len(self._order))
        self._next = 0
        self._safe = 0
        self._left = len(self._order)
        self._seen_at = 0
        self._seen_step = 0.0
        self._must_begin = 0.0

    def __len__(self) -> int:
        return self._left

    @property
    def last_due(self) -> float:
        """When the last of all leaves, or infinity when there is one that has no date."""
        if not self._order or self._due[self._order[0]] == UNDATED:
            return float("inf")
        return self._due[self._order[-1]]

    def left(self) -> Iterator[int]:
        """Go through those that were not taken."""
        return (index for index, taken in zip(self._order, self._taken, strict=True) if not taken)

    def take_undated(self) -> int | None:
        """Take the next that has no date, if there is one."""
        if self._next < self._undated and self._skip_taken() and self._next < self._undated:
            return self.take(self._next)
        return None

    def take_past(self, now: float) -> int | None:
        """Take the next whose time has passed, if there is one."""
        if self._skip_taken() and UNDATED < self._due[self._order[self._next]] <= now:
            return self.take(self._next)
        return None

    def peek(self, certain_from: float, requests_per_second: float) -> int | None:
        """Find the position of the one to ask next, once those whose time has passed are taken.

        :param certain_from: what leaves before may be gone before a request about it arrives; seconds since 1970.
        :param requests_per_second: how fast they will be asked.
        """
        if not self._skip_taken():
            return None
        due = self._due[self._order[self._next]]
        if due == UNDATED or due > certain_from or self.has_time_for_all(certain_from, requests_per_second):
            return self._next
        return self._first_safe(certain_from)

    def has_time_for_all(self, certain_from: float, requests_per_second: float) -> bool:
        """Say whether one more request can be made before those that can be saved for sure, and all of them still be saved."""
        safe = self._first_safe(certain_from)
        if safe == len(self._order):
            return True
        step = 1 / requests_per_second
        return self._latest_begin(safe, step) - certain_from >= step

    def due_at(self, position: int) -> float:
        """When the message at a position leaves."""
        return self._due[self._order[position]]

    def take(self, position: int) -> int:
        """Take the message at a position."""
        self._taken[position] = 1
        self._left -= 1
        return self._order[position]

    def _skip_taken(self) -> bool:
        """Go to the first that was not taken. Returns whether there is one."""
        self._next = self._taken.find(0, self._next) if self._left else len(self._order)
        return self._left > 0

    def _first_safe(self, certain_from: float) -> int:
        """Find the first that is sure to be there still. All behind it were not taken."""
        self._safe = max(self._safe, self._next)
        while self._safe < len(self._order) and (
            self._taken[self._safe] or self._due[self._order[self._safe]] <= certain_from
        ):
            self._safe += 1
        return self._safe

    def _latest_begin(self, position: int, step: float) -> float:
        """Say when asking those from a position on must begin, so that each is asked before its time.

        Looked up anew only now and then: when some of them were asked since, the rest may begin later by at least as much.
        """
        passed = position - self._seen_at
        changed = not step / SAME_PACE <= self._seen_step <= step * SAME_PACE
        if changed or not 0 <= passed < LOOK_AGAIN_AFTER:
            stride = max(1, (len(self._order) - position) // LOOKED_AT)
            self._must_begin = min(
                self._due[self._order[at]] - (at - position) * step
                for at in range(position, len(self._order), stride)
            )
            self._seen_at, self._seen_step, passed = position, step, 0
        return self._must_begin + passed * self._seen_step
