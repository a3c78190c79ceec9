"""One call at a time: the same questions and the same policy as the engine's, without a loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.sessions import AccountRefused
from airflow_provider_smscancel.campaigns.settlement import Again, Step, StopCase, Verb
from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, IdType, Request, Verdict
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.policy import (
    backoff_seconds,
    is_worth_retrying,
    retry_after_seconds,
    worth_repeating_send,
)

Read = TypeVar("Read")

MOST_TRIES = 4
MOST_STRAY_REFUSALS = 3
STRAY_REFUSAL_PAUSE_S = 1.0
LONGEST_WAIT_S = 30.0
"""A single call is made by somebody who waits: a longer ``Retry-After`` is cut."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Sends single requests and repeats them where that is worth it.

    :param gateway: builds requests and reads answers.
    :param send: sends one and returns its answer, or raises :class:`TransportFailure`.
    :param sleep: waits for so many seconds.
    :param clock: seconds, monotonic.
    :param wall: the time of day, in UTC.
    :param random: a number from 0 to 1, for the jitter.
    """

    gateway: Gateway
    send: Callable[[Request], Answer]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    random: Callable[[], float] = random.random

    # -- stopping one message -----------------------------------------------------------------------------------------

    def stop(self, message_id: str, id_type: IdType) -> CancelResult:
        """Stop one message.

        :raises AccountRefused: when the gateway refuses the account, and the balance call confirms it.
        """
        case = StopCase(self.random)
        step: Step = Again(Verb.STOP, 0.0)
        allowance = {Finding.BUSY: MOST_TRIES, Finding.ACCOUNT: MOST_STRAY_REFUSALS}
        while isinstance(step, Again):
            self.sleep(step.delay_s)
            step = self._ask(case, step, message_id, id_type, allowance)
        outcome = Outcome(step.outcome)
        return CancelResult(message_id, outcome, step.code, step.detail, case.attempts, self.wall())

    def _ask(
        self, case: StopCase, step: Again, message_id: str, id_type: IdType, allowance: dict[Finding, int]
    ) -> Step:
        gateway = self.gateway
        try:
            if step.verb is Verb.STOP:
                verdict = gateway.read_stop(message_id, id_type, self.send(gateway.stop(message_id, id_type)))
            else:
                full = step.full and gateway.has_full_status
                request = gateway.status(message_id, id_type, full=full)
                verdict = gateway.read_status(message_id, id_type, self.send(request))
        except TransportFailure as failure:
            following = case.after_failure(step.verb, failure)
            # What may have been acted upon is settled by a status query, however hopeless a repeat looks.
            if failure.never_left and not is_worth_retrying(failure):
                return case.give_up("repeating it would not help")
            return following
        # The fuller status needs a credential that stops and the plain status do without: its refusal ends nothing.
        of_the_fuller_call = step.verb is Verb.STATUS and step.full and gateway.has_full_status
        if verdict.finding is Finding.BUSY or (verdict.finding is Finding.ACCOUNT and not of_the_fuller_call):
            return self._asked_to_wait(case, step, verdict, allowance)
        following = case.after_answer(step.verb, verdict, self.clock())
        if verdict.http_status == 503 and isinstance(following, Again):
            return replace(following, delay_s=max(following.delay_s, self._wait_for(verdict, 0)))
        return following

    def _asked_to_wait(
        self, case: StopCase, step: Again, verdict: Verdict, allowance: dict[Finding, int]
    ) -> Step:
        if verdict.finding is Finding.ACCOUNT:
            case.after_account_refusal(step.verb, verdict)
            self._confirm_account(verdict)
            wait = STRAY_REFUSAL_PAUSE_S
        else:
            case.after_answer(step.verb, verdict, self.clock())
            wait = self._wait_for(verdict, MOST_TRIES - allowance[Finding.BUSY])
        allowance[verdict.finding] -= 1
        if allowance[verdict.finding] <= 0:
            return case.give_up("the gateway did not take the request")
        return Again(step.verb, wait, step.full)

    def _confirm_account(self, refusal: Verdict) -> None:
        request = self.gateway.account_check()
        if request is None:
            return
        verdict = self.ask(request, self.gateway.read_account_check)
        if isinstance(verdict, Verdict) and verdict.finding is Finding.ACCOUNT:
            raise AccountRefused(verdict)

    # -- any other call -----------------------------------------------------------------------------------------------

    def ask(self, request: Request, read: Callable[[Answer], Read]) -> Read | Verdict | TransportFailure:
        """Make a call that changes nothing, again while that is worth it.

        :param read: reads the answer.
        :return: what was read; else the last verdict or failure.
        """
        return self._repeat(request, read, _is_worth_it)

    def ask_about_message(
        self, request: Request, read: Callable[[Answer], Verdict]
    ) -> Verdict | TransportFailure:
        """Do the same, and believe a refusal of the account only when the balance call confirms it.

        :raises AccountRefused: when it does.
        """
        found = self.ask(request, read)
        for _ in range(MOST_STRAY_REFUSALS - 1):
            if not isinstance(found, Verdict) or found.finding is not Finding.ACCOUNT:
                return found
            self._confirm_account(found)
            self.sleep(STRAY_REFUSAL_PAUSE_S)
            found = self.ask(request, read)
        if isinstance(found, Verdict) and found.finding is Finding.ACCOUNT:
            detail = f"{found.detail} (again and again, though the balance call does not confirm it)"
            return replace(found, finding=Finding.FAULT, detail=detail)
        return found

    def ask_impatiently(
        self, request: Request, read: Callable[[Answer], Read]
    ) -> Read | Verdict | TransportFailure:
        """Make a call that changes nothing, for a person who waits: only a passing fault is asked about again.

        :param read: reads the answer.
        :return: what was read; else the last verdict or failure.
        """
        return self._repeat(request, read, _is_passing_fault)

    def send_once(
        self, request: Request, read: Callable[[Answer], Read]
    ) -> Read | Verdict | TransportFailure:
        """Make a call that sends: repeated only while it provably had no effect.

        :param read: reads the answer.
        :return: what was read; else the last verdict or failure.
        """
        return self._repeat(request, read, _is_safe_to_repeat)

    def _repeat(
        self,
        request: Request,
        read: Callable[[Answer], Read],
        worth_it: Callable[[TransportFailure | Verdict], bool],
    ) -> Read | Verdict | TransportFailure:
        found: Read | Verdict | TransportFailure
        for attempt in range(MOST_TRIES):
            try:
                found = read(self.send(request))
            except TransportFailure as failure:
                found = failure
            last = attempt == MOST_TRIES - 1
            if last or not isinstance(found, Verdict | TransportFailure) or not worth_it(found):
                break
            self.sleep(self._wait_for(found if isinstance(found, Verdict) else None, attempt))
        return found

    def _wait_for(self, verdict: Verdict | None, attempt: int) -> float:
        asked = retry_after_seconds(verdict.retry_after, now=self.wall()) if verdict is not None else None
        if asked is not None:
            return min(asked, LONGEST_WAIT_S)
        return backoff_seconds(attempt, self.random)


def _is_worth_it(found: TransportFailure | Verdict) -> bool:
    return is_worth_retrying(found.finding if isinstance(found, Verdict) else found)


def _is_passing_fault(found: TransportFailure | Verdict) -> bool:
    return isinstance(found, Verdict) and found.finding is Finding.FAULT


def _is_safe_to_repeat(found: TransportFailure | Verdict) -> bool:
    """Tell whether a send may be repeated: it never left, or HTTP itself says 429 (an error 130 in a 200 does not)."""
    if isinstance(found, Verdict):
        return found.http_status == 429 and worth_repeating_send(found.finding)
    return worth_repeating_send(found)
