"""How one message is settled: which question comes next, and when the answers suffice for an outcome.

Pure: a case is fed verdicts and failures and says what to do. Who sends, when, and how fast, is the engine's
business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.gateways.base import STATE_OF_FINDING, Finding, MessageState, Verdict
from airflow_provider_smscancel.transport.policy import backoff_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_smscancel.transport.failure import TransportFailure

STOPS_PER_ROUND = 4
STATUSES_PER_ROUND = 4
UNSURE_APART_S = 2.0
"""Two answers of "unknown, or reporting delayed" count as one word only when they are this far apart."""
STATUS_PAUSE_S = 1.0
"""How long a gateway gets to act on a stop that it has not refused, before it is asked what became of it."""


class Verb(Enum):
    """What to ask a gateway about a message."""

    STOP = "stop"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Settled:
    """The answers suffice.

    :param outcome: an :class:`Outcome`, or a :class:`MessageState` when only statuses were asked for.
    :param in_doubt: the allowance is used up and nobody knows: another round may tell.
    """

    outcome: Outcome | MessageState
    code: str | None
    detail: str
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Ask (again).

    :param delay_s: not before so many seconds from now.
    :param full: use the gateway's more telling status call, where it has one.
    """

    verb: Verb
    delay_s: float
    full: bool = False


Step = Settled | Again


class Case(Protocol):
    """One message on its way to an outcome."""

    attempts: int
    """How many stop requests were made."""

    def after_answer(self, verb: Verb, verdict: Verdict, now: float) -> Step:
        """Say what follows from an answer that was neither about the account nor about the session."""

    def after_failure(self, verb: Verb, failure: TransportFailure) -> Step:
        """Say what follows from a request that got no answer."""

    def after_account_refusal(self, verb: Verb, verdict: Verdict) -> None:
        """Note that the account was refused at the door: this message was not acted upon."""

    def again(self) -> Again:
        """Begin another round, with a fresh allowance of requests."""

    def while_down(self, verb: Verb) -> Again:
        """Give back the allowance of one request that met a gateway that was down, and say what to try next."""

    def give_up(self, why: str) -> Settled:
        """Say what is known when the run ends here."""

    def interrupted(self, verb: Verb) -> None:
        """Note that a request was cut short: it may have been acted upon."""


