"""Stopping one message and many, as a user of the hooks sees it. What becomes of a message: tests/gateways."""

from __future__ import annotations

import gc
import inspect
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from support.sandboxed import (
    CLICKATELL_SERVICES,
    ESENDEX_JSON,
    HTTP_API,
    HTTP_BY_CLIENT_ID,
    REST_JSON,
    SERVICES,
    TOKEN,
    Neighbour,
    Said,
    Service,
    World,
)

from airflow_provider_smscancel.campaigns import CancelResult, MessageRef, Outcome
from airflow_provider_smscancel.exceptions import SmsGatewayAuthError

every_service = pytest.mark.parametrize("service", SERVICES, ids=str)
clickatell_only = pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)


def place(world: World, service: Service, count: int) -> list[str]:
    """Put messages in and return the ids to cancel them by."""
    if service.id_type == "client_message_id":
        world.post("messages", {"gateway": "clickatell", "count": count, "prefix": "campaign7nr"})
        return [f"campaign7nr{number}" for number in range(count)]
    return world.put_in_many(service.gateway, count)


def stopped(world: World) -> int:
    return sum(row["state"] == "cancelled" for row in world.truth().values())


def asked(world: World) -> int:
    return sum(row["stop_requests"] > 0 for row in world.truth().values())


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"


# --- one message ---


@every_service
def test_one_message_takes_one_call(world: World, service: Service) -> None:
    (message_id,) = place(world, service, 1)
    result = world.hook(service).cancel_message(**{service.id_type: f" {message_id}\n"})
    assert isinstance(result, CancelResult)
    assert (result.message_id, result.outcome, result.attempts) == (message_id, Outcome.CANCELLED, 1)
    assert world.calls() == {service.operations[0]: 1}


