"""What has become of each message of a run so far, and the way out for what is settled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import SettledMessage
from airflow_provider_smscancel.campaigns.settlement import Case, Settled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from airflow_provider_smscancel.campaigns.order import Job
    from airflow_provider_smscancel.gateways.base import Verdict

GIVE_UP_AT_ONCE = 500
"""How many messages are handed over in one go: requests may still be in flight, and the loop may have others to serve."""
FLUSH_EVERY_S = 0.05
FLUSH_AT = 500


class Ledger:
    """Knows which messages are open, and hands over those that are settled, in batches.

    :param messages: how many the campaign has.
    :param todo: which of them the run is about, by index.
    :param make_case: makes the case of a message that is not settled by its first answer.
    :param deliver: takes what is settled; called in the loop's thread, must not block.
    :param wall: this machine's clock, seconds since 1970.
    """

    def __init__(
        self,
        messages: int,
        todo: Sequence[int],
        *,
        make_case: Callable[[int], Case],
        deliver: Callable[[list[SettledMessage]], None],
        wall: Callable[[], float],
    ) -> None:
        self._todo = todo
        self._make_case = make_case
        self._deliver = deliver
        self._wall = wall
        self._settled = bytearray(messages)
        self._cases: dict[int, Case] = {}
        self._out: list[SettledMessage] = []
        self._usual = Settled(Outcome.CANCELLED, None, "")
        self._never_asked: Settled | None = None
        self.open = len(todo)
        """How many messages are not settled."""

    def case(self, index: int) -> Case:
        """Return the case of a message, opened when there is none."""
        case = self._cases.get(index)
        if case is None:
            case = self._cases[index] = self._make_case(index)
        return case

    def has_case(self, index: int) -> bool:
        """Say whether a message's first answer, or failure, left something to find out."""
        return index in self._cases

    def settle(self, index: int, settled: Settled, attempts: int) -> None:
        """Take a message as settled.

        :param attempts: how many stops were asked for.
        """
        self._settled[index] = 1
        self._cases.pop(index, None)
        self.open -= 1
        self._out.append(SettledMessage(index, settled, attempts, self._wall()))
        if len(self._out) >= FLUSH_AT:
            self.flush()

    def usual(self, verdict: Verdict) -> Settled:
        """Say that the first answer to a stop confirmed it: what happens a million times, so it is made once."""
        usual = self._usual
        if usual.code != verdict.code or usual.detail != verdict.detail:
            usual = self._usual = Settled(Outcome.CANCELLED, verdict.code, verdict.detail)
        return usual

    def interrupted(self, jobs: Iterable[Job]) -> None:
        """Note that requests were cut short: they may have been acted upon."""
        for job in jobs:
            if not self._settled[job.index]:
                self.case(job.index).interrupted(job.verb)

    async def give_up(self, why: str) -> None:
        """Settle as open what is not settled, a few at a time."""
        await self._give_up(lambda index: not self._settled[index], why)

    async def give_up_never_asked(self, why: str, in_flight: Collection[int]) -> None:
        """Do so with the messages that no request was made about."""
        await self._give_up(
            lambda index: not self._settled[index] and index not in self._cases and index not in in_flight,
            why,
        )

    async def _give_up(self, is_meant: Callable[[int], bool], why: str) -> None:
        for start in range(0, len(self._todo), GIVE_UP_AT_ONCE):
            for index in filter(is_meant, self._todo[start : start + GIVE_UP_AT_ONCE]):
                self._give_up_one(index, why)
            await asyncio.sleep(0)

    def _give_up_one(self, index: int, why: str) -> None:
        case = self._cases.get(index)
        if case is not None:
            self.settle(index, case.give_up(why), case.attempts)
            return
        if self._never_asked is None:
            # Perhaps a million times the same: made once.
            self._never_asked = self._make_case(index).give_up(why)
        self.settle(index, self._never_asked, 0)

    async def flush_now_and_then(self) -> None:
        """Hand over what is settled, every :data:`FLUSH_EVERY_S` seconds, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self.flush()

    def flush(self) -> None:
        """Hand over what is settled."""
        if self._out:
            out, self._out = self._out, []
            self._deliver(out)
