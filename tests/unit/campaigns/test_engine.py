"""The engine against the real gateways, with scripted answers, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from support import virtual_time
from support.scripted import (
    KEY,
    T0,
    Call,
    Played,
    ScriptedTransport,
    campaign_of,
    esendex,
    esendex_says,
    full_status,
    guid,
    hex_id,
    http_api,
    keyless_status,
    licence_key_answer,
    line,
    lost,
    never_left,
    page,
    play,
    rest,
    rest_balance,
    rest_error,
    rest_says,
)

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.settlement import StopCase, Verb
from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, Request, Verdict
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest


def stops_all(call: Call) -> Answer:
    return rest_balance() if call.verb == "balance" else rest_says(call.message_id, "006")


def most_in_a_second(calls: list[Call]) -> int:
    times = [call.at for call in calls]
    return max(sum(start <= at < start + 1 for at in times) for start in times)


# -- order and pace ----------------------------------------------------------------------------------------


def test_a_campaign_is_stopped_with_one_request_per_message() -> None:
    played = play(rest(), 100, stops_all)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 100}
    assert played.stats.requests == len(played.calls) == 100
    assert {result.attempts for result in played.results} == {1}
    assert {result.settled.code for result in played.results} == {"006"}


def test_only_the_messages_to_do_are_asked() -> None:
    played = play(rest(), 10, stops_all, todo=[3, 7])
    assert {call.message_id for call in played.calls} == {hex_id(4), hex_id(8)}


def test_nothing_to_do_sends_nothing() -> None:
    played = play(rest(), 5, stops_all, todo=[])
    assert played.end is RunEnd.COMPLETE
    assert played.calls == []


def test_messages_without_a_date_go_first_then_the_earliest_and_those_past_due_last() -> None:
    undated = float("-inf")
    due = [500.0, 100.0, -10.0, undated, 300.0, 100.0]
    played = play(rest(), campaign_of(rest(), 6, due=due), stops_all, concurrency=1)
    assert [int(call.message_id, 16) - 1 for call in played.calls] == [3, 1, 5, 4, 0, 2]


def test_stops_go_before_status_queries() -> None:
    def script(call: Call) -> Answer:
        if call.verb == "stop":
            return esendex_says(stopped=call.message_id != guid(1))
        return keyless_status(call.message_id, sent=True)

    played = play(esendex(), 50, script, concurrency=1)
    assert played.outcome_of(0) == "too_late"
    assert [call.verb for call in played.calls] == ["stop"] * 50 + ["status"]


def test_a_retry_goes_behind_the_first_stops_unless_its_message_would_leave_before() -> None:
    def script(call: Call) -> Answer | Exception:
        first = Counter(each.message_id for each in transport_calls)[call.message_id] == 1
        return lost() if first and call.message_id in (hex_id(1), hex_id(2)) else stops_all(call)

    transport_calls: list[Call] = []

    def recording(call: Call) -> Answer | Exception:
        transport_calls.append(call)
        return script(call)

    # At 10 a second the fresh stops take 10 s: message 1 leaves before that, message 2 long after.
    due = [5.0, 5000.0] + [6000.0] * 98
    played = play(rest(), campaign_of(rest(), 100, due=due), recording, rate=10, concurrency=1)
    asked = [call.message_id for call in played.calls]
    assert asked.index(hex_id(1), 1) < 10
    assert asked[-1] == hex_id(2)
    assert played.outcomes == {"cancelled": 100}


def test_no_more_requests_are_under_way_than_allowed() -> None:
    under_way: list[int] = [0]
    most: list[int] = [0]

    class Watching(ScriptedTransport):
        async def send(self, request: Request) -> Answer:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
            try:
                return await super().send(request)
            finally:
                under_way[0] -= 1

    async def main() -> None:
        gateway = rest()
        engine = Engine(
            gateway,
            campaign_of(gateway, 60),
            list(range(60)),
            limits=Limits(10_000, 7),
            make_case=lambda _: StopCase(lambda: 0.5),
            deliver=lambda _: None,
            stats=RunStats(),
        )
        await engine.run(Watching(stops_all))

    virtual_time.run(main())
    assert most == [7]


@pytest.mark.parametrize("rate", [0.5, 5, 25, 100])
def test_the_rate_holds_in_every_second_with_login_and_account_checks_included(rate: float) -> None:
    refused: set[str] = set()

    def script(call: Call) -> Answer:
        if call.verb == "login":
            return line("OK: abc")
        if call.verb == "balance":
            return line("Credit: 12.0")
        if call.message_id.endswith("7") and call.message_id not in refused:
            refused.add(call.message_id)
            return line("ERR: 001, Authentication failed")
        return line(f"ID: {call.message_id} Status: 006")

    def latency(call: Call) -> float:
        return 1.5 if call.verb == "login" else 0.05

    played = play(http_api(), int(rate * 4) + 4, script, rate=rate, concurrency=32, latency_s=latency)
    assert set(played.outcomes) == {"cancelled"}
    assert most_in_a_second(played.calls) <= max(1, rate)


def test_the_rate_is_used_up_when_there_is_work() -> None:
    played = play(rest(), 500, stops_all, rate=50, concurrency=32)
    assert len(played.calls) / played.calls[-1].at >= 0.97 * 50


# -- what stays in doubt -----------------------------------------------------------------------------------


def test_a_message_in_doubt_gets_a_second_round_after_all_others() -> None:
    pending = hex_id(1)
    asked: Counter[str] = Counter()

    def script(call: Call) -> Answer:
        asked[call.message_id] += 1
        stuck = call.message_id == pending and asked[pending] <= 8
        return rest_says(call.message_id, "002" if stuck else "006")

    played = play(rest(), 30, script)
    assert played.outcomes == {"cancelled": 30}
    assert asked[pending] == 9
    assert played.results[-1].index == 0
    assert played.results[-1].attempts == 5


def test_a_message_that_stays_pending_is_unconfirmed_after_two_rounds() -> None:
    def script(call: Call) -> Answer:
        return rest_says(call.message_id, "002" if call.message_id == hex_id(1) else "006")

    played = play(rest(), 30, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 29, "unconfirmed": 1}
    assert len([call for call in played.calls if call.message_id == hex_id(1)]) == 16


@pytest.mark.parametrize(
    "answer",
    [page(200), page(404), page(400), page(500), rest_says(hex_id(99), "006"), Answer(200, {}, b"")],
    ids=["html 200", "bare 404", "html 400", "500", "another message", "empty"],
)
@pytest.mark.parametrize("others", [0, 30])
def test_one_message_that_the_gateway_stumbles_over_is_unconfirmed_and_no_outage(
    answer: Answer, others: int
) -> None:
    def script(call: Call) -> Answer:
        return answer if call.message_id == hex_id(1) else stops_all(call)

    played = play(rest(), 1 + others, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcome_of(0) == "unconfirmed"
    assert played.outcomes["cancelled"] == others
    assert played.took_s < 60


def test_a_stop_with_a_lost_answer_is_settled_by_the_gateways_word() -> None:
    lost_once: set[str] = set()

    def script(call: Call) -> Answer | Exception:
        if call.verb == "stop" and call.message_id not in lost_once and call.message_id[-1] in "13579bdf":
            lost_once.add(call.message_id)
            return lost()
        if call.verb == "stop":
            return esendex_says(stopped=call.message_id not in lost_once)
        return keyless_status(call.message_id, cancelled=True)

    played = play(esendex(), 64, script)
    assert played.outcomes == {"cancelled": 64}


# -- a gateway that is down --------------------------------------------------------------------------------


def test_an_outage_pauses_the_run_and_probes_every_five_seconds_until_it_is_over() -> None:
    begin, end = 1.0, 3600.0

    def script(call: Call) -> Answer | Exception:
        return never_left() if begin <= call.at < end else stops_all(call)

    played = play(rest(), 400, script, rate=100, give_up_after_s=7200)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 400}
    probes = [call.at for call in played.calls if begin + 5 < call.at < end]
    assert 690 <= len(probes) <= 720
    assert min(later - earlier for earlier, later in itertools.pairwise(probes)) >= 5.0
    assert end <= played.took_s < end + 15


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_gateway_that_stays_down_ends_the_run_after_the_time_given(count: int) -> None:
    played = play(rest(), count, lambda _: never_left(), give_up_after_s=120)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert played.outcomes == {"not_attempted": count}
    assert 119 < played.took_s < 121


@pytest.mark.parametrize("answer", [lost(), page(503), page(502)], ids=["no answer", "503", "502"])
def test_stops_that_a_dead_gateway_may_have_acted_upon_are_unconfirmed(answer: Answer | Exception) -> None:
    played = play(rest(), 100, lambda _: answer, give_up_after_s=60, concurrency=4)
    assert played.end is RunEnd.GATEWAY_DOWN
    asked = {call.message_id for call in played.calls}
    assert played.outcomes == {"unconfirmed": len(asked), "not_attempted": 100 - len(asked)}
    for result in played.results:
        assert (str(result.settled.outcome) == "unconfirmed") == (hex_id(result.index + 1) in asked)


def test_error_pages_about_many_messages_in_a_row_are_an_outage() -> None:
    played = play(rest(), 100, lambda _: page(500), give_up_after_s=60)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert len(played.calls) < 60


def test_slow_failures_one_at_a_time_are_an_outage_before_ten_have_come() -> None:
    played = play(rest(), 100, lambda _: lost(), concurrency=1, latency_s=10, give_up_after_s=40)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert played.took_s < 60


def test_the_run_gives_up_when_the_last_message_has_left() -> None:
    campaign = campaign_of(rest(), 40, due=[20.0 + number for number in range(40)])
    played = play(rest(), campaign, lambda _: never_left(), give_up_after_s=7200)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert 59 < played.took_s < 66


def test_messages_without_a_date_are_waited_for_until_the_patience_ends() -> None:
    campaign = campaign_of(rest(), 2, due=[20.0, float("-inf")])
    played = play(rest(), campaign, lambda _: never_left(), give_up_after_s=300)
    assert 299 < played.took_s < 301


def test_failures_between_answers_are_no_outage() -> None:
    count = [0]

    def script(call: Call) -> Answer | Exception:
        count[0] += 1
        return stops_all(call) if count[0] % 3 else lost()

    played = play(rest(), 300, script, rate=10_000)
    assert played.outcomes == {"cancelled": 300}
    assert played.took_s < 30


def test_an_outage_that_flaps_is_probed_by_one_prober_only() -> None:
    # A straggler's answer ends the first outage; the second begins while the first one's prober still sleeps.
    def script(call: Call) -> Answer | Exception:
        if call.message_id == hex_id(1) or call.at > 60:
            return stops_all(call)
        return never_left()

    def latency(call: Call) -> float:
        if call.message_id == hex_id(1):
            return 3.0
        return 0.01 if call.at < 60 else 0.05

    played = play(rest(), 200, script, concurrency=16, latency_s=latency)
    assert (played.end, played.error) == (RunEnd.COMPLETE, None)
    assert played.outcomes == {"cancelled": 200}
    later = [call.at for call in played.calls if 10 < call.at < 60]
    assert len(later) >= 9
    assert min(b - a for a, b in itertools.pairwise(later)) >= 5.0


@pytest.mark.parametrize("failure", [never_left(), lost(), page(503), page(502), page(504)])
def test_an_outage_does_not_use_up_what_a_message_is_allowed(failure: Answer | Exception) -> None:
    played = play(rest(), 1, lambda call: failure if call.at < 300 else stops_all(call), give_up_after_s=600)
    assert played.outcomes == {"cancelled": 1}
    assert 300 <= played.took_s < 310


def test_no_request_leaves_between_the_notice_of_an_outage_and_the_first_probe() -> None:
    played = play(rest(), 100, lambda _: never_left(), rate=2, concurrency=4, give_up_after_s=30)
    noticed = played.calls[9].at + 0.05
    assert played.calls[10].at >= noticed + 1.0


# -- slowing down ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_the_whole_run_pauses_for_as_long_as_the_gateway_asks(status: int) -> None:
    told = [0]

    def script(call: Call) -> Answer:
        told[0] += 1
        return page(status, {"Retry-After": "10"}) if told[0] == 1 else stops_all(call)

    played = play(rest(), 60, script, rate=100, concurrency=4)
    assert played.outcomes == {"cancelled": 60}
    assert [call for call in played.calls if 0.15 < call.at < 10.04] == []
    assert played.stats.throttled == 1


def test_a_429_did_not_act_so_that_a_cancelled_message_is_not_taken_for_ours_twice() -> None:
    played = play(rest(), 5, lambda call: page(429, {"Retry-After": "1"}) if call.at < 5 else stops_all(call))
    assert played.outcomes == {"cancelled": 5}


def test_one_more_429_after_a_pause_as_long_as_the_patience_does_not_end_the_run() -> None:
    ten_years = page(429, {"Retry-After": "315360000"})
    answers = iter([ten_years, page(429, {"Retry-After": "1"})])
    played = play(rest(), 50, lambda call: next(answers, stops_all(call)), concurrency=1, give_up_after_s=60)
    assert (played.end, played.outcomes) == (RunEnd.COMPLETE, {"cancelled": 50})


def test_a_gateway_that_only_asks_to_slow_down_is_given_up() -> None:
    played = play(rest(), 20, lambda _: page(429, {"Retry-After": "30"}), give_up_after_s=300)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert played.outcomes == {"not_attempted": 20}
    assert played.took_s < 400


# -- the account -------------------------------------------------------------------------------------------


def test_an_account_refusal_that_the_balance_call_confirms_ends_the_run() -> None:
    played = play(rest(), 200, lambda _: rest_error(401, "001"))
    assert played.end is RunEnd.ACCOUNT_REFUSED
    assert played.outcomes == {"not_attempted": 200}
    assert played.stats.account_refusal is not None
    assert played.stats.account_refusal.code == "001"
    assert len(played.transport.of("balance")) == 1
    assert len(played.transport.of("stop")) <= 8 + 1


@pytest.mark.parametrize("code", ["001", "002", "004", "007", "108"])
def test_each_account_refusal_of_the_http_api_ends_the_run(code: str) -> None:
    def script(call: Call) -> Answer:
        return line("OK: abc") if call.verb == "login" else line(f"ERR: {code}, text")

    played = play(http_api(), 50, script)
    assert played.end is RunEnd.ACCOUNT_REFUSED
    assert played.outcomes == {"not_attempted": 50}


@pytest.mark.parametrize("code", ["001", "007", "108", "165"])
def test_each_account_refusal_of_the_rest_api_ends_the_run(code: str) -> None:
    played = play(rest(), 50, lambda _: rest_error(400, code))
    assert played.end is RunEnd.ACCOUNT_REFUSED
    assert played.outcomes == {"not_attempted": 50}


def test_one_stray_refusal_does_not_end_a_run() -> None:
    refused: list[str] = []

    def script(call: Call) -> Answer:
        if call.verb == "stop" and not refused:
            refused.append(call.message_id)
            return rest_error(401, None)
        return stops_all(call)

    played = play(rest(), 100, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 100}
    assert len(played.transport.of("balance")) == 1


def test_no_message_is_asked_while_the_account_is_in_doubt() -> None:
    def script(call: Call) -> Answer:
        if call.verb == "stop" and call.at < 0.2:
            return rest_error(401, None)
        return stops_all(call)

    def latency(call: Call) -> float:
        return 5.0 if call.verb == "balance" else 0.05

    played = play(rest(), 100, script, latency_s=latency)
    assert played.outcomes == {"cancelled": 100}
    (check,) = played.transport.of("balance")
    assert not [call for call in played.calls if check.at < call.at < check.at + 5]


@pytest.mark.parametrize("balance", [page(500), lost(), page(200), rest_error(429, None)])
def test_refusals_that_the_balance_call_can_not_confirm_do_not_end_a_run(balance: Answer | Exception) -> None:
    refusals = [0]

    def script(call: Call) -> Answer | Exception:
        if call.verb == "balance":
            return balance
        refusals[0] += 1
        return rest_error(401, None) if refusals[0] <= 10 else stops_all(call)

    played = play(rest(), 40, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 40}


def test_a_message_refused_again_and_again_by_an_account_in_order_is_left_open() -> None:
    def script(call: Call) -> Answer:
        return rest_error(401, None) if call.message_id == hex_id(1) else stops_all(call)

    played = play(rest(), 20, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 19, "not_attempted": 1}


def test_a_message_whose_first_stop_was_lost_stays_unconfirmed_when_the_account_is_refused() -> None:
    def script(call: Call) -> Answer | Exception:
        return lost() if call.at < 0.01 else rest_error(401, "001")

    played = play(rest(), 40, script, rate=50, concurrency=4)
    assert played.end is RunEnd.ACCOUNT_REFUSED
    assert played.outcome_of(0) == "unconfirmed"
    assert played.outcomes == {"unconfirmed": 1, "not_attempted": 39}


@pytest.mark.parametrize("status", [401, 402])
def test_a_bad_licence_key_never_ends_a_run_and_statuses_fall_back_to_the_keyless_call(status: int) -> None:
    keyless_asked: Counter[str] = Counter()

    def script(call: Call) -> Answer:
        if call.verb == "stop":
            return esendex_says(stopped=False)
        if call.verb == "full status":
            return full_status(call.message_id, status)
        if call.verb == "balance":
            return licence_key_answer(1)
        keyless_asked[call.message_id] += 1
        return (
            page(500) if keyless_asked[call.message_id] == 1 else keyless_status(call.message_id, sent=True)
        )

    played = play(esendex(KEY), 5, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"too_late": 5}
    assert len(played.transport.of("full status")) == 5
    assert played.transport.of("balance") == []


# -- the session -------------------------------------------------------------------------------------------


class Sessions:
    """The HTTP API's sessions, which end when told."""

    def __init__(self) -> None:
        self.opened = 0
        self.valid: set[str] = set()

    def __call__(self, call: Call) -> Answer | Exception:
        if call.verb == "login":
            self.opened += 1
            self.valid.add(f"s{self.opened}")
            return line(f"OK: s{self.opened}")
        if call.verb == "ping":
            return line("OK:") if call.session in self.valid else line("ERR: 003, Session ID expired")
        if call.verb == "balance":
            return line("Credit: 1.0")
        if call.session is not None and call.session not in self.valid:
            return line("ERR: 003, Session ID expired")
        return line(f"ID: {call.message_id} Status: 006")


