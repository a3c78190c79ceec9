"""Whether the gateway is there at all, told from how its answers come in."""

from __future__ import annotations

from airflow_provider_smscancel.gateways.base import Finding, Verdict

MOST_FAILURES_IN_A_ROW = 10
"""With faults on 30 % of the calls, ten in a row come once in 170,000 calls: an outage, not bad luck."""
FEWEST_FAILURES_IN_A_ROW = 3
LASTING_S = 30.0
"""For so long failures only, though few: an outage as well. One request at a time, each waiting for its time limit,
would take minutes to fail ten times."""
FIRST_PROBE_AFTER_S = 1.0
PROBE_EVERY_S = 5.0


def is_an_answer(verdict: Verdict) -> bool:
    """Tell whether the gateway itself spoke.

    A passing fault, or a page that is none of its answers, says that it did not. A word of its own that proves nothing,
    because it names another message, say, does not make it absent.
    """
    return verdict.finding is not Finding.FAULT and not verdict.noise


def may_be_about_one_message(verdict: Verdict) -> bool:
    """Tell whether what is not an answer may be owed to the message that was asked about.

    An error page may be: one id that the gateway stumbles over must not look like an outage. That the gateway can't
    be reached, or is out of service (502, 503, 504), is not.
    """
    return verdict.http_status not in (502, 503, 504)


class Health:
    """Counts failures in a row.

    :param give_up_after_s: how long the gateway may be down, in seconds.
    """

    def __init__(self, give_up_after_s: float) -> None:
        self._give_up_after_s = give_up_after_s
        self._failures = 0
        self._stumbled: set[int] = set()
        self._since = 0.0
        self._busy_since: float | None = None
        self._still_busy = 0
        self.down = False

    def good(self) -> bool:
        """Note an answer. Returns whether that ended an outage."""
        if self._failures:
            self._failures = 0
            self._stumbled.clear()
        self._busy_since = None
        self._still_busy = 0
        was_down, self.down = self.down, False
        return was_down

    def bad(self, now: float, open_messages: int, stumbled_over: int | None = None) -> bool:
        """Note a request without an answer.

        :param now: seconds, monotonic.
        :param open_messages: how many messages are not settled: few messages can not fail often.
        :param stumbled_over: the message that it may be owed to, which counts once only; ``None`` when it is not.
        :return: whether that began an outage.
        """
        enough = max(FEWEST_FAILURES_IN_A_ROW, min(MOST_FAILURES_IN_A_ROW, open_messages))
        if stumbled_over is not None:
            if stumbled_over in self._stumbled:
                return False
            self._stumbled.add(stumbled_over)
            enough = MOST_FAILURES_IN_A_ROW
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if stumbled_over is None and now - self._since >= LASTING_S:
            enough = FEWEST_FAILURES_IN_A_ROW
        if self.down or self._failures < enough:
            return False
        self.down = True
        return True

    def busy_for(self, now: float) -> float:
        """Note a request to slow down. Returns for how many seconds nothing else has come."""
        if self._busy_since is None:
            self._busy_since = now
        return now - self._busy_since

    def still_busy(self) -> bool:
        """Note a request to slow down that came though the run has waited for as long as it would.

        :return: whether there were enough of them in a row: what came after a single long pause may be a stray.
        """
        self._still_busy += 1
        return self._still_busy >= FEWEST_FAILURES_IN_A_ROW

    def down_for(self, now: float) -> float:
        """Tell for how many seconds the gateway has not answered."""
        return now - self._since if self._failures else 0.0

    def patience_left(self, now: float) -> float:
        """Tell how many seconds are left until the run gives up; not positive when it is time."""
        return self._give_up_after_s - self.down_for(now)
