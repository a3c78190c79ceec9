"""In what order: the most urgent message that can still be stopped comes first.

Dropping what is past due and taking the earliest date among the rest is optimal for jobs of equal length that
are all there from the start: no schedule saves more.
"""

from __future__ import annotations

import heapq
from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_smscancel.campaigns.messages import UNDATED
from airflow_provider_smscancel.campaigns.settlement import Again, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable


class Job(NamedTuple):
    """One request to be made.

    :param index: which message of the campaign.
    :param full: use the gateway's more telling status call.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    verb: Verb
    full: bool = False


class WorkQueue:
    """What is to be asked, most urgent first.

    Lanes, in this order: messages without a date, then by date; those whose time has passed go behind. Stops that
    are to be repeated wait until every message was asked once, unless they would leave before: then they take
    their place by date. Status queries come last: a message that is asked about can not be saved by the answer.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages to ask.
    :param first: what to ask each of them first.
    """

    def __init__(self, due: array[float], todo: Iterable[int], first: Verb = Verb.STOP) -> None:
        self._due = due
        self._first = first
        self._order = array("q", sorted(todo, key=due.__getitem__))
        self._next = 0
        self._urgent: list[tuple[float, int, Job]] = []
        self._repeats: deque[Job] = deque()
        self._late: deque[Job] = deque()
        self._queries: deque[Job] = deque()
        self._pushed = 0

    def __len__(self) -> int:
        waiting = len(self._urgent) + len(self._repeats) + len(self._late) + len(self._queries)
        return len(self._order) - self._next + waiting

    @property
    def last_due(self) -> float:
        """When the last message leaves, or infinity when there is one that has no date."""
        if not self._order or self._due[self._order[0]] == UNDATED:
            return float("inf")
        return self._due[self._order[-1]]

    def pop(self, now: float) -> Job | None:
        """Take the most urgent job.

        :param now: seconds since 1970, by the gateway's clock.
        """
        fresh = self._peek_fresh(now)
        while self._urgent and self._urgent[0][0] <= now:
            self._late.append(heapq.heappop(self._urgent)[2])
        if self._urgent and (fresh is None or self._urgent[0][0] <= self._due[fresh]):
            return heapq.heappop(self._urgent)[2]
        if fresh is not None:
            self._next += 1
            return Job(fresh, self._first)
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
        elif now < due < now + (len(self._order) - self._next) / requests_per_second:
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

    def _peek_fresh(self, now: float) -> int | None:
        while self._next < len(self._order):
            index = self._order[self._next]
            if UNDATED < self._due[index] <= now:
                self._late.append(Job(index, self._first))
                self._next += 1
                continue
            return index
        return None


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