class StopCase:
    """One message to be stopped.

    :param random: a number from 0 to 1, for the jitter.
    :param first_try: whether no earlier try of this campaign may have asked already.
    """

    __slots__ = (
        "_code",
        "_detail",
        "_first_try",
        "_first_unsure",
        "_known",
        "_maybe_acted",
        "_random",
        "_reached",
        "_refusal",
        "_statuses_left",
        "_stops_left",
        "attempts",
    )

    def __init__(self, random: Callable[[], float], *, first_try: bool = True) -> None:
        self.attempts = 0
        self._random = random
        self._first_try = first_try
        self._stops_left = STOPS_PER_ROUND
        self._statuses_left = STATUSES_PER_ROUND
        self._reached = False
        self._maybe_acted = False
        self._known = False
        self._first_unsure: float | None = None
        self._refusal: Verdict | None = None
        self._code: str | None = None
        self._detail = "not asked yet"

    def after_answer(self, verb: Verb, verdict: Verdict, now: float) -> Step:
        """Say what follows from an answer."""
        self._code = verdict.code
        self._detail = verdict.detail
        if verb is Verb.STOP:
            self.attempts += 1
            self._stops_left -= 1
            return self._after_stop(verdict, now)
        self._statuses_left -= 1
        return self._after_status(verdict)

    def after_failure(self, verb: Verb, failure: TransportFailure) -> Step:
        """Say what follows from a request that got no answer."""
        self._code = None
        self._detail = str(failure)
        if verb is Verb.STOP:
            self.attempts += 1
            self._stops_left -= 1
            if not failure.never_left:
                self._reached = self._maybe_acted = True
            return self._stop_again()
        self._statuses_left -= 1
        return self._ask_again()

    def after_account_refusal(self, verb: Verb, verdict: Verdict) -> None:
        """Note that the account was refused at the door."""
        self.attempts += verb is Verb.STOP
        self._code = verdict.code
        self._detail = verdict.detail

    def again(self) -> Again:
        """Begin another round: stopping twice is harmless, so the stop comes first."""
        self._stops_left = STOPS_PER_ROUND
        self._statuses_left = STATUSES_PER_ROUND
        return Again(Verb.STOP, 0.0)

    def while_down(self, verb: Verb) -> Again:
        """Give back the allowance of one request that met a gateway that was down, and say what to try next.

        Where a stop may have been acted upon, the two calls take turns: a gateway that loses the answers to one of them
        may still answer the other.
        """
        if verb is Verb.STOP:
            self._stops_left += 1
            return Again(Verb.STATUS if self._maybe_acted else Verb.STOP, 0.0)
        self._statuses_left += 1
        return Again(Verb.STOP, 0.0)

    def interrupted(self, verb: Verb) -> None:
        """Note that a request was cut short."""
        if verb is Verb.STOP:
            self.attempts += 1
            self._reached = True
            self._code = None
            self._detail = "cut short while waiting for the answer"

    def give_up(self, why: str) -> Settled:
        """Say what is known when the run ends here."""
        if not self._reached:
            said = f"; last: {self._detail}" if self.attempts else ""
            return Settled(Outcome.NOT_ATTEMPTED, self._code, f"{why}{said}", in_doubt=True)
        return Settled(Outcome.UNCONFIRMED, self._code, f"{why}; last: {self._detail}", in_doubt=True)

    # -- after a stop -----------------------------------------------------------------------------------

    def _after_stop(self, verdict: Verdict, now: float) -> Step:
        finding = verdict.finding
        if finding is Finding.BUSY:
            # The gateway did not act; the whole run slows down, and this message keeps its allowance.
            self._stops_left += 1
            return Again(Verb.STOP, 0.0)
        self._reached = True
        if finding in _SETTLED_BY_STOP:
            return Settled(_SETTLED_BY_STOP[finding], verdict.code, verdict.detail)
        if finding is Finding.FAULT:
            self._maybe_acted = True
            return self._stop_again()
        if finding is Finding.UNKNOWN_ID:
            return self._after_unknown(verdict)
        if finding is Finding.UNSURE:
            return self._after_unsure(verdict, now)
        if finding is Finding.REFUSED:
            self._refusal = verdict
        elif finding is Finding.PENDING:
            self._known = self._maybe_acted = True
            return self._ask(STATUS_PAUSE_S)
        elif finding is not Finding.NOT_STOPPED:
            # Unreadable, or about another message: it may have been our stop that was acted upon.
            self._maybe_acted = True
        return self._ask(0.0)

    def _after_unknown(self, verdict: Verdict) -> Step:
        if self._maybe_acted or self._known:
            # A cancelled message may be forgotten: after a stop without an answer, ask for its status.
            return self._ask(0.0)
        return Settled(Outcome.NOT_FOUND, verdict.code, verdict.detail)

    def _after_unsure(self, verdict: Verdict, now: float) -> Step:
        # "Reporting delayed": it may be this very stop that a later status tells of.
        self._maybe_acted = True
        if self._first_unsure is None:
            self._first_unsure = now
        elif not self._known and now - self._first_unsure >= UNSURE_APART_S:
            return Settled(Outcome.NOT_FOUND, verdict.code, f"{verdict.detail} (twice, seconds apart)")
        return self._ask(0.0)

    # -- after a status query ---------------------------------------------------------------------------

    def _after_status(self, verdict: Verdict) -> Step:
        finding = verdict.finding
        if finding is Finding.CANCELLED:
            return Settled(self._cancelled_by(), verdict.code, verdict.detail)
        if finding in _SETTLED_BY_STATUS:
            return Settled(_SETTLED_BY_STATUS[finding], verdict.code, verdict.detail)
        if finding is Finding.UNKNOWN_ID and not self._known:
            return Settled(Outcome.NOT_FOUND, verdict.code, verdict.detail)
        if finding is Finding.PENDING:
            self._known = True
            return self._refused() or self._stop_again()
        if finding is Finding.UNSURE:
            return self._refused_unacted() or self._stop_again(UNSURE_APART_S)
        if finding is Finding.REFUSED:
            return self._refused_unacted() or self._ask_again()
        if finding is Finding.BUSY:
            self._statuses_left += 1
            return Again(Verb.STATUS, 0.0)
        return self._ask_again()

    def _cancelled_by(self) -> Outcome:
        """Whose doing it was that the status says "cancelled"."""
        ours = not self._first_try or self.attempts != 1 or self._maybe_acted
        return Outcome.CANCELLED if ours else Outcome.ALREADY_CANCELLED

    # -- what to ask next -------------------------------------------------------------------------------

    def _refused(self) -> Settled | None:
        """Reject it if a stop was refused for good: the status has just said that none was acted upon."""
        if self._refusal is None:
            return None
        return Settled(Outcome.REJECTED, self._refusal.code, self._refusal.detail)

    def _refused_unacted(self) -> Settled | None:
        """Reject it though the status says nothing, if no other stop of ours can have been acted upon."""
        return None if self._maybe_acted else self._refused()

    def _stop_again(self, at_least_s: float = 0.0) -> Step:
        if self._stops_left > 0:
            wait = backoff_seconds(STOPS_PER_ROUND - self._stops_left - 1, self._random)
            return Again(Verb.STOP, max(at_least_s, wait))
        if self._reached and self._statuses_left == STATUSES_PER_ROUND:
            return self._ask(0.0)
        return self.give_up("the answers do not settle it")

    def _ask(self, delay_s: float) -> Step:
        if self._statuses_left > 0:
            return Again(Verb.STATUS, delay_s)
        return self._stop_again()

    def _ask_again(self) -> Step:
        if self._statuses_left > 0:
            asked = STATUSES_PER_ROUND - self._statuses_left
            # Every other time the more telling call, where there is one: the plain one may be withdrawn.
            return Again(Verb.STATUS, backoff_seconds(asked - 1, self._random), full=asked % 2 == 1)
        return self._stop_again()