@pytest.mark.parametrize("arguments", [{}, {"message_id": "a" * 32, "client_message_id": "b"}])
def test_exactly_one_of_the_two_ids(world: World, arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        world.hook(HTTP_API).cancel_message(**arguments)
    assert world.calls() == {}


@pytest.mark.parametrize("service", [s for s in SERVICES if s not in (HTTP_API, HTTP_BY_CLIENT_ID)], ids=str)
def test_client_ids_are_for_clickatells_http_api_only(world: World, service: Service) -> None:
    hook = world.hook(service)
    with pytest.raises(ValueError, match="HTTP API"):
        hook.cancel_message(client_message_id="campaign7nr1")
    with pytest.raises(ValueError, match="HTTP API"):
        hook.cancel_messages(["campaign7nr1"], id_type="client_message_id")
    assert world.calls() == {}


@pytest.mark.parametrize(
    "message_id", ["", "  ", "27 82 555 0123", "a" * 65, "x/../0123", "https://a.invalid/0123", "ä0123"]
)
@every_service
def test_a_malformed_id_is_rejected_unsent_and_not_echoed(
    world: World, service: Service, message_id: str
) -> None:
    result = world.hook(service).cancel_message(**{service.id_type: message_id})
    assert (result.outcome, result.attempts, result.gateway_status) == (Outcome.REJECTED, 0, None)
    assert result.message_id == ""
    assert "0123" not in repr(result).replace(repr(result.finished_at), "")  # any digits may be a moment's
    assert world.calls() == {}


def test_an_id_that_is_no_text_is_an_error_that_says_to_quote_it(world: World) -> None:
    with pytest.raises(ValueError, match="quote it"):
        world.hook(REST_JSON).cancel_message(123)
    assert world.calls() == {}


@clickatell_only
def test_a_refused_account_raises_once_the_balance_call_confirms_it(world: World, service: Service) -> None:
    (message_id,) = place(world, service, 1)
    hook = world.connected("clickatell", {"host": world.url, **service.wrong})
    with pytest.raises(SmsGatewayAuthError) as caught:
        hook.cancel_message(**{service.id_type: message_id})
    assert caught.value.gateway_code == "001"
    assert caught.value.http_status == (401 if "rest" in service.name else 200)
    assert "gateway_under_test" in str(caught.value)
    assert caught.value.__cause__ is None
    balance = "rest.balance" if "rest" in service.name else "http.getbalance"
    assert world.calls() == {service.operations[0]: 1, balance: 1}


@clickatell_only
def test_refusals_that_the_balance_call_denies_raise_nothing(world: World, service: Service) -> None:
    (message_id,) = place(world, service, 1)
    world.break_things("stray-401" if "http" in service.name else "empty-401", calls=[service.operations[0]])
    result = world.hook(service).cancel_message(**{service.id_type: message_id})
    if "http" in service.name:  # the sandbox strays once
        assert (result.outcome, result.attempts) == (Outcome.CANCELLED, 2)
    else:
        assert result.outcome is Outcome.NOT_ATTEMPTED
        assert "refused" in result.detail or "did not take" in result.detail


def test_asked_to_slow_down_the_hook_waits_as_long_as_it_is_told(world: World) -> None:
    (message_id,) = place(world, REST_JSON, 1)
    world.break_things("429", times=2)
    result = world.hook(REST_JSON).cancel_message(message_id)
    assert (result.outcome, result.attempts) == (Outcome.CANCELLED, 3)
    assert [wait for wait in world.waits if wait] == [1.0, 1.0]


def test_asked_to_come_back_in_ten_years_the_hook_does_not_wait(world: World) -> None:
    (message_id,) = place(world, REST_JSON, 1)
    world.break_things("429-ten-years")
    result = world.hook(REST_JSON).cancel_message(message_id)
    assert result.outcome is Outcome.NOT_ATTEMPTED
    assert max(world.waits) <= 30
    assert world.calls() == {"rest.stop": 4}


# --- many messages ---


@every_service
def test_many_messages_each_get_one_result(world: World, service: Service) -> None:
    ids = place(world, service, 12)
    results = list(world.hook(service).cancel_messages(ids, id_type=service.id_type))
    assert sorted(result.message_id for result in results) == sorted(ids)
    assert {result.outcome for result in results} == {Outcome.CANCELLED}
    assert stopped(world) == 12


def test_the_engine_starts_at_the_call_and_not_at_the_first_next(world: World) -> None:
    ids = place(world, REST_JSON, 3)
    assert not inspect.isgeneratorfunction(type(world.hook(REST_JSON)).cancel_messages)
    stream = world.hook(REST_JSON).cancel_messages(ids)
    until(lambda: stopped(world) == 3)
    assert len(list(stream)) == 3


def test_results_come_as_they_settle(world: World) -> None:
    ids = place(world, REST_JSON, 20)
    world.server.state.latency = 0.1
    stream = world.hook(REST_JSON).cancel_messages(ids, max_concurrency=2)
    next(stream)
    assert stopped(world) < 20
    assert len(list(stream)) == 19


def test_an_item_may_be_text_a_mapping_or_a_reference(world: World) -> None:
    ids = place(world, REST_JSON, 4)
    when = datetime.now(UTC) + timedelta(hours=1)
    items: list[Any] = [
        ids[0],
        {"message_id": ids[1], "campaign": "other keys do not matter"},
        {"message_id": ids[2], "scheduled_at": when.isoformat()},
        MessageRef(ids[3], when),
    ]
    results = list(world.hook(REST_JSON).cancel_messages(items))
    assert {result.message_id for result in results} == set(ids)
    assert stopped(world) == 4


def test_what_names_no_message_is_rejected_by_its_position_and_holds_up_nothing(world: World) -> None:
    ids = place(world, REST_JSON, 2)
    items = [ids[0], 27821230001, None, {"id": ids[1]}, "27 82 555 0123", ["x"], True, b"ab", ids[1]]
    results = list(world.hook(REST_JSON).cancel_messages(items))
    rejected = [result for result in results if result.outcome is Outcome.REJECTED]
    assert [result.message_id for result in rejected] == [f"item {n}" for n in range(2, 9)]
    assert "quote it" in rejected[0].detail
    assert "message_id" in rejected[2].detail
    for result in rejected:
        assert result.message_id in result.detail
        assert result.attempts == 0
        assert "0123" not in repr(result)
        assert "27821230001" not in repr(result)
    assert len(results) == len(items)
    assert stopped(world) == 2


@every_service
def test_duplicates_are_asked_once(world: World, service: Service) -> None:
    first, second = place(world, service, 2)
    respelt = first if service.id_type == "client_message_id" else first.upper()
    items = [first, second, first, f" {respelt} ", second]
    results = list(world.hook(service).cancel_messages(items, id_type=service.id_type))
    assert sorted(result.message_id for result in results) == sorted([first, second])
    assert {row["stop_requests"] for row in world.truth().values()} == {1}


def test_client_ids_are_compared_exactly(world: World) -> None:
    for client_id in ("Campaign7", "campaign7"):
        world.put_in("clickatell", client_message_id=client_id)
    results = list(
        world.hook(HTTP_API).cancel_messages(["Campaign7", "campaign7"], id_type="client_message_id")
    )
    assert len(results) == 2
    assert stopped(world) == 2


def test_the_most_urgent_comes_first(world: World) -> None:
    ids = place(world, REST_JSON, 6)
    now = datetime.now(UTC)
    items = [
        {"message_id": ids[0], "scheduled_at": (now + timedelta(hours=3)).isoformat()},
        {"message_id": ids[1], "scheduled_at": (now - timedelta(hours=3)).isoformat()},
        {"message_id": ids[2], "scheduled_at": (now + timedelta(hours=1)).isoformat()},
        {"message_id": ids[3]},
        {"message_id": ids[4], "scheduled_at": "2099-01-01T00:00:00"},
        {"message_id": ids[5], "scheduled_at": now + timedelta(hours=2)},
    ]
    results = list(world.hook(REST_JSON).cancel_messages(items, max_concurrency=1))
    # Those without a (readable) date first, then by date, those whose time has passed last.
    assert [result.message_id for result in results] == [ids[n] for n in (3, 4, 2, 5, 0, 1)]


def test_an_empty_list_gives_no_results_and_sends_nothing(world: World) -> None:
    assert list(world.hook(REST_JSON).cancel_messages([])) == []
    assert list(world.hook(REST_JSON).cancel_messages(iter(()))) == []
    assert world.calls() == {}


def test_a_generator_of_ids_is_read_at_the_call(world: World) -> None:
    ids = place(world, REST_JSON, 3)
    left = iter(ids)
    stream = world.hook(REST_JSON).cancel_messages(left)
    assert list(left) == []
    assert len(list(stream)) == 3


def test_what_a_generator_of_ids_raises_comes_out_and_nothing_is_sent(world: World) -> None:
    def broken() -> Iterator[str]:
        yield "a" * 32
        raise KeyError("the database went away")

    with pytest.raises(KeyError, match="database"):
        world.hook(REST_JSON).cancel_messages(broken())
    assert world.calls() == {}


@pytest.mark.parametrize(
    "messages", ["a" * 32, b"a", {"message_id": "a" * 32}, MessageRef("a" * 32), None, 5]
)
def test_a_single_id_in_place_of_a_list_is_an_error(world: World, messages: object) -> None:
    with pytest.raises(ValueError, match="list"):
        world.hook(REST_JSON).cancel_messages(messages)
    assert world.calls() == {}


def test_of_a_table_not_the_names_of_its_columns_are_asked_for(world: World) -> None:
    with pytest.raises(ValueError, match="messages is a table of type DataFrame"):
        world.hook(REST_JSON).cancel_messages(pd.DataFrame({"message_id": ["a" * 32]}))
    assert world.calls() == {}


def test_what_programs_write_when_they_have_no_id_is_not_asked_for(world: World) -> None:
    results = list(world.hook(REST_JSON).cancel_messages(["None", {"message_id": "nan"}]))
    assert [result.outcome for result in results] == [Outcome.REJECTED] * 2
    assert world.calls() == {}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": 10_001}, "requests_per_second"),
        ({"requests_per_second": "fast"}, "requests_per_second"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 1.5}, "max_concurrency"),
        ({"max_concurrency": 1001}, "max_concurrency"),
        ({"id_type": "phone"}, "id_type"),
        ({"deadline": datetime(2030, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the point
        ({"deadline": "tomorrow"}, "deadline"),
        ({"deadline": float("nan")}, "deadline"),
        ({"deadline": True}, "deadline"),
    ],
)
def test_a_parameter_out_of_range_is_named_at_the_call(
    world: World, parameters: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        world.hook(REST_JSON).cancel_messages(["a" * 32], **parameters)
    assert world.calls() == {}


def test_a_rate_of_the_call_beats_the_connections(world: World) -> None:
    ids = place(world, REST_JSON, 12)
    hook = world.hook(REST_JSON, extra={"requests_per_second": 0.1})
    began = time.monotonic()
    assert len(list(hook.cancel_messages(ids, requests_per_second=100))) == 12
    assert time.monotonic() - began < 5


def test_a_rate_is_kept(world: World) -> None:
    ids = place(world, REST_JSON, 15)
    began = time.monotonic()
    assert len(list(world.hook(REST_JSON).cancel_messages(ids, requests_per_second=20))) == 15
    assert time.monotonic() - began > 0.5
    summary = world.session.get(f"{world.url}/_sandbox/requests").json()
    assert summary["clickatell"]["max_per_second"] <= 20


def test_no_more_requests_at_a_time_than_allowed(world: World) -> None:
    ids = place(world, REST_JSON, 6)
    world.server.state.latency = 0.05
    began = time.monotonic()
    list(world.hook(REST_JSON).cancel_messages(ids, max_concurrency=2))
    assert time.monotonic() - began >= 0.15


def deadline_of(kind: str, seconds: float) -> Any:
    forms: dict[str, Any] = {
        "seconds": seconds,
        "timedelta": timedelta(seconds=seconds),
        "datetime": datetime.now(UTC) + timedelta(seconds=seconds),
    }
    return forms[kind]


@pytest.mark.parametrize("kind", ["seconds", "timedelta", "datetime"])
def test_after_the_deadline_no_request_is_made(world: World, kind: str) -> None:
    ids = place(world, REST_JSON, 30)
    hook = world.hook(REST_JSON)
    results = list(hook.cancel_messages(ids, requests_per_second=20, deadline=deadline_of(kind, 0.5)))
    outcomes = [result.outcome for result in results]
    assert len(results) == 30
    assert set(outcomes) == {Outcome.CANCELLED, Outcome.NOT_ATTEMPTED}
    assert outcomes.count(Outcome.CANCELLED) == stopped(world) == asked(world)


@pytest.mark.parametrize("kind", ["seconds", "timedelta", "datetime"])
@pytest.mark.parametrize("seconds", [0, -5])
def test_with_a_deadline_that_has_passed_nothing_is_sent(world: World, kind: str, seconds: float) -> None:
    ids = place(world, REST_JSON, 3)
    results = list(world.hook(REST_JSON).cancel_messages(ids, deadline=deadline_of(kind, seconds)))
    assert [result.outcome for result in results] == [Outcome.NOT_ATTEMPTED] * 3
    assert world.calls() == {}


def test_time_spent_on_reading_the_list_counts_against_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = place(world, REST_JSON, 2)
    hook = world.hook(REST_JSON)
    _ = hook.gateway
    late = 0.0
    clock = time.monotonic

    def slowly() -> Iterator[str]:
        nonlocal late
        yield ids[0]
        late = 60.0
        yield ids[1]

    monkeypatch.setattr("airflow_provider_smscancel.hooks.base.time.monotonic", lambda: clock() + late)
    results = list(hook.cancel_messages(slowly(), deadline=30))
    assert [result.outcome for result in results] == [Outcome.NOT_ATTEMPTED] * 2


@clickatell_only
def test_the_refusal_of_the_account_comes_after_the_last_result(world: World, service: Service) -> None:
    ids = place(world, service, 5)
    hook = world.connected("clickatell", {"host": world.url, **service.wrong})
    stream = hook.cancel_messages(ids, id_type=service.id_type)
    results = [next(stream) for _ in ids]
    with pytest.raises(SmsGatewayAuthError, match="gateway_under_test"):
        next(stream)
    assert sorted(result.message_id for result in results) == sorted(ids)
    assert {result.outcome for result in results} == {Outcome.NOT_ATTEMPTED}
    assert asked(world) == 0


def test_many_calls_of_the_http_api_share_one_session(world: World) -> None:
    ids = place(world, HTTP_API, 20)
    list(world.hook(HTTP_API).cancel_messages(ids))
    assert world.calls() == {"http.auth": 1, "http.delmsg": 20}


# --- leaving early ---

LEFT = re.compile(r"left early: (\d+) messages were not asked, and (\d+) more results were not read")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Any], list[str]]]:
    """Makes a hook log where a test can read it, and returns the lines about leaving."""
    caplog.set_level(logging.DEBUG)

    def lines(hook: Any) -> list[str]:
        hook._log = logging.getLogger("hook under test")
        return [record.getMessage() for record in caplog.records if LEFT.search(record.getMessage())]

    yield lines  # noqa: PT022 - caplog has to live as long


