"""Messages move through their states at exact moments of a clock that is passed in."""

from __future__ import annotations

import pytest

from airflow_provider_smscancel.sandbox import CLICKATELL, ESENDEX
from airflow_provider_smscancel.sandbox.clickatell_codes import code_of
from airflow_provider_smscancel.sandbox.esendex_answers import message_status_code
from airflow_provider_smscancel.sandbox.state import Phase, SandboxState


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> SandboxState:
    return SandboxState(wall_clock=clock)


def test_the_moments_of_a_message_are_exact(state: SandboxState, clock: Clock) -> None:
    start = clock.now
    message = state.add(CLICKATELL, "27999000001", scheduled_at=start + 100)
    seen = []
    for moment in (0, 98.999, 99, 99.999, 100, 104.999, 105):
        clock.now = start + moment
        seen.append((message.phase(clock.now), code_of(message, clock.now)))
    assert seen == [
        (Phase.SCHEDULED, "011"),
        (Phase.SCHEDULED, "011"),
        (Phase.QUEUED, "002"),
        (Phase.QUEUED, "002"),
        (Phase.SENT, "003"),
        (Phase.SENT, "003"),
        (Phase.SENT, "004"),
    ]
    assert message.sent_at == start + 100


@pytest.mark.parametrize(("gateway", "stoppable"), [(CLICKATELL, True), (ESENDEX, False)])
def test_a_queued_message_can_be_stopped_at_clickatell_only(
    state: SandboxState, clock: Clock, gateway: str, stoppable: bool
) -> None:
    message = state.add(gateway, "27999000001", scheduled_at=clock.now + 100)
    clock.now += 99.5
    assert state.stop(message)[0] is stoppable


@pytest.mark.parametrize("gateway", [CLICKATELL, ESENDEX])
def test_a_message_whose_moment_has_come_has_left(state: SandboxState, clock: Clock, gateway: str) -> None:
    message = state.add(gateway, "27999000001", scheduled_at=clock.now + 100)
    clock.now += 100
    assert state.stop(message) == (False, Phase.SENT)
    assert message.cancelled_at is None


def test_a_cancelled_message_never_leaves(state: SandboxState, clock: Clock) -> None:
    message = state.add(ESENDEX, "7575559999", scheduled_at=clock.now + 100)
    state.stop(message)
    clock.now += 1000
    assert message.phase(clock.now) is Phase.CANCELLED
    assert message_status_code(message, clock.now) == 507


def test_what_has_left_stays_sent_when_the_clock_goes_back(state: SandboxState, clock: Clock) -> None:
    message = state.add(CLICKATELL, "27999000001", scheduled_at=clock.now + 100)
    state.set_clock(clock.now + 200)
    state.set_clock(clock.now)
    assert message.phase(state.now()) is Phase.SENT


def test_the_clock_goes_on_from_where_it_was_set(state: SandboxState, clock: Clock) -> None:
    state.set_clock(5_000_000.0)
    clock.now += 7
    assert state.now() == 5_000_007.0


def test_ids_have_their_gateways_form_and_follow_from_the_seed() -> None:
    def ids(seed: int) -> list[str]:
        state = SandboxState(seed=seed)
        return [state.add(gateway, "27999000001").id for gateway in (CLICKATELL, ESENDEX)]

    clickatell_id, esendex_id = ids(1)
    assert len(clickatell_id) == 32
    assert clickatell_id == clickatell_id.lower()
    assert [len(part) for part in esendex_id.split("-")] == [8, 4, 4, 4, 12]
    assert ids(1) == [clickatell_id, esendex_id]
    assert ids(2) != [clickatell_id, esendex_id]


def test_a_rehearsal_changes_nothing(state: SandboxState, clock: Clock) -> None:
    message = state.add(CLICKATELL, "27999000001", scheduled_at=clock.now + 100)
    with state.rehearsal():
        state.stop(message)
        state.add(CLICKATELL, "27999000002")
    assert message.phase(clock.now) is Phase.SCHEDULED
    assert message.stop_requests == 0
    assert [kept.id for kept in state.messages()] == [message.id]


def test_every_pending_status_that_esendex_may_show_is_met(state: SandboxState, clock: Clock) -> None:
    messages = [state.add(ESENDEX, "7575559999", scheduled_at=clock.now + 100) for _ in range(50)]
    assert {message_status_code(message, clock.now) for message in messages} == {0, 201}
