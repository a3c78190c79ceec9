"""One message, one call at a time: what is asked, how often, and what is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.scripted import (
    KEY,
    Call,
    call_of,
    esendex,
    esendex_says,
    guid,
    hex_id,
    keyless_status,
    lost,
    never_left,
    page,
    rest,
    rest_balance,
    rest_error,
    rest_says,
)

from airflow_provider_smscancel.campaigns import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.sessions import AccountRefused
from airflow_provider_smscancel.campaigns.single import LONGEST_WAIT_S, MOST_TRIES, Caller
from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, IdType, Request, Verdict
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure

OURS, OTHER = hex_id(1), hex_id(2)
OUR_GUID, OTHER_GUID = guid(1), guid(2)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

Reply = Answer | TransportFailure


@dataclass
class Line:
    """A caller over a script, in a time of its own.

    :param replies: what comes back, call after call; the last one for ever when it is a list.
    """

    gateway: Gateway
    replies: Iterable[Reply] | Callable[[Call], Reply]
    calls: list[Call] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    now: float = 1000.0

    def __post_init__(self) -> None:
        if not callable(self.replies):
            given_replies = list(self.replies)
            self._next: Iterator[Reply] = iter([*given_replies, *repeat(given_replies[-1], 100)])

    def send(self, request: Request) -> Answer:
        call = call_of(request, self.now)
        self.calls.append(call)
        reply = self.replies(call) if callable(self.replies) else next(self._next)
        if isinstance(reply, TransportFailure):
            raise reply
        return reply

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        if seconds:
            self.waits.append(seconds)
        self.now += seconds

    @property
    def caller(self) -> Caller:
        return Caller(
            self.gateway,
            self.send,
            sleep=self.sleep,
            clock=lambda: self.now,
            wall=lambda: NOON,
            random=lambda: 0.5,
        )

    def stop(self) -> CancelResult:
        message_id = OUR_GUID if self.gateway.name == "esendex" else OURS
        return self.caller.stop(message_id, IdType.MESSAGE_ID)

    @property
    def verbs(self) -> list[str]:
        return [call.verb for call in self.calls]


def key_refused(message_id: str) -> Answer:
    body = f'{{"MessageID":"{message_id}","MessageStatus":401,"To":"","From":""}}'
    return Answer(200, {}, body.encode())


# --- stopping ---


def test_a_clear_answer_needs_one_call_and_no_wait() -> None:
    line = Line(rest(), [rest_says(OURS, "006")])
    assert line.stop() == CancelResult(OURS, Outcome.CANCELLED, "006", "status 006: cancelled", 1, NOON)
    assert line.verbs == ["stop"]
    assert line.waits == []


def test_a_pending_message_gets_a_moment_before_its_status_is_asked() -> None:
    line = Line(rest(), [rest_says(OURS, "011"), rest_says(OURS, "006")])
    result = line.stop()
    assert (result.outcome, line.verbs, line.waits) == (Outcome.CANCELLED, ["stop", "status"], [1.0])


def test_what_is_cancelled_after_a_lost_answer_was_cancelled_by_us() -> None:
    line = Line(esendex(), [lost(), esendex_says(stopped=False), keyless_status(OUR_GUID, cancelled=True)])
    result = line.stop()
    assert (result.outcome, result.attempts) == (Outcome.CANCELLED, 2)


def test_what_is_cancelled_at_the_first_answer_was_cancelled_before() -> None:
    line = Line(esendex(), [esendex_says(stopped=False), keyless_status(OUR_GUID, cancelled=True)])
    assert line.stop().outcome is Outcome.ALREADY_CANCELLED


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    line = Line(rest(), [TransportFailure(FailureKind.TLS)])
    result = line.stop()
    assert (result.outcome, result.attempts) == (Outcome.NOT_ATTEMPTED, 1)
    assert "would not help" in result.detail
    assert len(line.calls) == 1


def test_an_answer_too_large_to_read_may_have_been_acted_upon_so_the_status_decides() -> None:
    line = Line(
        rest(),
        lambda call: (
            TransportFailure(FailureKind.TOO_LARGE) if call.verb == "stop" else rest_says(OURS, "004")
        ),
    )
    assert line.stop().outcome is Outcome.TOO_LATE
    assert line.verbs[-1] == "status"


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.BROKEN])
def test_without_any_answer_it_ends_after_a_few_calls(kind: FailureKind) -> None:
    line = Line(rest(), [TransportFailure(kind)])
    result = line.stop()
    assert result.outcome is Outcome.UNCONFIRMED
    assert line.verbs.count("stop") == result.attempts == 4
    assert line.verbs.count("status") == 4
    assert sum(line.waits) < 30


def test_a_gateway_that_is_not_there_was_never_asked() -> None:
    line = Line(rest(), [never_left()])
    result = line.stop()
    assert (result.outcome, result.attempts) == (Outcome.NOT_ATTEMPTED, 4)
    assert line.verbs == ["stop"] * 4


def test_waits_between_repeats_grow() -> None:
    line = Line(rest(), [never_left()])
    line.stop()
    assert line.waits == [0.25, 0.5, 1.0]


# --- asked to slow down ---


def test_a_retry_after_is_obeyed_and_costs_no_allowance_of_doubt() -> None:
    busy = Answer(429, {"Retry-After": "3"}, b"")
    line = Line(rest(), [busy, busy, rest_says(OURS, "006")])
    result = line.stop()
    assert (result.outcome, result.attempts, line.waits) == (Outcome.CANCELLED, 3, [3.0, 3.0])


def test_a_long_retry_after_is_cut_as_somebody_waits() -> None:
    line = Line(rest(), [Answer(429, {"Retry-After": "315360000"}, b"")])
    result = line.stop()
    assert result.outcome is Outcome.NOT_ATTEMPTED
    assert len(line.calls) == 4
    assert set(line.waits) == {LONGEST_WAIT_S}


def test_a_status_query_that_is_asked_to_slow_down_stays_a_status_query() -> None:
    busy = Answer(429, {"Retry-After": "2"}, b"")
    line = Line(rest(), [page(200), busy, rest_says(OURS, "004")])
    assert line.stop().outcome is Outcome.TOO_LATE
    assert line.verbs == ["stop", "status", "status"]


def test_busy_to_the_end_after_a_stop_that_may_have_been_acted_upon_is_unconfirmed() -> None:
    line = Line(rest(), [lost(), Answer(429, {}, b"")])
    assert line.stop().outcome is Outcome.UNCONFIRMED


# --- the account ---


def test_a_refusal_that_the_balance_call_confirms_ends_it() -> None:
    line = Line(rest(), [rest_error(401, "001"), rest_error(401, "007")])
    with pytest.raises(AccountRefused) as caught:
        line.stop()
    assert caught.value.verdict.code == "007"
    assert line.verbs == ["stop", "balance"]


def test_a_refusal_that_the_balance_call_denies_is_tried_again_after_a_pause() -> None:
    line = Line(rest(), [rest_error(401, "001"), rest_balance(), rest_says(OURS, "006")])
    result = line.stop()
    assert (result.outcome, result.attempts, line.waits) == (Outcome.CANCELLED, 2, [1.0])


@pytest.mark.parametrize("reply", [page(200), page(404), lost(), never_left(), rest_error(500, None)])
def test_a_balance_call_that_can_not_be_had_confirms_nothing(reply: Reply) -> None:
    line = Line(rest(), lambda call: reply if call.verb == "balance" else rest_error(401, "001"))
    assert line.stop().outcome is Outcome.NOT_ATTEMPTED
    assert line.verbs.count("stop") == 3


def test_a_message_met_by_nothing_but_strays_was_not_attempted() -> None:
    line = Line(rest(), lambda call: rest_balance() if call.verb == "balance" else rest_error(401, None))
    result = line.stop()
    assert result.outcome is Outcome.NOT_ATTEMPTED
    assert (line.verbs.count("stop"), line.verbs.count("balance")) == (3, 3)


def test_strays_after_a_stop_that_may_have_been_acted_upon_leave_it_unconfirmed() -> None:
    first = iter([lost()])

    def script(call: Call) -> Reply:
        if call.verb == "balance":
            return rest_balance()
        return next(first, rest_error(401, "001"))

    assert Line(rest(), script).stop().outcome is Outcome.UNCONFIRMED


def test_a_bad_licence_key_does_not_even_cause_a_look_at_the_account() -> None:
    """The fuller status call says so when the plain one stumbles, and cancelling needs no key."""
    script = iter(
        [
            esendex_says(stopped=False),
            page(500),
            key_refused(OUR_GUID),
            keyless_status(OUR_GUID, sent=True, queued=True),
        ]
    )
    line = Line(esendex(KEY), lambda _: next(script))
    assert line.stop().outcome is Outcome.TOO_LATE
    assert line.verbs == ["stop", "status", "full status", "status"]


# --- never cancelled without the gateway's own word about that message ---

REST_REPLIES: list[Reply] = [
    *(rest_says(OURS, code) for code in ("001", "002", "003", "004", "005", "008", "011", "013")),
    rest_says(OTHER, "006"),
    rest_says(OTHER, "004"),
    rest_error(404, "161"),
    rest_error(400, "101"),
    rest_error(401, "001"),
    rest_error(401, None),
    rest_error(503, "901"),
    page(200),
    page(404),
    page(502),
    Answer(200, {}, b""),
    Answer(429, {"Retry-After": "1"}, b""),
    Answer(200, {}, b"true"),
    Answer(200, {}, b'{"data":{"messageStatus":"006","description":"x"}}'),
    lost(),
    never_left(),
    TransportFailure(FailureKind.TOO_LARGE),
    TransportFailure(FailureKind.TLS),
]
ESENDEX_REPLIES: list[Reply] = [
    esendex_says(stopped=False),
    keyless_status(OUR_GUID),
    keyless_status(OUR_GUID, sent=True, queued=True),
    keyless_status(OUR_GUID, queued=True),
    keyless_status(OUR_GUID, error=7),
    keyless_status(OUR_GUID, error=8),
    keyless_status(OTHER_GUID, cancelled=True),
    key_refused(OUR_GUID),
    page(200),
    page(400),
    page(404),
    Answer(200, {}, b""),
    Answer(200, {}, b'"true"'),
    Answer(200, {}, b"1"),
    Answer(429, {}, b""),
    lost(),
    never_left(),
]


def play_out(line: Line) -> CancelResult | None:
    try:
        return line.stop()
    except AccountRefused:
        return None


@hypothesis_settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(REST_REPLIES), min_size=1, max_size=20))
def test_clickatell_nothing_but_006_about_our_message_makes_it_cancelled(replies: list[Reply]) -> None:
    line = Line(rest(), replies)
    result = play_out(line)
    assert result is None or result.outcome not in (Outcome.CANCELLED, Outcome.ALREADY_CANCELLED)
    assert len(line.calls) < 60


@hypothesis_settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(ESENDEX_REPLIES), min_size=1, max_size=20), st.booleans())
def test_esendex_nothing_but_its_own_word_makes_it_cancelled(replies: list[Reply], has_key: bool) -> None:
    line = Line(esendex(KEY if has_key else ""), replies)
    result = line.stop()  # and no answer whatsoever refuses the account
    assert result.outcome not in (Outcome.CANCELLED, Outcome.ALREADY_CANCELLED)
    assert len(line.calls) < 60


# --- calls about no message, and sends ---


def read_balance(answer: Answer) -> object:
    return rest().read_balance(answer)


def test_a_harmless_call_is_repeated_while_that_may_help() -> None:
    line = Line(rest(), [lost(), rest_error(503, None), rest_balance()])
    assert str(line.caller.ask(rest().balance(), read_balance)) == "300.50"
    assert len(line.waits) == 2


def test_a_harmless_call_ends_with_the_last_thing_that_went_wrong() -> None:
    line = Line(rest(), [rest_error(503, "901")])
    found = line.caller.ask(rest().balance(), read_balance)
    assert isinstance(found, Verdict)
    assert found.finding is Finding.FAULT
    assert len(line.calls) == MOST_TRIES


@pytest.mark.parametrize("reply", [rest_error(401, "001"), page(200), TransportFailure(FailureKind.TLS)])
def test_what_a_repeat_can_not_mend_is_not_repeated(reply: Reply) -> None:
    line = Line(rest(), [reply])
    line.caller.ask(rest().balance(), read_balance)
    assert len(line.calls) == 1


@pytest.mark.parametrize(
    ("reply", "calls"),
    [(lost(), 1), (never_left(), 1), (Answer(429, {}, b""), 1), (rest_error(503, None), MOST_TRIES)],
)
def test_for_a_person_who_waits_only_a_passing_fault_is_asked_about_again(reply: Reply, calls: int) -> None:
    line = Line(rest(), [reply])
    line.caller.ask_impatiently(rest().balance(), read_balance)
    assert len(line.calls) == calls


def test_a_stray_refusal_of_a_status_query_is_asked_again() -> None:
    line = Line(rest(), [rest_error(401, None), rest_balance(), rest_says(OURS, "011")])
    found = line.caller.ask_about_message(
        rest().status(OURS, IdType.MESSAGE_ID), lambda a: rest().read_status(OURS, IdType.MESSAGE_ID, a)
    )
    assert isinstance(found, Verdict)
    assert found.finding is Finding.PENDING


SENDS: list[tuple[Reply, int]] = [
    (never_left(), MOST_TRIES),
    (TransportFailure(FailureKind.UNKNOWN_HOST), MOST_TRIES),
    (TransportFailure(FailureKind.TLS), MOST_TRIES),
    (Answer(429, {"Retry-After": "1"}, b""), MOST_TRIES),
    (lost(), 1),
    (TransportFailure(FailureKind.BROKEN), 1),
    (TransportFailure(FailureKind.TOO_LARGE), 1),
    (rest_error(500, None), 1),
    (rest_error(503, "901"), 1),
    (page(200), 1),
    (Answer(200, {}, b""), 1),
    (rest_error(401, "001"), 1),
    (rest_error(400, "105"), 1),
]


@pytest.mark.parametrize(("reply", "calls"), SENDS)
def test_a_send_is_repeated_only_when_it_provably_had_no_effect(reply: Reply, calls: int) -> None:
    seen = 0

    def send(_: Request) -> Answer:
        nonlocal seen
        seen += 1
        if isinstance(reply, TransportFailure):
            raise reply
        return reply

    caller = Caller(rest(), send, sleep=lambda _: None)
    request = rest().send(["27821230001"], "Hello", scheduled_at=None, client_message_id=None)
    caller.send_once(request, lambda answer: rest().read_send(["27821230001"], answer))
    assert seen == calls


@pytest.mark.parametrize(
    ("http_status", "calls"), [(200, 1), (400, 1), (429, MOST_TRIES)], ids=["200", "400", "429"]
)
def test_an_error_130_repeats_a_send_only_under_http_429(http_status: int, calls: int) -> None:
    seen = 0

    def send(_: Request) -> Answer:
        nonlocal seen
        seen += 1
        return rest_error(http_status, "130")

    request = rest().send(["27821230001"], "Hello", scheduled_at=None, client_message_id=None)
    read = lambda answer: rest().read_send(["27821230001"], answer)  # noqa: E731
    Caller(rest(), send, sleep=lambda _: None).send_once(request, read)
    assert seen == calls


def test_a_503_is_not_asked_again_before_it_allows() -> None:
    line = Line(rest(), [page(503, {"Retry-After": "5"}), rest_says(OURS, "006")])
    assert line.stop().outcome is Outcome.CANCELLED
    assert line.waits == [5.0]
