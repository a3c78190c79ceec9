"""The hooks' calls under every kind of fault: stopping one message and many, asking where one is, and sending.

Over a real socket, with each gateway in each format, and by client ids as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from support.ground_truth import Comparison, compare, state_as_told
from support.sandbox_process import SandboxProcess
from support.sandboxed import HOOKS, SERVICES, Service

from airflow_provider_smscancel.exceptions import SmsGatewayError, SmsGatewayUnavailable
from airflow_provider_smscancel.hooks.base import MAY_HAVE_BEEN_SENT
from airflow_provider_smscancel.sandbox.faults import KINDS
from torture.plan import Plan, Row, say
from torture.runs import CONCURRENCY, RATE, SHARE, TIMEOUT_S, quiet, some_of

STATES = ("scheduled", "scheduled", "scheduled", "queued", "sent", "cancelled", "failed", "unknown")
EACH = 500
"""Each call is made under each kind of fault with one in so many of the messages."""
KINDS_WITH_FEW = 2
WAYS_WITH_FEW = 3
MANY = 20
"""``cancel_messages`` stops one in so many of the messages, under all kinds together."""
OFTEN = 0.5
"""How many of the single calls' requests go wrong."""
ASKS_TO_SLOW_DOWN = {kind for kind in KINDS if kind.startswith("429")}
NOT_IN_TIME = {"slow", "drip"}


@dataclass
class Sends:
    """What came of sends.

    :param again: requests beyond one for each send that no 429 explains.
    :param created: messages beyond one for each send.
    :param untrue: sends of which it was said that nothing was sent though something was, or that bear an id of no message.
    """

    tried: int = 0
    again: int = 0
    created: int = 0
    untrue: int = 0


@dataclass
class Found:
    """What came of one way to talk to a gateway."""

    one: Comparison = field(default_factory=Comparison)
    many: Comparison = field(default_factory=Comparison)
    asked: int = 0
    wrong_states: int = 0
    no_state: int = 0
    sends: Sends = field(default_factory=Sends)
    failed_with: Counter[str] = field(default_factory=Counter)

    def add(self, other: Found) -> None:
        """Take up what came of another."""
        self.one += other.one
        self.many += other.many
        self.asked += other.asked
        self.wrong_states += other.wrong_states
        self.no_state += other.no_state
        for name in ("tried", "again", "created", "untrue"):
            setattr(self.sends, name, getattr(self.sends, name) + getattr(other.sends, name))
        self.failed_with += other.failed_with


def attack(plan: Plan) -> list[Row]:
    """Make every call in every format under every kind of fault."""
    found = Found()
    say(f"   {len(SERVICES)} ways to talk to a gateway, side by side")
    with quiet(), ThreadPoolExecutor(len(SERVICES)) as pool:
        for seed in plan.seeds:
            random = Random(seed)  # noqa: S311 - reproducible on purpose
            ways = some_of(range(len(SERVICES)), plan.messages, WAYS_WITH_FEW, random)
            for one in pool.map(lambda way, seed=seed: _Way(way, plan, seed).attack(), ways):  # type: ignore[misc]
                found.add(one)
    sends = found.sends
    said = ", ".join(f"{name} {count}" for name, count in found.failed_with.most_common())
    return [
        Row(
            "hook.cancel_message, each kind of fault",
            found.one.messages,
            "messages",
            found.one.lost,
            str(found.one),
        ),
        Row(
            f"hook.cancel_messages, every kind on {SHARE:.0%} of the calls",
            found.many.messages,
            "messages",
            found.many.lost,
            str(found.many),
        ),
        Row(
            "hook.get_message_status, each kind of fault",
            found.asked,
            "calls",
            found.wrong_states,
            f"{found.wrong_states} states that contradict the record; {found.no_state} calls ended with an error",
        ),
        Row(
            "hook.send_message, each kind of fault",
            sends.tried,
            "sends",
            sends.again + sends.created + sends.untrue,
            f"{sends.again} requests repeated for another reason than a 429, {sends.created} messages sent twice, "
            f"{sends.untrue} told untruly; errors: {said or 'none'}",
        ),
    ]