def test_one_session_is_opened_for_many_concurrent_calls() -> None:
    played = play(http_api(), 200, Sessions(), concurrency=32)
    assert played.outcomes == {"cancelled": 200}
    assert len(played.transport.of("login")) == 1
    assert {call.session for call in played.transport.of("stop")} == {"s1"}


def test_client_ids_are_stopped_within_the_session() -> None:
    gateway = http_api()
    campaign = campaign_of(gateway, 5, id_type=IdType.CLIENT_MESSAGE_ID)
    played = play(gateway, campaign, Sessions())
    assert played.outcomes == {"cancelled": 5}


def test_a_session_that_comes_back_in_place_of_an_id_is_not_written_down() -> None:
    def script(call: Call) -> Answer:
        return line("OK: Session-id-1") if call.verb == "login" else line(f"ID: {call.session} Status: 006")

    gateway = http_api()
    played = play(gateway, campaign_of(gateway, 5, id_type=IdType.CLIENT_MESSAGE_ID), script)
    assert played.outcomes == {"cancelled": 5}
    assert {result.settled.detail for result in played.results} == {
        "status 006: cancelled; gateway's id: ***"
    }


@pytest.mark.parametrize("code", ["003", "005"])
def test_a_session_that_ends_is_opened_anew_once_for_all(code: str) -> None:
    sessions = Sessions()

    def script(call: Call) -> Answer | Exception:
        if call.at > 0.5 and sessions.opened == 1:
            sessions.valid.discard("s1")
        answer = sessions(call)
        is_over = isinstance(answer, Answer) and b"ERR: 003" in answer.body
        return line(f"ERR: {code}, over") if is_over else answer

    played = play(http_api(), 400, script, concurrency=32)
    assert played.outcomes == {"cancelled": 400}
    assert len(played.transport.of("login")) == 2
    assert {result.attempts for result in played.results} == {1}


