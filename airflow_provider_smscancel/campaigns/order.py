"""In what order: the most urgent message that can still be stopped comes first."""

from __future__ import annotations

import heapq
import math
from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_smscancel.campaigns.by_date import ByDate
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
    are to be repeated wait until every message whose time has not passed was asked once, unless they would leave before:
    then they take their place by date. Status queries come last: a message that is asked about can not be saved by the answer.

    :param due: when each message leaves, seconds since 1970.
    :param todo: the messages to ask.
    :param first: what to ask each of them first.
    """

    def __init__(self, due: array[float], todo: Iterable[int], first: Verb = Verb.STOP) -> None:
        self._due = due
        self._first = first
        self._fresh = ByDate(due, todo)
        self.last_due = self._fresh.last_due
        """When the last message leaves, or infinity when there is one that has no date."""
        self._urgent: list[tuple[float, int, Job]] = []
        self._repeats: deque[Job] = deque()
        self._late: deque[Job] = deque()
        self._queries: deque[Job] = deque()
        self._pushed = 0

    def __len__(self) -> int:
        waiting = len(self._urgent) + len(self._repeats) + len(self._late) + len(self._queries)
        return len(self._fresh) + waiting

    def __bool__(self) -> bool:
        return bool(self._fresh or self._urgent or self._repeats or self._late or self._queries)

    def pop_undated(self) -> Job | None:
        """Take a message that has no date and was not asked yet, if there is one: it comes before all others, by any clock."""
        index = self._fresh.take_undated()
        return None if index is None else Job(index, self._first)

    def pop(self, now: float, doubtful_s: float = 0.0, requests_per_second: float = math.inf) -> Job | None:
        """Take the most urgent job.

        :param now: seconds since 1970, by the gateway's clock.
        :param doubtful_s: what leaves within so many seconds may be gone before a request about it arrives: because the
            way takes time, and because the gateway may send early.
        :param requests_per_second: how fast the messages behind it will be asked.
        """
        certain_from = now + doubtful_s
        while (past := self._fresh.take_past(now)) is not None:
            self._late.append(Job(past, self._first))
        while self._urgent and self._is_in_vain(self._urgent[0][0], now, certain_from, requests_per_second):
            self._late.append(heapq.heappop(self._urgent)[2])
        fresh = self._fresh.peek(certain_from, requests_per_second)
        if self._urgent and (fresh is None or self._urgent[0][0] <= self._fresh.due_at(fresh)):
            return heapq.heappop(self._urgent)[2]
        if fresh is not None:
            return Job(self._fresh.take(fresh), self._first)
        for lane in (self._repeats, self._late, self._queries):
            if lane:
                return lane.popleft()
        return None

    def _is_in_vain(self, due: float, now: float, certain_from: float, requests_per_second: float) -> bool:
        if due > certain_from:
            return False
        return due <= now or not self._fresh.has_time_for_all(certain_from, requests_per_second)

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
            self._pushed += 1  # breaks ties in the order given, so that jobs are never compared
            heapq.heappush(self._urgent, (due, self._pushed, job))
        else:
            self._repeats.append(job)

    def clock_changed(self, now: float) -> None:
        """Look again at what seemed past due, now that the gateway's clock is known."""
        late, self._late = self._late, deque()
        in_time = [job.index for job in late if self._due[job.index] > now]
        self._late.extend(job for job in late if self._due[job.index] <= now)
        # Also without any: what seemed sure to be there still may not be so any more, or the other way round.
        self._fresh = ByDate(self._due, [*self._fresh.left(), *in_time])


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
