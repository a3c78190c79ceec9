"""How soon a message may leave and yet be gone before a request about it arrives, told from the answers so far."""

from __future__ import annotations

FIRST_GUESS_S = 0.5
EARLIER_BY = 1.25
"""How fast the estimate grows while messages at its very edge prove to have left."""
EDGE_S = 1.0


class Doubt:
    """An estimate of that time: the way there and back, and how early the gateway sends.

    :param at_most_early_s: how early it sends at the most, in seconds. A date in a list may be wrong: what left still earlier
        than that says nothing about the gateway.
    """

    def __init__(self, at_most_early_s: float) -> None:
        self._at_most_early_s = at_most_early_s
        self._early_s = 0.0
        self._way_s = FIRST_GUESS_S
        self._smoothed_s: float | None = None
        self._variation_s = 0.0
        self.answer_s = 0.0
        """How many seconds an answer takes, smoothed; 0 before the first."""
        self.seconds = FIRST_GUESS_S
        """What leaves within so many seconds may be gone."""

    def note_way(self, seconds: float) -> None:
        """Take up how long one request took there and back; smoothed as TCP does for its own time-outs (RFC 6298)."""
        if self._smoothed_s is None:
            self._smoothed_s, self._variation_s = seconds, seconds / 2
        else:
            self._variation_s += (abs(seconds - self._smoothed_s) - self._variation_s) / 4
            self._smoothed_s += (seconds - self._smoothed_s) / 8
        self.answer_s = self._smoothed_s
        self._way_s = self._smoothed_s + 4 * self._variation_s
        self.seconds = self._way_s + self._early_s

    def note_gone(self, before_its_time_s: float) -> None:
        """Take up that a message had left so many seconds before its time."""
        # Only what is new and stood at the very edge: much further off, a wrong date in the list is likelier.
        if self._early_s < before_its_time_s <= EARLIER_BY * self.seconds + EDGE_S:
            self._early_s = min(self._at_most_early_s, EARLIER_BY * before_its_time_s + EDGE_S)
            self.seconds = self._way_s + self._early_s