def slow_campaign(world: World, count: int = 60) -> tuple[Any, list[str]]:
    ids = place(world, REST_JSON, count)
    world.server.state.latency = 0.05
    return world.hook(REST_JSON), ids


def check_left(world: World, lines: list[str], count: int, read: int) -> None:
    """Nothing leaves any more, and the log tells how many messages nobody asked about."""
    (line,) = lines
    found = LEFT.search(line)
    assert found is not None
    not_asked, unread = int(found[1]), int(found[2])
    assert not_asked + unread + read == count
    after = asked(world)
    assert 0 < after < count
    assert not_asked == count - after
    assert asked(world) == after


def test_breaking_off_and_letting_go_ends_the_run(world: World, logged: Callable[..., list[str]]) -> None:
    hook, ids = slow_campaign(world)
    logged(hook)
    for _ in hook.cancel_messages(ids, max_concurrency=2):
        break
    gc.collect()
    check_left(world, logged(hook), len(ids), read=1)


def test_deleting_the_iterator_ends_the_run(world: World, logged: Callable[..., list[str]]) -> None:
    hook, ids = slow_campaign(world)
    logged(hook)
    stream = hook.cancel_messages(ids, max_concurrency=2)
    next(stream)
    del stream
    gc.collect()
    check_left(world, logged(hook), len(ids), read=1)