def test_no_request_leaves_without_a_session_that_ended_while_it_waited_for_its_turn() -> None:
    sessions = Sessions()

    def script(call: Call) -> Answer | Exception:
        if call.message_id == hex_id(5) and sessions.opened == 1:
            sessions.valid.discard("s1")
        return sessions(call)

    played = play(http_api(), 20, script, rate=2)
    assert played.outcomes == {"cancelled": 20}
    assert {call.session for call in played.transport.of("stop")} == {"s1", "s2"}


def test_sessions_that_never_work_do_not_keep_a_run_from_ending() -> None:
    def script(call: Call) -> Answer:
        return line("OK: abc") if call.verb == "login" else line("ERR: 003, Session ID expired")

    played = play(http_api(), 5, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"unconfirmed": 5}


def test_a_login_that_gets_no_answer_is_repeated_by_one_caller_at_a_time() -> None:
    sessions = Sessions()

    def script(call: Call) -> Answer | Exception:
        return never_left() if call.at < 2.5 else sessions(call)

    played = play(http_api(), 100, script, concurrency=32)
    assert played.outcomes == {"cancelled": 100}
    assert len(played.transport.of("login")) <= 5
    assert {result.attempts for result in played.results} == {1}


def test_a_login_that_never_gets_an_answer_ends_the_run() -> None:
    played = play(http_api(), 100, lambda _: lost(), concurrency=32, latency_s=10, give_up_after_s=100)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert played.outcomes == {"not_attempted": 100}
    assert played.transport.of("stop") == []
    assert played.took_s < 120


