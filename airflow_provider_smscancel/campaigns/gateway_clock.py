"""The time by the gateway's clock, told from the ``Date`` of its answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from airflow_provider_smscancel.gateways.base import Answer

log = logging.getLogger(__name__)

CLOCK_TOLERANCE_S = 30.0
ABSURD_SKEW_S = 10 * 366 * 86_400.0
"""A gateway's clock that is off by more is no clock to go by."""
CLOCK_CHECK_EVERY_S = 1.0


class GatewayClock:
    """The clock of this machine, corrected once the gateway's proves to differ notably.

    :param wall: this machine's clock, seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._skew_s = 0.0
        self._checked_at = float("-inf")

    def now(self) -> float:
        """Tell the seconds since 1970 by the gateway's clock, as far as it differs notably from this machine's."""
        return self._wall() + self._skew_s

    def note(self, answer: Answer, now: float) -> bool:
        """Look at an answer's date, now and then. Returns whether the time has changed by it.

        :param now: seconds that never go back.
        """
        if now - self._checked_at < CLOCK_CHECK_EVERY_S:
            return False
        self._checked_at = now
        try:
            theirs = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (ValueError, TypeError, IndexError, OverflowError):
            return False
        # An HTTP date is in GMT, also when its zone is missing.
        theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
        # It tells whole seconds, cut off.
        skew_s = theirs.timestamp() + 0.5 - self._wall()
        if abs(skew_s) > ABSURD_SKEW_S:
            return False
        skew_s = skew_s if abs(skew_s) > CLOCK_TOLERANCE_S else 0.0
        if abs(skew_s - self._skew_s) <= CLOCK_TOLERANCE_S:
            return False
        log.warning(
            "This machine's clock is %.0f s off the gateway's: the order goes by the gateway's.", skew_s
        )
        self._skew_s = skew_s
        return True
