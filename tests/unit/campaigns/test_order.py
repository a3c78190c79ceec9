"""In what order messages are asked."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns.messages import UNDATED
from airflow_provider_smscancel.campaigns.order import Job, WorkQueue, too_late_by_forecast
from airflow_provider_smscancel.campaigns.settlement import Again, Verb

STOP_AGAIN = Again(Verb.STOP, 0.0)
ASK = Again(Verb.STATUS, 0.0, full=True)


def queue_of(*due: float, first: Verb = Verb.STOP) -> WorkQueue:
    return WorkQueue(array("d", due), range(len(due)), first)


def drained(queue: WorkQueue, now: float = 0.0) -> list[int]:
    found = []
    while (job := queue.pop(now)) is not None:
        found.append(job.index)
    return found


def test_the_earliest_comes_first_and_ties_stay_in_the_order_given() -> None:
    assert drained(queue_of(30, 10, 20, 10)) == [1, 3, 2, 0]


def test_messages_without_a_date_come_before_all_dates() -> None:
    assert drained(queue_of(30, UNDATED, 10, UNDATED)) == [1, 3, 2, 0]


def test_messages_whose_time_has_passed_come_last_but_come() -> None:
    assert drained(queue_of(30, 5, 10, 20, UNDATED), now=10) == [4, 3, 0, 1, 2]


def test_a_message_whose_time_passes_while_others_are_asked_is_put_behind() -> None:
    queue = queue_of(10, 20, 30)
    assert queue.pop(0) == Job(0, Verb.STOP)
    assert queue.pop(25) == Job(2, Verb.STOP)
    assert queue.pop(25) == Job(1, Verb.STOP)
    assert queue.pop(25) is None


def test_a_repeat_that_can_wait_goes_behind_the_first_stops() -> None:
    queue = queue_of(100, 5000, 6000)
    queue.pop(0)
    queue.push(0, STOP_AGAIN, 0, requests_per_second=10)
    assert drained(queue) == [1, 2, 0]


def test_a_repeat_that_would_leave_before_its_turn_jumps_to_its_place_by_date() -> None:
    queue = queue_of(*[100.0 + number for number in range(50)])
    first = queue.pop(0)
    queue.push(0, STOP_AGAIN, 0, requests_per_second=0.1)
    assert first == queue.pop(0) == Job(0, Verb.STOP)


def test_a_message_without_a_date_goes_before_an_urgent_repeat() -> None:
    queue = queue_of(UNDATED, 3.0, UNDATED)
    assert queue.pop(0) == Job(0, Verb.STOP)
    queue.push(1, STOP_AGAIN, 0, requests_per_second=0.1)
    assert queue.pop(0) == Job(2, Verb.STOP)


def test_an_urgent_repeat_whose_time_passes_is_urgent_no_more() -> None:
    queue = queue_of(10, 5000, 6000)
    queue.pop(0)
    queue.push(0, STOP_AGAIN, 0, requests_per_second=0.01)
    assert drained(queue, now=11) == [1, 2, 0]


def test_status_queries_come_after_every_stop_even_of_messages_past_due() -> None:
    queue = queue_of(1, 50, 60)
    assert queue.pop(10) == Job(1, Verb.STOP)
    queue.push(1, ASK, 10, requests_per_second=0.001)
    assert queue.pop(10) == Job(2, Verb.STOP)
    queue.push(2, STOP_AGAIN, 10, requests_per_second=1000)
    assert [queue.pop(10), queue.pop(10), queue.pop(10), queue.pop(10)] == [
        Job(2, Verb.STOP),
        Job(0, Verb.STOP),
        Job(1, Verb.STATUS, full=True),
        None,
    ]


def test_a_survey_asks_for_statuses_in_the_same_order() -> None:
    queue = queue_of(30, UNDATED, 10, first=Verb.STATUS)
    assert queue.pop(0) == Job(1, Verb.STATUS)
    queue.push(1, ASK, 0, requests_per_second=10)
    assert drained(queue) == [2, 0, 1]


def test_the_length_counts_what_waits_in_every_lane() -> None:
    queue = queue_of(1, 50, 60, 70)
    assert len(queue) == 4
    queue.pop(10)
    assert len(queue) == 3
    queue.push(1, ASK, 10, requests_per_second=1)
    queue.push(1, STOP_AGAIN, 10, requests_per_second=1)
    queue.push(1, STOP_AGAIN, 49, requests_per_second=0.1)
    assert len(queue) == 6
    assert len(drained(queue, now=10)) == 6
    assert len(queue) == 0


def test_the_last_date_is_that_of_all_messages_and_infinite_with_one_undated() -> None:
    queue = queue_of(10, 300, 20)
    drained(queue)
    assert queue.last_due == 300
    assert queue_of(10, UNDATED).last_due == float("inf")
    assert queue_of().last_due == float("inf")


def test_what_seemed_past_due_is_taken_up_again_when_the_clock_proves_fast() -> None:
    queue = queue_of(10, 20, 5000)
    assert queue.pop(100) == Job(2, Verb.STOP)
    queue.clock_changed(15)
    assert queue.pop(15) == Job(1, Verb.STOP)
    assert queue.pop(15) == Job(0, Verb.STOP)


def test_after_the_clock_proves_fast_as_many_are_saved_as_if_it_had_been_right() -> None:
    due = [number * 0.05 for number in range(1, 2001)]  # twenty leave a second

    def saved_by(queue: WorkQueue) -> int:
        # Ten are asked a second, and a request takes 0.3 s to arrive.
        turns = [turn / 10 for turn in range(900)]
        jobs = [(turn, queue.pop(turn, 0.5, 10)) for turn in turns]
        return sum(job is not None and turn + 0.3 < due[job.index] for turn, job in jobs)

    corrected = queue_of(*due)
    assert corrected.pop(300.0, 0.5, 10) == Job(0, Verb.STOP)
    corrected.clock_changed(0.0)
    assert saved_by(corrected) >= 0.99 * saved_by(queue_of(*due))


DUE = st.one_of(st.just(UNDATED), st.floats(0, 100))


@settings(deadline=None)
@given(st.lists(DUE, max_size=30), st.data())
def test_whatever_is_put_in_comes_out_once(due: list[float], data: st.DataObject) -> None:
    queue = queue_of(*due)
    now = 0.0
    asked: list[int] = []
    pushed = 0
    for _ in range(200):
        now += data.draw(st.floats(0, 10))
        if data.draw(st.integers(0, 9)) == 0:
            queue.clock_changed(now)
        job = queue.pop(now)
        if job is None:
            break
        asked.append(job.index)
        if pushed < 20 and data.draw(st.booleans()):
            pushed += 1
            queue.push(job.index, data.draw(st.sampled_from([STOP_AGAIN, ASK])), now, 0.5)
    assert len(queue) == 0
    assert len(asked) == len(due) + pushed
    assert set(asked) == set(range(len(due)))


@settings(deadline=None)
@given(st.lists(st.integers(1, 12).map(float), max_size=7))
def test_no_other_order_saves_more_messages(due: list[float]) -> None:
    def saved_by_the_queue() -> int:
        queue = queue_of(*due)
        turns = range(len(due))
        return sum(due[job.index] > turn for turn in turns if (job := queue.pop(turn)) is not None)

    def best() -> int:
        # Jobs of one second each, the last beginning before its date: a set can be saved if for every date d no
        # more than ceil(d) of it have dates up to d.
        most = 0
        for chosen in range(1 << len(due)):
            dates = sorted(date for number, date in enumerate(due) if chosen >> number & 1)
            if all(date > turn for turn, date in enumerate(dates)):
                most = max(most, len(dates))
        return most

    assert saved_by_the_queue() == best()
    forecast = too_late_by_forecast(array("d", due), range(len(due)), now=0.0, requests_per_second=1)
    assert forecast == len(due) - best()


def test_the_forecast_counts_what_has_passed_and_what_the_rate_does_not_reach() -> None:
    due = array("d", [5.0, UNDATED, 101.0, 101.5, 101.9, 500.0])
    assert too_late_by_forecast(due, range(6), now=100.0, requests_per_second=1) == 3
    assert too_late_by_forecast(due, range(6), now=100.0, requests_per_second=100) == 1
    assert too_late_by_forecast(due, [5], now=100.0, requests_per_second=1) == 0