def test_a_login_refused_for_good_ends_the_run_without_a_stop() -> None:
    played = play(http_api(), 100, lambda _: line("ERR: 001, Authentication failed"), concurrency=32)
    assert played.end is RunEnd.ACCOUNT_REFUSED
    assert played.outcomes == {"not_attempted": 100}
    assert [call.verb for call in played.calls] == ["login", "balance"]
    assert {result.attempts for result in played.results} == {0}


def test_a_login_refused_though_the_account_is_in_order_goes_on_with_the_credentials() -> None:
    def script(call: Call) -> Answer:
        if call.verb == "login":
            return line("ERR: 001, Authentication failed")
        return line("Credit: 1.0") if call.verb == "balance" else line(f"ID: {call.message_id} Status: 006")

    played = play(http_api(), 20, script)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 20}
    assert {call.session for call in played.transport.of("stop")} == {None}


def test_a_session_idle_for_ten_minutes_is_pinged_before_it_is_used() -> None:
    sessions = Sessions()

    def script(call: Call) -> Answer | Exception:
        # One message is told to wait for twelve minutes, in steps that the pacer accepts.
        if call.verb == "stop" and call.at < 720:
            return page(429, {"Retry-After": "120"})
        return sessions(call)

    played = play(http_api(), 1, script, give_up_after_s=3600)
    assert played.outcomes == {"cancelled": 1}
    assert played.transport.of("ping") == []  # it was used every two minutes

    def silent(call: Call) -> Answer | Exception:
        return lost() if call.verb == "stop" and call.at < 1 else sessions(call)

    def latency(call: Call) -> float:
        return 700.0 if call.verb == "stop" and call.at < 1 else 0.05

    played = play(http_api(), 1, silent, latency_s=latency)
    assert played.outcomes == {"cancelled": 1}
    assert [call.verb for call in played.calls] == ["login", "stop", "ping", "stop"]


