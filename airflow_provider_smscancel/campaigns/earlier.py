"""What earlier tries have settled for good, for a million messages in a dozen megabytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_smscancel.campaigns.outcome import CARRIED_OVER, Outcome

_MOST_KINDS = 60_000
"""How many different pairs of outcome and status are told apart; there are a few dozen. Further ones lose their status."""


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """What an earlier try has settled for good."""

    outcome: Outcome
    gateway_status: str | None


class SettledEarlier(Mapping[int, CarriedOver]):
    """By a message's place in the campaign: what was settled last, if it can not change any more.

    :param total: how many messages the campaign has.
    """

    def __init__(self, total: int) -> None:
        self._kind = array("H", bytes(2 * total))
        self._try = array("H", bytes(2 * total))
        self._at = array("d", bytes(8 * total))
        # The first stands for messages of which nothing is known.
        self._kinds: list[CarriedOver] = [CarriedOver(Outcome.NOT_ATTEMPTED, None)]
        self._places: dict[CarriedOver, int] = {}

    def note(self, index: int, found: CarriedOver, *, try_number: int, at: float) -> None:
        """Take up one line of a report: the last by (``try_number``, ``at``) counts.

        :param at: when it was settled, in seconds since 1970.
        """
        rank = (min(try_number, 0xFFFF), at)
        if not self._kind[index] or (self._try[index], self._at[index]) <= rank:
            self._kind[index] = self._place_of(found)
            self._try[index], self._at[index] = rank

    def _place_of(self, found: CarriedOver) -> int:
        if found not in self._places:
            if len(self._kinds) >= _MOST_KINDS:
                found = CarriedOver(found.outcome, None)
            self._places.setdefault(found, len(self._kinds))
            if self._places[found] == len(self._kinds):
                self._kinds.append(found)
        return self._places[found]

    def __getitem__(self, index: int) -> CarriedOver:
        found = self._kinds[self._kind[index]] if 0 <= index < len(self._kind) else self._kinds[0]
        if found.outcome not in CARRIED_OVER:
            raise KeyError(index)
        return found

    def __iter__(self) -> Iterator[int]:
        return (index for index in range(len(self._kind)) if index in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