_SETTLED_BY_STOP = {
    Finding.CANCELLED: Outcome.CANCELLED,
    Finding.SENT: Outcome.TOO_LATE,
    Finding.DEAD: Outcome.WILL_NOT_SEND,
}
_SETTLED_BY_STATUS = {Finding.SENT: Outcome.TOO_LATE, Finding.DEAD: Outcome.WILL_NOT_SEND}


class StatusCase:
    """One message whose state is asked for, and nothing else: a dry run.

    :param random: a number from 0 to 1, for the jitter.
    """

    __slots__ = ("_left", "_random", "attempts")

    def __init__(self, random: Callable[[], float]) -> None:
        self.attempts = 0
        self._random = random
        self._left = STATUSES_PER_ROUND

    def after_answer(self, verb: Verb, verdict: Verdict, now: float) -> Step:  # the protocol's shape
        """Say what follows from an answer."""
        state = STATE_OF_FINDING.get(verdict.finding)
        if state is not None:
            return Settled(state, verdict.code, verdict.detail)
        if verdict.finding is Finding.BUSY:
            return Again(Verb.STATUS, 0.0)
        self._left -= 1
        return self._again_or_unknown(verdict.code, verdict.detail)

    def after_failure(self, verb: Verb, failure: TransportFailure) -> Step:  # the protocol's shape
        """Say what follows from a request that got no answer."""
        self._left -= 1
        return self._again_or_unknown(None, str(failure))

    def after_account_refusal(self, verb: Verb, verdict: Verdict) -> None:
        """Nothing to remember: a status query leaves no trace."""

    def again(self) -> Again:
        """Begin another round."""
        self._left = STATUSES_PER_ROUND
        return Again(Verb.STATUS, 0.0)

    def while_down(self, verb: Verb) -> Again:  # the protocol's shape
        """Give back the allowance of one request that met a gateway that was down."""
        self._left += 1
        return Again(Verb.STATUS, 0.0)

    def interrupted(self, verb: Verb) -> None:
        """Nothing was asked for that could have been acted upon."""

    def give_up(self, why: str) -> Settled:
        """Say what is known when the run ends here: nothing."""
        return Settled(MessageState.UNKNOWN, None, why, in_doubt=True)

    def _again_or_unknown(self, code: str | None, detail: str) -> Step:
        if self._left <= 0:
            return Settled(MessageState.UNKNOWN, code, detail, in_doubt=True)
        asked = STATUSES_PER_ROUND - self._left
        return Again(Verb.STATUS, backoff_seconds(asked - 1, self._random), full=asked % 2 == 1)
