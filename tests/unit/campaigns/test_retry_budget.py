"""The budget of repeats, and how an engine keeps to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from support.scripted import Call, page, play, rest, rest_balance, rest_says

from airflow_provider_smscancel.campaigns.retry_budget import RetryBudget
from airflow_provider_smscancel.campaigns.settlement import Again, Verb
from airflow_provider_smscancel.gateways.base import Answer

AGAIN = Again(Verb.STOP, 0.0)


class Timers:
    """A clock that is set by hand, and what is to be called back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timers:
        self.calls.append((self.now + delay, callback))
        return self

    def cancel(self) -> None:
        self.calls.clear()

    def go_on(self) -> bool:
        """Go to the next call back, if there is one."""
        if not self.calls:
            return False
        self.now, callback = self.calls.pop(0)
        callback()
        return True


class Let:
    """A budget, and which repeats it has let go."""

    def __init__(self, rate: float) -> None:
        self.timers = Timers()
        self.gone: list[int] = []
        self.budget = RetryBudget(rate, self.timers, lambda index, _: self.gone.append(index))

    def repeat(self, count: int) -> None:
        for index in range(count):
            self.budget.repeat(index, AGAIN)


def test_what_is_saved_up_is_free_and_then_repeats_trickle_in_order() -> None:
    let = Let(20)  # 10 s worth: 200; a tenth by time alone: 2 a second
    let.repeat(203)
    assert let.gone == list(range(200))
    assert let.timers.go_on()
    assert (let.timers.now, let.gone[200:]) == (0.5, [200])
    while let.timers.go_on():
        pass
    assert (let.timers.now, let.gone) == (1.5, list(range(203)))


def test_an_answer_pays_for_a_repeat_that_waits_or_comes_later() -> None:
    let = Let(1)
    let.repeat(102)
    let.budget.earn()
    assert len(let.gone) == 101
    let.budget.earn()
    let.budget.earn()
    assert len(let.gone) == 102
    let.repeat(1)
    assert len(let.gone) == 103


def test_more_is_never_saved_up_than_ten_seconds_worth() -> None:
    let = Let(20)
    let.timers.now = 1e6
    for _ in range(1000):
        let.budget.earn()
    let.repeat(500)
    assert len(let.gone) == 200


def test_after_the_end_of_the_run_nothing_goes_any_more() -> None:
    let = Let(1)
    let.repeat(500)
    assert let.timers.calls
    let.budget.close()
    assert not let.timers.calls
    assert len(let.gone) == 100


def repeats_when(answers: Callable[[int], bool]) -> tuple[list[float], int]:
    """Play 3,000 messages at 100 a second.

    :param answers: whether a request is answered, by its number; the others meet an error page.
    :return: when repeats left, and how many messages were stopped.
    """
    numbers = itertools.count()
    seen: set[str] = set()
    repeats: list[float] = []

    def script(call: Call) -> Answer:
        if call.verb == "balance":
            return rest_balance()
        if call.message_id in seen:
            repeats.append(call.at)
        seen.add(call.message_id)
        return rest_says(call.message_id, "006") if answers(next(numbers)) else page(500)

    played = play(rest(), 3000, script, rate=100, concurrency=16)
    assert played.outcomes.total() == 3000
    return repeats, played.outcomes["cancelled"]


def test_while_most_requests_fail_repeats_do_not_take_the_whole_pace() -> None:
    # Never ten failures in a row: it is no outage, which would pause the run.
    repeats, _ = repeats_when(lambda number: number % 8 == 0)
    # Once every message was asked for the first time (30 s) and what was saved up is spent, only repeats are left.
    later = [at for at in repeats if at > 60]
    assert len(later) > 100
    assert len(later) / (max(later) - 60) <= 25


def test_faults_on_a_third_of_the_requests_cost_neither_a_message_nor_time() -> None:
    repeats, cancelled = repeats_when(lambda number: number % 3 != 0)
    assert cancelled == 3000
    assert max(repeats) < 60