# -- ending early ------------------------------------------------------------------------------------------


def test_told_to_stop_makes_no_new_request_and_keeps_what_still_comes_in_time() -> None:
    def latency(call: Call) -> float:
        return 1.5  # in time for the grace of two seconds

    played = play(rest(), 500, stops_all, rate=100, latency_s=latency, concurrency=32, stop_at=3.0)
    assert played.end is RunEnd.STOPPED
    assert max(call.at for call in played.calls) < 3.0
    assert played.outcomes == {"cancelled": len(played.calls), "not_attempted": 500 - len(played.calls)}
    assert 3.0 < played.took_s < 4.6


def test_what_is_in_flight_is_cut_after_two_seconds_and_unconfirmed() -> None:
    def latency(call: Call) -> float:
        return 60.0 if call.at > 0.9 else 0.05

    played = play(rest(), 500, stops_all, rate=100, latency_s=latency, concurrency=32, stop_at=1.0)
    cut = [call for call in played.calls if call.at > 0.9]
    assert cut
    assert played.outcomes["unconfirmed"] == len(cut)
    assert played.outcomes["cancelled"] == len(played.calls) - len(cut)
    assert played.took_s == pytest.approx(3.0, abs=0.05)
    unconfirmed = [result for result in played.results if str(result.settled.outcome) == "unconfirmed"]
    assert {result.attempts for result in unconfirmed} == {1}


def test_told_to_stop_asks_for_no_status() -> None:
    def script(call: Call) -> Answer:
        if call.verb == "stop":
            return esendex_says(stopped=False)
        return keyless_status(call.message_id, cancelled=True)

    played = play(esendex(), 30, script, rate=10, stop_at=1.0)
    assert played.transport.of("status") == []
    asked = len(played.transport.of("stop"))
    assert played.outcomes == {"unconfirmed": asked, "not_attempted": 30 - asked}


def test_told_to_stop_while_logging_in_sends_no_stop() -> None:
    def latency(call: Call) -> float:
        return 1.0 if call.verb == "login" else 5.0

    played = play(http_api(), 10, Sessions(), latency_s=latency, stop_at=0.5)
    assert played.transport.of("stop") == []
    assert played.outcomes == {"not_attempted": 10}