def test_closing_the_iterator_ends_the_run(world: World, logged: Callable[..., list[str]]) -> None:
    hook, ids = slow_campaign(world)
    logged(hook)
    stream = hook.cancel_messages(ids, max_concurrency=2)
    next(stream)
    stream.close()
    check_left(world, logged(hook), len(ids), read=1)
    stream.close()
    assert list(stream) == []
    assert len(logged(hook)) == 1


def test_the_end_of_a_with_block_ends_the_run(world: World, logged: Callable[..., list[str]]) -> None:
    hook, ids = slow_campaign(world)
    logged(hook)
    with hook.cancel_messages(ids, max_concurrency=2) as stream:
        next(stream)
    check_left(world, logged(hook), len(ids), read=1)


def test_an_iterator_read_to_its_end_says_nothing_about_leaving(
    world: World, logged: Callable[..., list[str]]
) -> None:
    ids = place(world, REST_JSON, 3)
    hook = world.hook(REST_JSON)
    logged(hook)
    with hook.cancel_messages(ids) as stream:
        assert len(list(stream)) == 3
    with hook.cancel_messages(ids) as stream:
        for _ in range(3):
            next(stream)
    assert logged(hook) == []


def test_airflows_own_logger_writes_the_numbers(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """It is no logger of the standard library in Airflow 3, and has its own mind about arguments."""
    hook, ids = slow_campaign(world, 20)
    stream = hook.cancel_messages(ids, max_concurrency=1)
    next(stream)
    stream.close()
    out, err = capfd.readouterr()
    written = out + err
    assert LEFT.search(written), written


# --- the wire ---


def test_neither_redirects_nor_netrc_nor_cookies_are_used_for_many(
    world: World, neighbour: Callable[..., Neighbour], tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    world.monkeypatch.setenv("NETRC", str(netrc))
    elsewhere = neighbour(Said(200))
    headers = {"Location": f"{elsewhere.url}/", "Set-Cookie": "a=b; Path=/"}
    here = neighbour(Said(302, headers=headers))
    hook = world.hook(REST_JSON, url=here.url)
    message_id = "a" * 32
    assert hook.cancel_message(message_id).outcome is Outcome.UNCONFIRMED
    (result,) = hook.cancel_messages([message_id], deadline=0.25)
    assert result.outcome is Outcome.UNCONFIRMED
    assert elsewhere.seen == []
    assert all(each["Authorization"] == f"Bearer {TOKEN}" for each in here.headers)
    assert not any("Cookie" in each for each in here.headers)


def test_a_time_limit_of_the_connection_holds(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hook = world.hook(ESENDEX_JSON, url=url, extra={"timeout": 0.1})
        began = time.monotonic()
        result = hook.cancel_message("1627aea5-8e0a-4371-9022-9b504344e724")
    assert result.outcome is Outcome.UNCONFIRMED
    assert time.monotonic() - began < 5
