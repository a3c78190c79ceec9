"""In what order: the most urgent message that can still be stopped comes first.

Dropping what is past due and taking the earliest date among the rest is optimal for jobs of equal length that
are all there from the start: no schedule saves more. It needs one precaution. When there is not time for all, the
earliest one left is always about to leave, and a request that arrives a moment after has saved nobody: every single one
would come too late. So messages that may leave before a request about them arrives are asked only while that costs none
of those that can be saved for sure.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_smscancel.campaigns.messages import UNDATED
from airflow_provider_smscancel.campaigns.settlement import Again, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Job(NamedTuple):
    """One request to be made.

    :param index: which message of the campaign.
    :param full: use the gateway's more telling status call.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    verb: Verb
    full: bool = False


class _ByDate:
    """The messages that were not asked yet, in order of their dates; without a date first.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages to ask.
    :param requests_per_second: how fast they will be asked.
    """

    def __init__(self, due: array[float], todo: Iterable[int], requests_per_second: float) -> None:
        self._due = due
        self._order = array("q", sorted(todo, key=due.__getitem__))
        self._step = 1 / requests_per_second
        self._slack = self._slacks()
        self._taken = bytearray(len(self._order))
        self._next = 0
        self._safe = 0
        self._left = len(self._order)

    def __len__(self) -> int:
        return self._left

    @property
    def last_due(self) -> float:
        """When the last of all leaves, or infinity when there is one that has no date."""
        if not self._order or self._due[self._order[0]] == UNDATED:
            return float("inf")
        return self._due[self._order[-1]]

    def take_past(self, now: float) -> Iterator[int]:
        """Take those whose time has passed."""
        while self._skip_taken() and UNDATED < self._due[self._order[self._next]] <= now:
            yield self.take(self._next)

    def peek(self, now: float, doubtful_s: float) -> int | None:
        """Find the position of the one to ask next, once those whose time has passed are taken.

        :param doubtful_s: what leaves within so many seconds may be gone before a request about it arrives.
        """
        if not self._skip_taken():
            return None
        certain_from = now + doubtful_s
        due = self._due[self._order[self._next]]
        if due == UNDATED or due > certain_from:
            return self._next
        safe = self._first_safe(certain_from)
        if safe == len(self._order) or self._slack[safe] + safe * self._step - certain_from >= self._step:
            return self._next
        return safe

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

    def _slacks(self) -> array[float]:
        """For each position: how much time the tightest of it and those behind it has, when asked from time 0 on in order."""
        slack = array("d", bytes(8 * len(self._order)))
        least = float("inf")
        for position in range(len(self._order) - 1, -1, -1):
            least = slack[position] = min(least, self._due[self._order[position]] - position * self._step)
        return slack


class WorkQueue:
    """What is to be asked, most urgent first.

    Lanes, in this order: messages without a date, then by date; those whose time has passed go behind. Stops that
    are to be repeated wait until every message was asked once, unless they would leave before: then they take
    their place by date. Status queries come last: a message that is asked about can not be saved by the answer.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages to ask.
    :param first: what to ask each of them first.
    :param requests_per_second: how fast they will be asked.
    """

    def __init__(
        self,
        due: array[float],
        todo: Iterable[int],
        first: Verb = Verb.STOP,
        *,
        requests_per_second: float = math.inf,
    ) -> None:
        self._due = due
        self._first = first
        self._fresh = _ByDate(due, todo, requests_per_second)
        self._urgent: list[tuple[float, int, Job]] = []
        self._repeats: deque[Job] = deque()
        self._late: deque[Job] = deque()
        self._queries: deque[Job] = deque()
        self._pushed = 0

    def __len__(self) -> int:
        waiting = len(self._urgent) + len(self._repeats) + len(self._late) + len(self._queries)
        return len(self._fresh) + waiting

    @property
    def last_due(self) -> float:
        """When the last message leaves, or infinity when there is one that has no date."""
        return self._fresh.last_due

    def pop(self, now: float, doubtful_s: float = 0.0) -> Job | None:
        """Take the most urgent job.

        :param now: seconds since 1970, by the gateway's clock.
        :param doubtful_s: what leaves within so many seconds may be gone before a request about it arrives: because the
            way takes time, and because the gateway may send early.
        """
        self._late.extend(Job(index, self._first) for index in self._fresh.take_past(now))
        while self._urgent and self._urgent[0][0] <= now:
            self._late.append(heapq.heappop(self._urgent)[2])
        fresh = self._fresh.peek(now, doubtful_s)
        if self._urgent and (fresh is None or self._urgent[0][0] <= self._fresh.due_at(fresh)):
            return heapq.heappop(self._urgent)[2]
        if fresh is not None:
            return Job(self._fresh.take(fresh), self._first)
        for lane in (self._repeats, self._late, self._queries):
            if lane:
                return lane.popleft()
        return None

    def pop_query(self) -> Job | None:
        """Take a status query that waits, ahead of its turn."""
        return self._queries.popleft() if self._queries else None

    def push(self, index: int, again: Again, now: float, requests_per_second: float) -> None:
        """Put a message back.

        :param now: seconds since 1970, by the gateway's clock.
        :param requests_per_second: how fast the messages before it will be asked.
        """
        job = Job(index, again.verb, again.full)
        due = self._due[index]
        if again.verb is Verb.STATUS and self._first is Verb.STOP:
            self._queries.append(job)
        elif now < due < now + len(self._fresh) / requests_per_second:
            self._put_by_date(job)
        else:
            self._repeats.append(job)

    def clock_changed(self, now: float) -> None:
        """Look again at what seemed past due, now that the gateway's clock is known."""
        late, self._late = self._late, deque()
        for job in late:
            if self._due[job.index] > now:
                self._put_by_date(job)
            else:
                self._late.append(job)

    def _put_by_date(self, job: Job) -> None:
        self._pushed += 1  # breaks ties in the order given, so that jobs are never compared
        heapq.heappush(self._urgent, (self._due[job.index], self._pushed, job))


def too_late_by_forecast(
    due: array[float], todo: Iterable[int], *, now: float, requests_per_second: float
) -> int:
    """Forecast how many messages will leave before their turn.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages to be asked.
    :param now: when the first is asked, seconds since 1970.
    :return: those whose time has passed already, and those that the rate does not reach in time.
    """
    missed = 0
    turn = now
    step = 1 / requests_per_second
    for leaves in sorted(due[index] for index in todo):
        if leaves != UNDATED and leaves <= turn:
            missed += 1
        else:
            turn += step
    return missed