def test_told_to_stop_while_the_account_is_in_doubt_asks_no_more() -> None:
    def script(call: Call) -> Answer:
        return page(500) if call.verb == "balance" else rest_error(401, None)

    played = play(rest(), 10, script, stop_at=0.06)
    assert max(call.at for call in played.calls) < 0.06
    assert played.outcomes == {"not_attempted": 10}


def test_an_account_refusal_that_comes_after_the_end_is_not_followed_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    played = play(rest(), 10, lambda _: rest_error(401, None), latency_s=1.0, stop_at=0.5)
    assert "Asking it about the account" not in caplog.text
    assert played.transport.of("balance") == []
    assert played.end is RunEnd.STOPPED


def test_told_to_stop_during_an_outage_waits_for_the_probe_that_is_under_way() -> None:
    def script(call: Call) -> Answer | Exception:
        return never_left() if call.at < 1 else stops_all(call)

    def latency(call: Call) -> float:
        return 0.01 if call.at < 1 else 1.0

    # The probe leaves one second after the outage was noticed, and is answered one second later.
    played = play(rest(), 50, script, latency_s=latency, stop_at=1.5)
    assert played.outcomes == {"cancelled": 1, "not_attempted": 49}


def test_the_deadline_ends_the_run() -> None:
    played = play(rest(), 500, stops_all, rate=10, deadline_s=5.0)
    assert played.end is RunEnd.DEADLINE
    assert max(call.at for call in played.calls) <= 5.0
    assert played.outcomes == {"cancelled": len(played.calls), "not_attempted": 500 - len(played.calls)}


@pytest.mark.parametrize("deadline_s", [0.0, -3.0])
def test_a_deadline_that_has_passed_sends_nothing(deadline_s: float) -> None:
    played = play(rest(), 5, stops_all, deadline_s=deadline_s)
    assert played.end is RunEnd.DEADLINE
    assert played.calls == []
    assert played.outcomes == {"not_attempted": 5}


def test_ending_with_messages_in_doubt_does_not_announce_another_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    def latency(call: Call) -> float:
        return 1000.0 if call.message_id == hex_id(4) else 0.05

    # Three are in doubt and wait for the fourth, whose answer never comes.
    played = play(rest(), 4, lambda call: rest_says(call.message_id, "002"), latency_s=latency, stop_at=60.0)
    assert played.outcomes == {"unconfirmed": 4}
    assert len(played.calls) == 3 * 8 + 1
    assert "Asking again" not in caplog.text


def test_told_to_stop_while_a_login_waits_for_its_turn_does_not_log_in() -> None:
    sessions = Sessions()

    def script(call: Call) -> Answer | Exception:
        if call.message_id == hex_id(2):
            sessions.valid.clear()
        return sessions(call)

    def latency(call: Call) -> float:
        return 1000.0 if call.message_id == hex_id(1) else 0.05

    # The first stop hangs, which keeps the run in its grace; the second finds that the session is over.
    played = play(http_api(), 10, script, rate=1, latency_s=latency, stop_at=2.5)
    assert [call.verb for call in played.calls] == ["login", "stop", "stop"]
    assert played.took_s == pytest.approx(4.5, abs=0.05)


# -- defects -----------------------------------------------------------------------------------------------


class Broken(ClickatellRest):
    """A gateway with a defect that shows with one message."""

    def __init__(self, where: str) -> None:
        super().__init__(token="sandbox-token")
        self.where = where

    def stop(self, message_id: str, id_type: IdType, session: str | None = None) -> Request:
        if self.where == "stop" and message_id == hex_id(20):
            raise RuntimeError("a defect")
        return super().stop(message_id, id_type, session)

    def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        if self.where == "read_stop" and message_id == hex_id(20):
            raise RuntimeError("a defect")
        return super().read_stop(message_id, id_type, answer)

    def read_account_check(self, answer: Answer) -> Verdict:
        raise RuntimeError("a defect")


@pytest.mark.parametrize(("where", "outcome"), [("stop", "not_attempted"), ("read_stop", "unconfirmed")])
def test_a_defect_loses_no_message(where: str, outcome: str) -> None:
    played = play(Broken(where), 100, stops_all, concurrency=4)
    assert isinstance(played.error, RuntimeError)
    assert played.outcome_of(19) == outcome
    assert played.outcomes["cancelled"] >= 19


def test_a_defect_while_checking_the_account_ends_the_run() -> None:
    played = play(Broken("account"), 10, lambda _: rest_error(401, None))
    assert isinstance(played.error, RuntimeError)
    assert played.took_s < 5


def test_a_defect_while_probing_ends_the_run() -> None:
    def script(call: Call) -> Answer | Exception:
        return never_left() if call.at < 0.5 else RuntimeError("a defect of the transport")

    played = play(rest(), 40, script)
    assert isinstance(played.error, RuntimeError)
    assert played.took_s < 10
    assert played.outcomes == {"not_attempted": 39, "unconfirmed": 1}


