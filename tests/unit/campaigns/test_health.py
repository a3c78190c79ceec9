"""Whether the gateway is there at all."""

from __future__ import annotations

import pytest

from airflow_provider_smscancel.campaigns.health import (
    FEWEST_FAILURES_IN_A_ROW,
    LASTING_S,
    MOST_FAILURES_IN_A_ROW,
    Health,
    is_an_answer,
    may_be_about_one_message,
)
from airflow_provider_smscancel.gateways.base import Finding, Verdict

MANY = 1000


def failures_until_down(health: Health, open_messages: int, *, every_s: float = 0.1) -> int:
    count = 1
    while not health.bad(count * every_s, open_messages):
        count += 1
        assert count < 100
    return count


def test_ten_failures_in_a_row_are_an_outage_which_begins_once() -> None:
    health = Health(600)
    assert failures_until_down(health, MANY) == MOST_FAILURES_IN_A_ROW
    assert health.down
    assert not health.bad(99, MANY)


@pytest.mark.parametrize(("open_messages", "enough"), [(1, 3), (3, 3), (5, 5), (10, 10), (11, 10)])
def test_few_messages_need_fewer_failures(open_messages: int, enough: int) -> None:
    assert failures_until_down(Health(600), open_messages) == enough


def test_an_answer_in_between_begins_the_count_anew() -> None:
    health = Health(600)
    for _ in range(5):
        for second in range(MOST_FAILURES_IN_A_ROW - 1):
            assert not health.bad(second / 10, MANY)
        assert not health.good()
    assert not health.down


def test_an_answer_ends_an_outage_once() -> None:
    health = Health(600)
    failures_until_down(health, MANY)
    assert health.good()
    assert not health.down
    assert not health.good()


def test_few_failures_that_last_are_an_outage() -> None:
    health = Health(600)
    assert failures_until_down(health, MANY, every_s=LASTING_S / 2) == FEWEST_FAILURES_IN_A_ROW


def test_one_message_that_the_gateway_stumbles_over_counts_once() -> None:
    health = Health(600)
    for second in range(100):
        assert not health.bad(second, 1, stumbled_over=7)
    for index in range(100, 100 + MOST_FAILURES_IN_A_ROW - 2):
        assert not health.bad(100, 1, stumbled_over=index)
    assert health.bad(100, 1, stumbled_over=8)


def test_an_answer_forgets_what_was_stumbled_over() -> None:
    health = Health(600)
    health.bad(0, MANY, stumbled_over=7)
    health.good()
    for index in range(MOST_FAILURES_IN_A_ROW - 1):
        assert not health.bad(1, MANY, stumbled_over=index)
    assert health.bad(1, MANY, stumbled_over=MOST_FAILURES_IN_A_ROW)


def test_the_patience_runs_from_the_first_failure() -> None:
    health = Health(60)
    assert health.patience_left(1000) == 60
    health.bad(1000, MANY)
    health.bad(1010, MANY)
    assert health.down_for(1030) == 30
    assert health.patience_left(1030) == 30
    assert health.patience_left(1060) <= 0
    health.good()
    assert health.down_for(1060) == 0


def test_how_long_nothing_but_slow_down_was_heard() -> None:
    health = Health(60)
    assert health.busy_for(100) == 0
    assert health.busy_for(130) == 30
    health.good()
    assert health.busy_for(140) == 0


@pytest.mark.parametrize(
    ("verdict", "spoke"),
    [
        (Verdict(Finding.CANCELLED, "006"), True),
        (Verdict(Finding.BUSY), True),
        (Verdict(Finding.REFUSED, "101"), True),
        (Verdict(Finding.UNREADABLE, "099"), True),
        (Verdict(Finding.UNREADABLE, detail="the answer names another message"), True),
        (Verdict(Finding.UNREADABLE, noise=True), False),
        (Verdict(Finding.FAULT, "901"), False),
        (Verdict(Finding.FAULT), False),
    ],
)
def test_who_spoke(verdict: Verdict, spoke: bool) -> None:
    assert is_an_answer(verdict) is spoke


@pytest.mark.parametrize(
    ("status", "maybe"), [(500, True), (400, True), (200, True), (502, False), (503, False), (504, False)]
)
def test_an_error_page_may_be_owed_to_one_message_but_not_a_service_that_is_out(
    status: int, maybe: bool
) -> None:
    assert may_be_about_one_message(Verdict(Finding.FAULT, http_status=status)) is maybe
