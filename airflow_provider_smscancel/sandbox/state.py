"""The sandbox's messages and sessions: the truth that a report is compared with."""

from __future__ import annotations

import enum
import time
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from airflow_provider_smscancel.sandbox import CLICKATELL, ESENDEX, GATEWAYS, USUAL_CREDENTIALS, Credentials
from airflow_provider_smscancel.sandbox.faults import Faults
from airflow_provider_smscancel.sandbox.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SESSION_IDLE_S = 15 * 60.0
QUEUED_BEFORE_S = 1.0
"""How long before its time a message goes to the queue. No vendor says; a second is enough for a test."""


class Phase(enum.StrEnum):
    """Where a message is."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENT = "sent"
    CANCELLED = "cancelled"
    FAILED = "failed"


STOPPABLE = {
    CLICKATELL: frozenset({Phase.SCHEDULED, Phase.QUEUED}),
    ESENDEX: frozenset({Phase.SCHEDULED}),
}
"""Clickatell stops also what is "queued within our router"; Esendex only what was not "sent or queued"."""


@dataclass(slots=True)
class Message:
    """One message. Moments are seconds since 1970 on the sandbox's clock.

    :param code: the gateway's status code to show in place of the usual one, or ``None``.
    :param stop_requests: how often a stop of it was handled.
    :param first_stop_at: when the first stop of it arrived, also if a fault or an expired session kept that from being handled.
    """

    id: str
    gateway: str
    to: str
    sender: str = ""
    client_message_id: str | None = None
    scheduled_at: float | None = None
    queued_at: float | None = None
    sent_at: float | None = None
    cancelled_at: float | None = None
    failed: bool = False
    code: str | None = None
    stop_requests: int = 0
    first_stop_at: float | None = None

    def phase(self, now: float) -> Phase:
        """Return where the message is, after letting it leave if its time has come."""
        if self.cancelled_at is not None:
            return Phase.CANCELLED
        if self.failed:
            return Phase.FAILED
        if self.sent_at is None and (self.scheduled_at is None or self.scheduled_at <= now):
            self.sent_at = now if self.scheduled_at is None else self.scheduled_at
        if self.sent_at is not None:
            return Phase.SENT
        return Phase.QUEUED if self.queued_at is not None and self.queued_at <= now else Phase.SCHEDULED


class SandboxState:
    """Everything that the sandbox knows.

    :param seed: decides every id and every fault.
    :param latency: seconds by which each answer of a gateway is delayed.
    :param rate_limit: requests that each gateway takes in any sliding second, or ``None`` for no limit.
    :param faults: the profile of faults to start with.
    :param credentials: what is taken.
    :param wall_clock: returns the seconds since 1970.
    :param monotonic: returns seconds that only ever grow; rates are measured by it.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        latency: float = 0.0,
        rate_limit: int | None = None,
        faults: str = "none",
        credentials: Credentials = USUAL_CREDENTIALS,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seed = seed
        self._starting_profile = faults
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self.latency = latency
        self.rate_limit = rate_limit
        self.credentials = credentials
        self.reset()

    def reset(self) -> None:
        """Forget every message, session, count and moved clock, and start the random series anew."""
        self._clock_offset = 0.0
        self._id_random = Random(f"{self._seed}:ids")  # noqa: S311 - reproducible on purpose
        self._session_random = Random(f"{self._seed}:sessions")  # noqa: S311
        self._messages: dict[str, dict[str, Message]] = {gateway: {} for gateway in GATEWAYS}
        self._order: dict[str, list[Message]] = {gateway: [] for gateway in GATEWAYS}
        self._by_client_id: dict[str, list[Message]] = {}
        self._sessions: dict[str, float] = {}
        self._accepted_calls_left: int | None = None
        self._all_sessions: list[str] = []
        self._rehearsing = False
        self._undo: list[tuple[Message, float | None, str | None, int]] = []
        self.faults = Faults(seed=self._seed, profile=self._starting_profile)
        self.traffic = Traffic(self._monotonic)

    def now(self) -> float:
        """Return the sandbox's time in seconds since 1970."""
        return self._wall_clock() + self._clock_offset

    def set_clock(self, moment: float) -> None:
        """Move the clock; it goes on from there. What has left by then stays sent, even if it goes back."""
        for message in self.messages():
            message.phase(self.now())
        self._clock_offset = moment - self._wall_clock()

    def messages(self) -> Iterator[Message]:
        """Return every message, in the order in which each gateway took them."""
        for gateway in GATEWAYS:
            yield from list(self._order[gateway])

    def find(self, gateway: str, message_id: str) -> Message | None:
        """Return a message by the gateway's id, in either letter case."""
        return self._messages[gateway].get(message_id.lower())

    def find_by_client_id(self, client_message_id: str) -> list[Message]:
        """Return Clickatell's messages with this ``climsgid``, compared exactly."""
        return self._by_client_id.get(client_message_id, [])

    def another_id(self, gateway: str, message_id: str, random: Random) -> str:
        """Return the id of any other message of a gateway, or a made-up one when there is none."""
        order = self._order[gateway]
        if order:
            other = order[random.randrange(len(order))]
            if other.id != message_id:
                return other.id
        return _id_of(gateway, random)

    def add(
        self,
        gateway: str,
        to: str,
        *,
        message_id: str | None = None,
        scheduled_at: float | None = None,
        client_message_id: str | None = None,
        sender: str = "",
    ) -> Message:
        """Take a message: scheduled when ``scheduled_at`` is in the future, and sent at once otherwise."""
        if message_id is None:
            message_id = _id_of(gateway, self._id_random)
        now = self.now()
        message = Message(message_id, gateway, to, sender, client_message_id)
        if scheduled_at is not None and scheduled_at > now:
            message.scheduled_at = scheduled_at
            message.queued_at = scheduled_at - QUEUED_BEFORE_S
        else:
            message.scheduled_at = scheduled_at
            message.sent_at = now
        if not self._rehearsing:
            self._messages[gateway][message_id.lower()] = message
            self._order[gateway].append(message)
            if client_message_id and gateway == CLICKATELL:
                self._by_client_id.setdefault(client_message_id, []).append(message)
        return message

    def note_stop(self, message: Message) -> None:
        """Note that a stop of a message has arrived, whatever becomes of it."""
        if message.first_stop_at is None:
            message.first_stop_at = self.now()

    def stop(self, message: Message) -> tuple[bool, Phase]:
        """Cancel a message if it can still be cancelled.

        :return: whether this very call cancelled it, and where it is now.
        """
        now = self.now()
        phase = message.phase(now)
        self.note_stop(message)
        if self._rehearsing:
            self._undo.append((message, message.cancelled_at, message.code, message.stop_requests))
        message.stop_requests += 1
        if phase not in STOPPABLE[message.gateway]:
            return False, phase
        message.cancelled_at = now
        message.code = None
        return True, Phase.CANCELLED

    def stop_by_id(self, gateway: str, message_id: str) -> bool:
        """Cancel a message if it is known and can still be cancelled; return whether this very call did."""
        message = self.find(gateway, message_id)
        return message is not None and self.stop(message)[0]

    def stop_all(self, gateway: str) -> int:
        """Cancel whatever can still be cancelled; return how many that were."""
        return sum(self.stop(message)[0] for message in list(self._order[gateway]))

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Let calls be answered as usual, then take back what they did to messages; that a stop arrived stays."""
        self._rehearsing = True
        try:
            yield
        finally:
            self._rehearsing = False
            while self._undo:
                message, cancelled_at, code, stop_requests = self._undo.pop()
                message.cancelled_at, message.code = cancelled_at, code
                message.stop_requests = stop_requests

    def revoke_credentials(self, after: int = 0) -> None:
        """Accept no credentials any more, of neither gateway, once so many more calls had theirs accepted."""
        self._accepted_calls_left = after

    def accepts(self, *, right: bool) -> bool:
        """Say whether a call's credentials are accepted.

        :param right: whether they are the sandbox's own.
        """
        if not right or self._accepted_calls_left is None:
            return right
        self._accepted_calls_left = max(-1, self._accepted_calls_left - 1)
        return self._accepted_calls_left >= 0

    def open_session(self) -> str:
        """Open a session of Clickatell's HTTP API and return its id."""
        session_id = f"{self._session_random.getrandbits(128):032x}"
        self._sessions[session_id] = self.now()
        self._all_sessions.append(session_id)
        return session_id

    def sessions_so_far(self) -> list[str]:
        """Return every session that was opened since the last reset, those that have ended too."""
        return list(self._all_sessions)

    def use_session(self, session_id: str) -> bool:
        """Keep a session alive for another 15 minutes. False when it has expired, or never was."""
        last_use = self._sessions.get(session_id)
        if last_use is None or self.now() - last_use > SESSION_IDLE_S:
            self._sessions.pop(session_id, None)
            return False
        self._sessions[session_id] = self.now()
        return True

    def end_session(self, session_id: str) -> None:
        """End a session at once."""
        self._sessions.pop(session_id, None)


def _id_of(gateway: str, random: Random) -> str:
    number = random.getrandbits(128)
    return f"{number:032x}" if gateway == CLICKATELL else str(UUID(int=number, version=4))