def test_a_run_that_is_cancelled_from_outside_leaves_nothing_running() -> None:
    async def main() -> tuple[int, int, int]:
        gateway = rest()
        results: list[SettledMessage] = []
        engine = Engine(
            gateway,
            campaign_of(gateway, 50),
            list(range(50)),
            limits=Limits(5, 4),
            make_case=lambda _: StopCase(lambda: 0.5),
            deliver=results.extend,
            stats=RunStats(),
        )
        transport = ScriptedTransport(stops_all)
        run = asyncio.ensure_future(engine.run(transport))
        await asyncio.sleep(2)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        asked = len(transport.calls)
        await engine.hand_over_open()
        await asyncio.sleep(10)
        return len(results), len(transport.calls) - asked, len(asyncio.all_tasks())

    assert virtual_time.run(main()) == (50, 0, 1)


# -- the clock ---------------------------------------------------------------------------------------------


def dated(call: Call, ahead_s: float) -> Answer:
    date = formatdate(T0 + call.at + ahead_s, usegmt=True)
    return rest_says(call.message_id, "006", {"Date": date})


def order_with(ahead_s: float) -> list[int]:
    # By this machine's clock message 0 and 1 are past due; 2 and 3 are not.
    campaign = campaign_of(rest(), 4, due=[-100.0, -50.0, 200.0, 400.0])
    played = play(rest(), campaign, lambda call: dated(call, ahead_s), concurrency=1, rate=2)
    assert played.outcomes == {"cancelled": 4}
    return [int(call.message_id, 16) - 1 for call in played.calls]


def test_a_gateway_whose_clock_is_behind_still_has_what_seemed_past_due() -> None:
    assert order_with(0) == [2, 3, 0, 1]
    assert order_with(-300) == [2, 0, 1, 3]


def test_a_gateway_whose_clock_is_ahead_has_already_sent_what_seemed_in_time() -> None:
    campaign = campaign_of(rest(), 4, due=[10.0, 20.0, 5000.0, 6000.0])
    played = play(rest(), campaign, lambda call: dated(call, 600), concurrency=1, rate=2)
    assert [int(call.message_id, 16) - 1 for call in played.calls] == [0, 2, 3, 1]


def test_half_a_minute_between_the_clocks_is_let_pass() -> None:
    campaign = campaign_of(rest(), 3, due=[-20.0, -10.0, 400.0])
    played = play(rest(), campaign, lambda call: dated(call, -25), concurrency=1, rate=2)
    assert [int(call.message_id, 16) - 1 for call in played.calls] == [2, 0, 1]


def test_the_date_of_a_proxys_page_does_not_reorder_the_run() -> None:
    pages = iter([page(502, {"Date": formatdate(T0 + 86_400, usegmt=True)})])
    campaign = campaign_of(rest(), 4, due=[10.0, 20.0, 5000.0, 6000.0])
    played = play(rest(), campaign, lambda call: next(pages, dated(call, 0)), concurrency=1, rate=2)
    assert [int(call.message_id, 16) - 1 for call in played.calls] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("with_answer", [True, False], ids=["of an answer", "of a proxy's page"])
def test_an_outage_is_not_given_up_early_because_of_one_wrong_date(with_answer: bool) -> None:
    a_year_on = {"Date": formatdate(T0 + 365 * 86_400, usegmt=True)}

    def script(call: Call) -> Answer:
        if call.at < 1 and with_answer:
            return rest_says(call.message_id, "006", a_year_on)
        return page(502, a_year_on) if call.at < 60 else dated(call, 0)

    played = play(rest(), campaign_of(rest(), 40, due=[3600.0] * 40), script, concurrency=4, rate=10)
    assert (played.end, played.outcomes) == (RunEnd.COMPLETE, {"cancelled": 40})


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT", "Mon, 01 Jan 0001 00:00:00 -0000"]
)
def test_a_date_that_can_not_be_read_does_no_harm(date: str) -> None:
    played = play(rest(), 5, lambda call: rest_says(call.message_id, "006", {"Date": date}))
    assert (played.end, played.error) == (RunEnd.COMPLETE, None)


# -- a survey ----------------------------------------------------------------------------------------------


def test_a_survey_asks_for_statuses_only() -> None:
    states = ["002", "004", "006", "010", "001"]

    def script(call: Call) -> Answer:
        return rest_says(call.message_id, states[int(call.message_id, 16) - 1])

    played = play(rest(), 5, script, first=Verb.STATUS)
    assert {call.verb for call in played.calls} == {"status"}
    assert played.outcomes == {"pending": 1, "sent": 1, "cancelled": 1, "failed": 1, "unknown": 1}


def test_a_survey_with_a_bad_licence_key_falls_back_to_the_keyless_call() -> None:
    asked: Counter[str] = Counter()

    def script(call: Call) -> Answer:
        if call.verb == "full status":
            return full_status(call.message_id, 401)
        asked[call.message_id] += 1
        return page(500) if asked[call.message_id] == 1 else keyless_status(call.message_id)

    played = play(esendex(KEY), 5, script, first=Verb.STATUS)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"pending": 5}


# -- everything at once ------------------------------------------------------------------------------------


def ill_humours() -> Iterator[int]:
    """A fixed, even mixture of numbers from 0 to 99."""
    number = 7
    while True:
        number = (number * 61 + 17) % 101
        yield number % 100