class _Way:
    """One way to talk to a gateway, at a sandbox of its own.

    :param number: which of :data:`SERVICES`.
    """

    def __init__(self, number: int, plan: Plan, seed: int) -> None:
        self._service: Service = SERVICES[number]
        self._plan = plan
        self._seed = seed
        self._random = Random(f"{self._service.name}:{seed}")  # noqa: S311 - reproducible on purpose
        self._conn_id = f"torture_{number}"
        self._sends = 0
        self._client_ids = 0

    def attack(self) -> Found:
        """Make every call under each kind of fault, or under a few of them when there are few messages."""
        found = Found()
        messages = self._plan.messages
        kinds = some_of(KINDS, messages, KINDS_WITH_FEW, self._random)
        with SandboxProcess("--seed", str(self._seed)) as self._sandbox, self._hook() as self._gateway_hook:
            for kind in kinds:
                found.add(self._under(kind, max(2, messages // EACH)))
            found.many += self._many(max(10, messages // MANY))
        return found

    @contextlib.contextmanager
    def _hook(self) -> Iterator[Any]:
        extra = {
            **self._service.fields["extra"],
            "timeout": TIMEOUT_S,
            "requests_per_second": RATE,
            "max_concurrency": CONCURRENCY,
        }
        connection = {**self._service.fields, "host": self._sandbox.url, "extra": extra}
        name = f"AIRFLOW_CONN_{self._conn_id.upper()}"
        os.environ[name] = json.dumps({"conn_type": self._service.gateway, **connection})
        hook = HOOKS[self._service.gateway](self._conn_id)
        waits: list[float] = []
        # Waits between repeats are noted, not waited.
        hook.__dict__["_caller"] = replace(
            hook._caller,  # noqa: SLF001
            sleep=waits.append,
            clock=lambda: time.monotonic() + sum(waits),
        )
        try:
            yield hook
        finally:
            del os.environ[name]

    def _under(self, kind: str, count: int) -> Found:
        found = Found()
        before = self._struck()
        # These take until the time limit, each time.
        settings: dict[str, Any] = {"kinds": [kind], "times": 2 if kind in NOT_IN_TIME else None}
        found.one = self._stop_each(count, settings)
        self._ask_each(count, settings, found)
        self._send_each(count, settings, found)
        return found if self._struck() - before else Found()  # not every kind befalls every format

    def _struck(self) -> Counter[str]:
        calls = self._sandbox.traffic(self._service.gateway)["calls"]
        return Counter(
            {
                (name, outcome): number
                for name, outcomes in calls.items()
                for outcome, number in outcomes.items()
                if outcome.startswith("fault ")
            }
        )

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _put_in(self, count: int) -> dict[str, tuple[str, str | None]]:
        """Put messages in. Return, by the gateway's id, the id to name each by and its state before."""
        orders, named = [], []
        for _ in range(count):
            state = self._random.choice(STATES)
            self._client_ids += 1
            client_id = f"torture{self._client_ids}"
            named.append(client_id)
            order = {"gateway": self._service.gateway, "state": "scheduled" if state == "unknown" else state}
            if self._service.id_type == "client_message_id":
                order["client_message_id"] = client_id
            orders.append((order, state))
        ids = self._sandbox.put_in([order for order, _ in orders])
        found: dict[str, tuple[str, str | None]] = {}
        for message_id, client_id, (_, state) in zip(ids, named, orders, strict=True):
            own = client_id if self._service.id_type == "client_message_id" else message_id
            if state == "unknown":
                found[f"unknown {message_id}"] = (_changed(own), None)
            else:
                found[message_id] = (own, state)
        return found

    def _compare(self, given: dict[str, tuple[str, str | None]], outcomes: dict[str, str]) -> Comparison:
        self._sandbox.set_faults(profile="none")
        began_as = {message_id: state for message_id, (_, state) in given.items()}
        by_message = {message_id: outcomes[own] for message_id, (own, _) in given.items() if own in outcomes}
        return compare(self._service.gateway, began_as, by_message, self._sandbox.truth())

    def _stop_each(self, count: int, settings: dict[str, Any]) -> Comparison:
        given = self._put_in(count)
        self._sandbox.set_faults(share=OFTEN, **settings)
        outcomes = {}
        for own, _ in given.values():
            with contextlib.suppress(SmsGatewayError):  # then it has no outcome, which counts
                outcomes[own] = str(self._gateway_hook.cancel_message(**{self._service.id_type: own}).outcome)
        return self._compare(given, outcomes)

    def _many(self, count: int) -> Comparison:
        given = self._put_in(count)
        self._sandbox.set_faults(share=SHARE, kinds=[kind for kind in KINDS if kind != "429-ten-years"])
        ids = [own for own, _ in given.values()]
        results = self._gateway_hook.cancel_messages(ids, id_type=self._service.id_type)
        return self._compare(given, {each.message_id: str(each.outcome) for each in results})

    # -- asking -------------------------------------------------------------------------------------------------------

    def _ask_each(self, count: int, settings: dict[str, Any], found: Found) -> None:
        given = self._put_in(count)
        self._sandbox.set_faults(share=OFTEN, **settings)
        record = self._sandbox.truth()
        for message_id, (own, _) in given.items():
            found.asked += 1
            try:
                told = self._gateway_hook.get_message_status(**{self._service.id_type: own})
            except SmsGatewayError as error:
                found.no_state += 1
                found.wrong_states += type(error).__name__ == "SmsGatewayAuthError"  # the account is in order
                continue
            state = record[message_id]["state"] if message_id in record else None
            found.wrong_states += told.state != state_as_told(self._service.gateway, state)

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_each(self, count: int, settings: dict[str, Any], found: Found) -> None:
        self._sandbox.set_faults(share=OFTEN, **settings)
        arrived = self._arrived()
        said = {self._number(): None for _ in range(count)}
        told: dict[str, str | None] = {number: self._send(number, found.failed_with) for number in said}
        arrived_since = self._arrived()
        self._sandbox.set_faults(profile="none")
        slowed = arrived_since["slowed"] - arrived["slowed"]
        found.sends.tried += count
        found.sends.again += max(0, arrived_since["all"] - arrived["all"] - count - slowed)
        created: dict[str, list[str]] = {number: [] for number in said}
        for message_id, row in self._sandbox.truth().items():
            created.get(row["to"], []).append(message_id)
        for number, ids in created.items():
            found.sends.created += max(0, len(ids) - 1)
            found.sends.untrue += _is_untrue(told[number], ids)

    def _send(self, number: str, failed_with: Counter[str]) -> str | None:
        """Send to a number. Return the id that it got, ``""`` when nothing is said to be sent, ``None`` when that is open."""
        at = datetime.now(UTC) + timedelta(hours=1) if self._random.random() < 0.5 else None
        try:
            (sent,) = self._gateway_hook.send_message(number, "An offer", scheduled_at=at)
        except SmsGatewayError as error:
            failed_with[type(error).__name__] += 1
            maybe = isinstance(error, SmsGatewayUnavailable) and MAY_HAVE_BEEN_SENT in str(error)
            return None if maybe else ""
        return sent.message_id or (None if "may have been sent" in (sent.error or "") else "")

    def _number(self) -> str:
        self._sends += 1
        return (
            f"{27_831_000_000 + self._sends}"
            if self._service.gateway == "clickatell"
            else f"{7_575_000_000 + self._sends}"
        )

    def _arrived(self) -> Counter[str]:
        """Count the sends that arrived, and those that were asked to slow down."""
        calls = self._sandbox.traffic(self._service.gateway)["calls"]
        count: Counter[str] = Counter()
        for name, outcomes in calls.items():
            if name in ("rest.send", "http.sendmsg", "SendMessage"):
                count["all"] += sum(outcomes.values())
                count["slowed"] += sum(outcomes.get(f"fault {kind}", 0) for kind in ASKS_TO_SLOW_DOWN)
        return count


def _is_untrue(told: str | None, created: list[str]) -> bool:
    """Tell whether what was said of a send contradicts the messages that there are."""
    if told is None:
        return False
    return bool(created) if told == "" else told not in created


def _changed(message_id: str) -> str:
    """Return an id of the same shape that nobody knows."""
    tail = message_id[-6:]
    return message_id[:-6] + ("000000" if tail != "000000" else "ffffff")
