"""What follows from what a gateway says: the outcome table, sequence by sequence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns.outcome import CARRIED_OVER, DONE, HARMLESS, OPEN, Outcome
from airflow_provider_smscancel.campaigns.settlement import (
    STATUSES_PER_ROUND,
    STOPS_PER_ROUND,
    UNSURE_APART_S,
    Again,
    Settled,
    StatusCase,
    Step,
    StopCase,
    Verb,
)
from airflow_provider_smscancel.gateways.base import Finding, MessageState, Verdict
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure

CANCELLED, PENDING, SENT, DEAD = Finding.CANCELLED, Finding.PENDING, Finding.SENT, Finding.DEAD
UNKNOWN_ID, UNSURE, NOT_STOPPED = Finding.UNKNOWN_ID, Finding.UNSURE, Finding.NOT_STOPPED
REFUSED, BUSY, FAULT, UNREADABLE = Finding.REFUSED, Finding.BUSY, Finding.FAULT, Finding.UNREADABLE
LOST, NEVER_LEFT = "lost", "never left"
STOP, STATUS = Verb.STOP, Verb.STATUS
UNFINISHED = "unfinished"

Event = Finding | str
Story = list[tuple[Verb, Event]]


def feed(case: StopCase | StatusCase, verb: Verb, event: Event, now: float) -> Step:
    if event == LOST:
        return case.after_failure(verb, TransportFailure(FailureKind.TIMEOUT))
    if event == NEVER_LEFT:
        return case.after_failure(verb, TransportFailure(FailureKind.REFUSED))
    assert isinstance(event, Finding)
    return case.after_answer(verb, Verdict(event, f"code of {event.value}", f"says {event.value}"), now)


def tell(story: Story, *, first_try: bool = True) -> Settled | Again:
    """Feed a case what its requests led to, checking that it asks for just these requests in this order."""
    case = StopCase(lambda: 0.5, first_try=first_try)
    step: Step = Again(STOP, 0.0)
    now = 0.0
    for verb, event in story:
        assert isinstance(step, Again), f"settled before {verb}: {event}"
        assert step.verb is verb
        now += step.delay_s + 0.05
        step = feed(case, verb, event, now)
    return step


def outcome_of(story: Story, *, first_try: bool = True) -> str:
    step = tell(story, first_try=first_try)
    return str(step.outcome) if isinstance(step, Settled) and not step.in_doubt else UNFINISHED


# -- the outcome table, for gateways that answer like Clickatell -------------------------------------------

CLICKATELL: list[tuple[str, Story, str]] = [
    ("006 to the stop", [(STOP, CANCELLED)], "cancelled"),
    ("006 to a stop repeated after a lost answer", [(STOP, LOST), (STOP, CANCELLED)], "cancelled"),
    ("006 to a stop repeated after a fault", [(STOP, FAULT), (STOP, CANCELLED)], "cancelled"),
    (
        "006 to a stop repeated after one that never left",
        [(STOP, NEVER_LEFT), (STOP, CANCELLED)],
        "cancelled",
    ),
    ("006 to a stop repeated after a 429", [(STOP, BUSY), (STOP, CANCELLED)], "cancelled"),
    ("006 in a status after a stop left pending", [(STOP, PENDING), (STATUS, CANCELLED)], "cancelled"),
    ("006 in a status after an unreadable answer", [(STOP, UNREADABLE), (STATUS, CANCELLED)], "cancelled"),
    (
        "006 in a status after a lost answer and a refusal",
        [(STOP, LOST), (STOP, REFUSED), (STATUS, CANCELLED)],
        "cancelled",
    ),
    (
        "006 in a status after one that never left and a refusal",
        [(STOP, NEVER_LEFT), (STOP, REFUSED), (STATUS, CANCELLED)],
        "cancelled",
    ),
    ("refused, and the status is 006", [(STOP, REFUSED), (STATUS, CANCELLED)], "already_cancelled"),
    (
        "refused, and the status is 006 at the second asking",
        [(STOP, REFUSED), (STATUS, LOST), (STATUS, CANCELLED)],
        "already_cancelled",
    ),
    ("003 or 004 to the stop", [(STOP, SENT)], "too_late"),
    ("003 or 004 in a status", [(STOP, PENDING), (STATUS, SENT)], "too_late"),
    ("003 or 004 after an unreadable answer", [(STOP, UNREADABLE), (STATUS, SENT)], "too_late"),
    ("failed, expired, or cancelled by staff", [(STOP, DEAD)], "will_not_send"),
    ("failed, in a status", [(STOP, REFUSED), (STATUS, DEAD)], "will_not_send"),
    ("103, 104 or 161 to the stop", [(STOP, UNKNOWN_ID)], "not_found"),
    (
        "unknown in a status after a refusal",
        [(STOP, REFUSED), (STATUS, UNKNOWN_ID)],
        "not_found",
    ),
    (
        "unknown to the stop after a lost answer, and to the status",
        [(STOP, LOST), (STOP, UNKNOWN_ID), (STATUS, UNKNOWN_ID)],
        "not_found",
    ),
    (
        "unknown to the stop after a lost answer, and cancelled by the status",
        [(STOP, LOST), (STOP, UNKNOWN_ID), (STATUS, CANCELLED)],
        "cancelled",
    ),
    (
        "unknown to the stop after one that never left",
        [(STOP, NEVER_LEFT), (STOP, UNKNOWN_ID)],
        "not_found",
    ),
    ("001 to two stops, seconds apart", [(STOP, UNSURE), (STATUS, UNSURE), (STOP, UNSURE)], "not_found"),
    ("001 to the stop, and the status is 006", [(STOP, UNSURE), (STATUS, CANCELLED)], "cancelled"),
    ("001 to one stop and a status", [(STOP, UNSURE), (STATUS, UNSURE)], UNFINISHED),
    (
        "001 once, then the status says sent",
        [(STOP, UNSURE), (STATUS, SENT)],
        "too_late",
    ),
    (
        "001 to two stops, but a status knew it between them",
        [(STOP, UNSURE), (STATUS, PENDING), (STOP, UNSURE)],
        UNFINISHED,
    ),
    ("refused, and pending by the status", [(STOP, REFUSED), (STATUS, PENDING)], "rejected"),
    ("refused, and so is the status", [(STOP, REFUSED), (STATUS, REFUSED)], "rejected"),
    ("refused, and the status is 001", [(STOP, REFUSED), (STATUS, UNSURE)], "rejected"),
    (
        "lost, refused, and pending by the status",
        [(STOP, LOST), (STOP, REFUSED), (STATUS, PENDING)],
        "rejected",
    ),
    ("lost, refused, and so is the status", [(STOP, LOST), (STOP, REFUSED), (STATUS, REFUSED)], UNFINISHED),
    ("lost, refused, and the status is 001", [(STOP, LOST), (STOP, REFUSED), (STATUS, UNSURE)], UNFINISHED),
    ("pending after the stop", [(STOP, PENDING), (STATUS, PENDING)], UNFINISHED),
]

ESENDEX: list[tuple[str, Story, str]] = [
    ("true", [(STOP, CANCELLED)], "cancelled"),
    ("false, and cancelled", [(STOP, NOT_STOPPED), (STATUS, CANCELLED)], "already_cancelled"),
    ("lost, false, and cancelled", [(STOP, LOST), (STOP, NOT_STOPPED), (STATUS, CANCELLED)], "cancelled"),
    (
        "400 HTML, false, and cancelled",
        [(STOP, FAULT), (STOP, NOT_STOPPED), (STATUS, CANCELLED)],
        "cancelled",
    ),
    (
        "never left, false, and cancelled",
        [(STOP, NEVER_LEFT), (STOP, NOT_STOPPED), (STATUS, CANCELLED)],
        "cancelled",
    ),
    (
        "false, pending, false, and cancelled",
        [(STOP, NOT_STOPPED), (STATUS, PENDING), (STOP, NOT_STOPPED), (STATUS, CANCELLED)],
        "cancelled",
    ),
    ("false, and sent or queued", [(STOP, NOT_STOPPED), (STATUS, SENT)], "too_late"),
    ("false, and failed", [(STOP, NOT_STOPPED), (STATUS, DEAD)], "will_not_send"),
    ("false, and not found", [(STOP, NOT_STOPPED), (STATUS, UNKNOWN_ID)], "not_found"),
    (
        "false, pending, false, and not found",
        [(STOP, NOT_STOPPED), (STATUS, PENDING), (STOP, NOT_STOPPED), (STATUS, UNKNOWN_ID)],
        UNFINISHED,
    ),
    ("a bare 404", [(STOP, UNREADABLE), (STATUS, UNREADABLE)], UNFINISHED),
    (
        "false, a bad licence key, and sent",
        [(STOP, NOT_STOPPED), (STATUS, Finding.ACCOUNT), (STATUS, SENT)],
        "too_late",
    ),
]


@pytest.mark.parametrize(("story", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in CLICKATELL])
def test_outcome_at_a_gateway_like_clickatell(story: Story, outcome: str) -> None:
    assert outcome_of(story) == outcome


@pytest.mark.parametrize(("story", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in ESENDEX])
def test_outcome_at_a_gateway_like_esendex(story: Story, outcome: str) -> None:
    assert outcome_of(story) == outcome


@pytest.mark.parametrize("refusal", [REFUSED, NOT_STOPPED])
def test_in_a_later_try_it_may_have_been_us_who_cancelled(refusal: Finding) -> None:
    assert outcome_of([(STOP, refusal), (STATUS, CANCELLED)], first_try=True) == "already_cancelled"
    assert outcome_of([(STOP, refusal), (STATUS, CANCELLED)], first_try=False) == "cancelled"


def test_a_settled_message_carries_the_code_and_the_words_of_the_answer_that_settled_it() -> None:
    step = tell([(STOP, NOT_STOPPED), (STATUS, SENT)])
    assert step == Settled(Outcome.TOO_LATE, "code of sent", "says sent")
    step = tell([(STOP, REFUSED), (STATUS, PENDING)])
    assert step == Settled(Outcome.REJECTED, "code of refused", "says refused")


# -- 001, which proves nothing by itself -------------------------------------------------------------------


@pytest.mark.parametrize(("apart_s", "outcome"), [(0.5, UNFINISHED), (1.9, UNFINISHED), (2.0, "not_found")])
def test_two_answers_of_001_count_only_when_seconds_apart(apart_s: float, outcome: str) -> None:
    case = StopCase(lambda: 0.5)
    case.after_answer(STOP, Verdict(UNSURE, "001"), 100.0)
    case.after_answer(STATUS, Verdict(UNSURE, "001"), 100.1)
    step = case.after_answer(STOP, Verdict(UNSURE, "001"), 100.0 + apart_s)
    assert (str(step.outcome) if isinstance(step, Settled) else UNFINISHED) == outcome


def test_two_answers_of_001_do_not_count_against_an_answer_that_knew_the_message() -> None:
    case = StopCase(lambda: 0.5)
    case.after_answer(STOP, Verdict(UNSURE, "001"), 100.0)
    case.after_answer(STATUS, Verdict(PENDING, "011"), 100.1)
    assert isinstance(case.after_answer(STOP, Verdict(UNSURE, "001"), 110.0), Again)


def test_the_stop_after_a_first_001_waits_until_it_can_count() -> None:
    step = tell([(STOP, UNSURE), (STATUS, UNSURE)])
    assert isinstance(step, Again)
    assert step.verb is STOP
    assert step.delay_s >= UNSURE_APART_S


def test_001_to_status_queries_settles_nothing() -> None:
    case = StopCase(lambda: 0.5)
    case.after_answer(STOP, Verdict(UNREADABLE), 0.0)
    for second in range(0, 12, 3):
        step = case.after_answer(STATUS, Verdict(UNSURE, "001"), float(second))
        assert isinstance(step, Again) or step.outcome is Outcome.UNCONFIRMED


# -- what nobody can tell ----------------------------------------------------------------------------------


def play(events: dict[Verb, Event], *, first_try: bool = True) -> tuple[Settled, StopCase, list[Verb]]:
    """Answer every request of one kind alike, until the case is settled or gives up."""
    case = StopCase(lambda: 0.5, first_try=first_try)
    step: Step = Again(STOP, 0.0)
    asked: list[Verb] = []
    now = 0.0
    while isinstance(step, Again):
        now += step.delay_s + 0.05
        asked.append(step.verb)
        step = feed(case, step.verb, events[step.verb], now)
        assert len(asked) <= 50
    return step, case, asked


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ({STOP: NEVER_LEFT}, "not_attempted"),
        ({STOP: LOST, STATUS: LOST}, "unconfirmed"),
        ({STOP: LOST, STATUS: NEVER_LEFT}, "unconfirmed"),
        ({STOP: FAULT, STATUS: FAULT}, "unconfirmed"),
        ({STOP: UNREADABLE, STATUS: UNREADABLE}, "unconfirmed"),
        ({STOP: PENDING, STATUS: PENDING}, "unconfirmed"),
        ({STOP: PENDING, STATUS: UNKNOWN_ID}, "unconfirmed"),
        ({STOP: PENDING, STATUS: UNSURE}, "unconfirmed"),
        ({STOP: NOT_STOPPED, STATUS: PENDING}, "unconfirmed"),
        ({STOP: NOT_STOPPED, STATUS: FAULT}, "unconfirmed"),
        ({STOP: NOT_STOPPED, STATUS: Finding.ACCOUNT}, "unconfirmed"),
        ({STOP: REFUSED, STATUS: LOST}, "unconfirmed"),
        ({STOP: Finding.ACCEPTED, STATUS: Finding.ACCEPTED}, "unconfirmed"),
    ],
)
def test_what_never_gets_a_clear_word_stays_open(events: dict[Verb, Event], outcome: str) -> None:
    settled, case, asked = play(events)
    assert str(settled.outcome) == outcome
    assert settled.in_doubt
    assert settled.outcome in OPEN
    assert case.attempts == asked.count(STOP) <= STOPS_PER_ROUND
    assert asked.count(STATUS) <= STATUSES_PER_ROUND


def test_a_lost_stop_a_refusal_and_no_status_stay_unconfirmed() -> None:
    case = StopCase(lambda: 0.5)
    feed(case, STOP, LOST, 0.0)
    step = feed(case, STOP, REFUSED, 1.0)
    while isinstance(step, Again):
        step = feed(case, step.verb, REFUSED if step.verb is STOP else LOST, 2.0)
    assert step.outcome is Outcome.UNCONFIRMED


def test_lost_stops_are_followed_by_a_status_query_before_giving_up() -> None:
    step = tell([(STOP, LOST)] * STOPS_PER_ROUND)
    assert isinstance(step, Again)
    assert step.verb is STATUS
    assert outcome_of([(STOP, LOST)] * STOPS_PER_ROUND + [(STATUS, CANCELLED)]) == "cancelled"


def test_a_gateway_gets_a_moment_to_act_on_a_stop_that_it_has_not_refused() -> None:
    step = tell([(STOP, PENDING)])
    assert isinstance(step, Again)
    assert step.delay_s >= 0.5


def test_repeats_wait_longer_each_time() -> None:
    case = StopCase(lambda: 1.0)
    delays = []
    for _ in range(STOPS_PER_ROUND - 1):
        step = feed(case, STOP, LOST, 0.0)
        assert isinstance(step, Again)
        delays.append(step.delay_s)
    assert delays == [0.5, 1.0, 2.0]


def test_every_other_repeated_status_query_is_the_more_telling_one() -> None:
    case = StopCase(lambda: 0.5)
    step = feed(case, STOP, NOT_STOPPED, 0.0)
    fulls = []
    while isinstance(step, Again) and step.verb is STATUS:
        fulls.append(step.full)
        step = feed(case, STATUS, UNREADABLE, 0.0)
    assert fulls == [False, True, False, True]


def test_a_second_round_has_a_fresh_allowance_and_remembers() -> None:
    _, case, _ = play({STOP: LOST, STATUS: LOST})
    step = case.again()
    assert (step.verb, step.delay_s) == (STOP, 0.0)
    feed(case, STOP, REFUSED, 100.0)
    settled = feed(case, STATUS, CANCELLED, 100.0)
    assert isinstance(settled, Settled)
    assert settled.outcome is Outcome.CANCELLED  # a stop of the first round may have done it


def test_slowing_down_costs_no_allowance() -> None:
    case = StopCase(lambda: 0.5)
    for _ in range(100):
        assert feed(case, STOP, BUSY, 0.0) == Again(STOP, 0.0)
    feed(case, STOP, NOT_STOPPED, 0.0)
    for _ in range(100):
        assert feed(case, STATUS, BUSY, 0.0) == Again(STATUS, 0.0)


def test_an_allowance_given_back_can_be_used() -> None:
    case = StopCase(lambda: 0.5)
    for _ in range(20):
        assert isinstance(feed(case, STOP, LOST, 0.0), Again)
        case.while_down(STOP)
    assert case.attempts == 20


def test_while_the_gateway_is_down_both_calls_take_turns_once_a_stop_may_have_been_acted_upon() -> None:
    case = StopCase(lambda: 0.5)
    feed(case, STOP, NEVER_LEFT, 0.0)
    assert case.while_down(STOP).verb is STOP
    feed(case, STOP, LOST, 0.0)
    assert case.while_down(STOP).verb is STATUS
    assert case.while_down(STATUS).verb is STOP


# -- when the run ends first -------------------------------------------------------------------------------


def test_a_message_never_asked_is_not_attempted() -> None:
    settled = StopCase(lambda: 0.5).give_up("the run was stopped")
    assert settled == Settled(Outcome.NOT_ATTEMPTED, None, "the run was stopped", in_doubt=True)


def test_a_message_that_only_met_a_refused_account_is_not_attempted() -> None:
    case = StopCase(lambda: 0.5)
    case.after_account_refusal(STOP, Verdict(Finding.ACCOUNT, "001", "authentication failed"))
    settled = case.give_up("the gateway refused the account")
    assert settled.outcome is Outcome.NOT_ATTEMPTED
    assert settled.code == "001"
    assert case.attempts == 1


def test_a_message_that_was_only_asked_to_wait_is_not_attempted() -> None:
    case = StopCase(lambda: 0.5)
    feed(case, STOP, BUSY, 0.0)
    assert case.give_up("the run was stopped").outcome is Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize("event", [LOST, FAULT, UNREADABLE, NOT_STOPPED, PENDING, REFUSED, UNSURE])
def test_a_message_that_was_asked_is_unconfirmed(event: Event) -> None:
    case = StopCase(lambda: 0.5)
    feed(case, STOP, event, 0.0)
    case.after_account_refusal(STOP, Verdict(Finding.ACCOUNT, "001"))
    assert case.give_up("the run was stopped").outcome is Outcome.UNCONFIRMED


def test_a_stop_that_was_cut_short_is_unconfirmed() -> None:
    case = StopCase(lambda: 0.5)
    case.interrupted(STOP)
    settled = case.give_up("the run was stopped")
    assert settled.outcome is Outcome.UNCONFIRMED
    assert case.attempts == 1


def test_a_status_query_that_was_cut_short_is_no_stop() -> None:
    case = StopCase(lambda: 0.5)
    feed(case, STOP, NOT_STOPPED, 0.0)
    case.interrupted(STATUS)
    assert case.attempts == 1


# -- whatever comes ----------------------------------------------------------------------------------------

EVENTS = st.sampled_from([*Finding, LOST, NEVER_LEFT])


def check_success(settled: Settled, heard: Story, *, first_try: bool) -> None:
    if settled.outcome in DONE:
        assert heard[-1][1] is CANCELLED
    else:
        assert CANCELLED not in {event for _, event in heard}
    if settled.outcome is Outcome.ALREADY_CANCELLED:
        assert first_try
        assert heard[-1] == (STATUS, CANCELLED)
        assert [event for verb, event in heard if verb is STOP] in ([NOT_STOPPED], [REFUSED])


def check_failure(settled: Settled, heard: Story) -> None:
    said = {event for _, event in heard}
    unsure = [event for verb, event in heard if (verb, event) == (STOP, UNSURE)]
    holds = {
        Outcome.TOO_LATE: heard[-1][1] is SENT,
        Outcome.WILL_NOT_SEND: heard[-1][1] is DEAD,
        Outcome.NOT_FOUND: PENDING not in said and (heard[-1][1] is UNKNOWN_ID or len(unsure) >= 2),
        Outcome.REJECTED: (STOP, REFUSED) in heard,
        Outcome.NOT_ATTEMPTED: said <= {NEVER_LEFT, BUSY},
    }
    assert holds.get(Outcome(settled.outcome), True)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(EVENTS, min_size=40, max_size=40),
    st.lists(st.floats(0, 3), min_size=40, max_size=40),
    st.booleans(),
)
def test_every_story_ends_and_only_the_gateways_word_makes_it_a_success(
    events: list[Event], pauses: list[float], first_try: bool
) -> None:
    case = StopCase(lambda: 0.5, first_try=first_try)
    step: Step = Again(STOP, 0.0)
    heard: list[tuple[Verb, Event]] = []
    now = 0.0
    for event, pause in zip(events, pauses, strict=True):
        if isinstance(step, Settled):
            break
        now += step.delay_s + pause
        heard.append((step.verb, event))
        step = feed(case, step.verb, event, now)
    spent = [event for _, event in heard if event is not BUSY]
    if isinstance(step, Again):
        assert len(spent) < STOPS_PER_ROUND + STATUSES_PER_ROUND
        return
    assert case.attempts == sum(verb is STOP for verb, _ in heard)
    check_success(step, heard, first_try=first_try)
    check_failure(step, heard)
    assert step.in_doubt == (step.outcome in OPEN)


@settings(deadline=None, max_examples=100)
@given(st.lists(EVENTS, min_size=20, max_size=20))
def test_every_survey_of_a_message_ends_with_what_the_gateway_said(events: list[Event]) -> None:
    case = StatusCase(lambda: 0.5)
    step: Step = Again(STATUS, 0.0)
    heard: list[Event] = []
    for event in events:
        if isinstance(step, Settled):
            break
        assert step.verb is STATUS
        heard.append(event)
        step = feed(case, STATUS, event, 0.0)
    spent = [event for event in heard if event is not BUSY]
    if isinstance(step, Again):
        assert len(spent) < STATUSES_PER_ROUND
        return
    states = {
        PENDING: MessageState.PENDING,
        SENT: MessageState.SENT,
        CANCELLED: MessageState.CANCELLED,
        DEAD: MessageState.FAILED,
        UNKNOWN_ID: MessageState.UNKNOWN,
        UNSURE: MessageState.UNKNOWN,
    }
    last = heard[-1]
    said = states.get(last, MessageState.UNKNOWN) if isinstance(last, Finding) else MessageState.UNKNOWN
    assert step.outcome is said
    assert step.in_doubt == (last not in states)
    assert case.attempts == 0


def test_a_survey_that_ends_early_knows_nothing_and_may_be_asked_again() -> None:
    case = StatusCase(lambda: 0.5)
    case.interrupted(STATUS)
    case.after_account_refusal(STATUS, Verdict(Finding.ACCOUNT))
    assert case.give_up("stopped") == Settled(MessageState.UNKNOWN, None, "stopped", in_doubt=True)
    assert case.again() == Again(STATUS, 0.0)


# -- the outcomes themselves -------------------------------------------------------------------------------


def test_the_values_of_the_outcomes_are_what_reports_and_dags_rely_on() -> None:
    assert [outcome.value for outcome in Outcome] == [
        "cancelled",
        "already_cancelled",
        "too_late",
        "will_not_send",
        "not_found",
        "rejected",
        "unconfirmed",
        "not_attempted",
    ]


def test_what_is_done_what_is_open_and_what_a_later_try_takes_over() -> None:
    assert {outcome.value for outcome in DONE} == {"cancelled", "already_cancelled"}
    assert {outcome.value for outcome in OPEN} == {"unconfirmed", "not_attempted"}
    assert {outcome.value for outcome in HARMLESS} == {"cancelled", "already_cancelled", "will_not_send"}
    assert {outcome.value for outcome in CARRIED_OVER} == {
        "cancelled",
        "already_cancelled",
        "will_not_send",
        "too_late",
    }