def test_faults_on_a_third_of_all_calls_lead_to_no_outcome_against_the_truth() -> None:
    humours = ill_humours()
    cancelled: set[str] = set()

    def script(call: Call) -> Answer | Exception:
        humour = next(humours)
        sent = int(call.message_id, 16) % 10 == 0
        if call.verb == "stop" and humour >= 10 and not sent:
            cancelled.add(call.message_id)  # also when the answer is lost on its way
        if humour < 5:
            return never_left()
        if humour < 10:
            return rest_error(429, None)
        if humour < 18:
            return lost()
        if humour < 24:
            return page(500)
        if humour < 33:
            return rest_says(hex_id(999), "006")
        status = "004" if sent else ("006" if call.message_id in cancelled else "011")
        return rest_says(call.message_id, status)

    played: Played = play(rest(), 300, script, concurrency=16, rate=5000)
    assert played.end is RunEnd.COMPLETE
    for result in played.results:
        sent = (result.index + 1) % 10 == 0
        assert str(result.settled.outcome) == ("too_late" if sent else "cancelled")


def test_findings_that_no_gateway_gives_here_are_not_mistaken_for_success() -> None:
    class Odd(ClickatellRest):
        def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
            return Verdict(Finding.ACCEPTED, None, "odd")

    played = play(Odd(token="sandbox-token"), 3, stops_all, give_up_after_s=30)
    assert played.outcomes == {"unconfirmed": 3}


# -- a gateway that answers, though not what was hoped for -----------------------------------------------------


def test_a_gateway_that_answers_about_another_message_is_not_down() -> None:
    """The vendor's own XML sample does so: the status decides for every message, and the run never pauses."""
    acted: set[str] = set()

    def script(call: Call) -> Answer:
        if call.verb == "stop":
            acted.add(call.message_id)
            return rest_says(hex_id(999), "006")
        return rest_says(call.message_id, "006" if call.message_id in acted else "011")

    played = play(rest(), 100, script, give_up_after_s=30)
    assert played.end is RunEnd.COMPLETE
    assert played.outcomes == {"cancelled": 100}
    assert len(played.calls) == 200


def test_stops_that_are_acted_upon_but_never_answered_are_settled_by_their_status() -> None:
    acted: set[str] = set()

    def script(call: Call) -> Answer | Exception:
        if call.verb == "stop":
            acted.add(call.message_id)
            return lost()
        return rest_says(call.message_id, "006" if call.message_id in acted else "011")

    for count in (1, 60):
        acted.clear()
        played = play(rest(), count, script, give_up_after_s=60)
        assert played.outcomes == {"cancelled": count}, played.outcomes


def test_answers_that_are_no_gateways_to_every_stop_are_settled_by_the_status() -> None:
    def script(call: Call) -> Answer:
        return page(405) if call.verb == "stop" else rest_says(call.message_id, "004")

    played = play(rest(), 60, script, give_up_after_s=60)
    assert played.outcomes == {"too_late": 60}


def test_sessions_that_are_refused_as_soon_as_they_are_opened_give_way_to_the_credentials() -> None:
    def script(call: Call) -> Answer:
        if call.verb == "login":
            return line("OK: 0123456789abcdef")
        if call.session is not None:
            return line("ERR: 005, Missing session ID")
        return line(f"ID: {call.message_id} Status: 006")

    played = play(http_api(), 20, script)
    assert played.outcomes == {"cancelled": 20}
    assert sum(call.verb == "login" for call in played.calls) <= 3


def test_a_pause_that_the_gateway_asks_for_does_not_outlast_the_patience_with_it() -> None:
    played = play(rest(), 5, lambda _: page(503, {"Retry-After": "100"}), give_up_after_s=5, concurrency=1)
    assert played.end is RunEnd.GATEWAY_DOWN
    assert max(call.at for call in played.calls) < 20


def test_a_date_that_no_clock_shows_does_not_break_the_run() -> None:
    absurd = {"Date": "Fri, 31 Dec 9999 23:59:59 -2359", "Retry-After": "1"}
    answers = iter([rest_error(429, "130", absurd)])
    played = play(rest(), 3, lambda call: next(answers, rest_says(call.message_id, "006")), concurrency=1)
    assert played.outcomes == {"cancelled": 3}


def test_what_was_never_asked_is_handed_over_while_what_is_in_flight_may_still_finish() -> None:
    """After a kill, the time for a report begins at once, not when the last request has been cut."""
    delivered: list[tuple[float, int]] = []

    class Hanging:
        async def send(self, request: Request) -> Answer:
            await asyncio.sleep(3600)
            raise AssertionError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gateway = rest()
        engine = Engine(
            gateway,
            campaign_of(gateway, 10_000),
            list(range(10_000)),
            limits=Limits(1000, 8),
            make_case=lambda _: StopCase(lambda: 0.5),
            deliver=lambda batch: delivered.append((loop.time(), len(batch))),
            stats=RunStats(),
        )
        loop.call_later(1.0, engine.end, RunEnd.STOPPED)
        await engine.run(Hanging())

    virtual_time.run(main())
    assert sum(count for _, count in delivered) == 10_000
    assert sum(count for at, count in delivered if at < 1.5) == 10_000 - 8
