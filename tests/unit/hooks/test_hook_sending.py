"""Sending: a text may leave once, late or not at all, but never twice."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from support.sandboxed import (
    ESENDEX_JSON,
    HTTP_API,
    REST_JSON,
    REST_XML,
    WRONG_KEY,
    Service,
    World,
    closed_port,
)

from airflow_provider_smscancel.exceptions import (
    SmsGatewayAuthError,
    SmsGatewayRefused,
    SmsGatewayUnavailable,
)
from airflow_provider_smscancel.sandbox.server import SandboxServer

SENDERS = (REST_JSON, REST_XML, HTTP_API, ESENDEX_JSON)
every_sender = pytest.mark.parametrize("service", SENDERS, ids=str)

TEXT = "The price is 19.99"
NUMBERS = {"clickatell": ["27821230001", "27821230002"], "esendex": ["7575550147", "7575550148"]}
NOBODY = {"clickatell": "0821230003", "esendex": "123"}
"""A number that has the form of one, and that the gateway refuses."""


def number_of(service: Service) -> str:
    return NUMBERS[service.gateway][0]


def operation_of(service: Service) -> str:
    if service.gateway == "esendex":
        return "SendMessage"
    return "http.sendmsg" if service is HTTP_API else "rest.send"


def tomorrow() -> datetime:
    return (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)


@every_sender
def test_a_text_is_scheduled_for_its_time_and_can_be_cancelled(world: World, service: Service) -> None:
    # Two zones, one moment: what counts is the moment.
    when = tomorrow().astimezone(timezone(timedelta(hours=5, minutes=30)))
    hook = world.hook(service)
    (sent,) = hook.send_message(number_of(service), TEXT, scheduled_at=when)
    assert sent.error is None
    row = world.truth()[sent.message_id]
    assert row["state"] == "scheduled"
    assert datetime.fromisoformat(row["scheduled_at"]) == when
    assert hook.cancel_message(sent.message_id).outcome == "cancelled"


@every_sender
def test_a_text_without_a_time_leaves_at_once(world: World, service: Service) -> None:
    (sent,) = world.hook(service).send_message([number_of(service)], TEXT)
    assert world.state_of(sent.message_id) == "sent"


@every_sender
def test_each_recipient_gets_an_entry_in_the_order_given_refused_ones_too(
    world: World, service: Service
) -> None:
    first, last = NUMBERS[service.gateway]
    to = [first, NOBODY[service.gateway], last]
    entries = world.hook(service).send_message(to, TEXT, scheduled_at=tomorrow())
    assert [entry.to for entry in entries] == to
    assert [entry.message_id is None for entry in entries] == [False, True, False]
    assert [entry.error is None for entry in entries] == [True, False, True]
    truth = world.truth()
    assert [truth[entry.message_id]["to"] for entry in entries if entry.message_id] == [first, last]
    assert not any(number in repr(entries) for number in to)


@pytest.mark.parametrize("service", [REST_JSON, HTTP_API, ESENDEX_JSON], ids=str)
def test_an_id_of_the_senders_own_travels_along(world: World, service: Service) -> None:
    (sent,) = world.hook(service).send_message(
        number_of(service), TEXT, scheduled_at=tomorrow(), client_message_id="campaign7nr1"
    )
    assert world.truth()[sent.message_id]["client_message_id"] == "campaign7nr1"


# --- what is wrong with the request is told before it leaves ---


@every_sender
@pytest.mark.parametrize(
    ("to", "text", "scheduled_at", "said"),
    [
        ("27821230001", TEXT, datetime(2027, 1, 1, 12), "time zone"),  # noqa: DTZ001 - that is the point
        ("27821230001", TEXT, "2027-01-01T12:00:00Z", "datetime"),
        ([], TEXT, None, "recipient"),
        ("27821230001", "", None, "text"),
        ("not-a-number 0123", TEXT, None, "recipient 1"),
        (["27821230001", "not-a-number 0123"], TEXT, None, "recipient 2"),
    ],
)
def test_bad_input_is_a_value_error_and_nothing_is_sent(
    world: World, service: Service, to: Any, text: str, scheduled_at: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        world.hook(service).send_message(to, text, scheduled_at=scheduled_at)
    assert "0123" not in str(caught.value)
    assert world.calls() == {}


@pytest.mark.parametrize("service", [REST_JSON, REST_XML, HTTP_API], ids=str)
def test_clickatell_schedules_no_further_than_seven_days(world: World, service: Service) -> None:
    hook = world.hook(service)
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="7 days"):
        hook.send_message(number_of(service), TEXT, scheduled_at=now + timedelta(days=7, minutes=1))
    assert world.calls() == {}
    hook.send_message(number_of(service), TEXT, scheduled_at=now + timedelta(days=6, hours=23))


# --- never twice ---

DOUBTFUL = (
    "act-then-drop",
    "act-then-error",
    "drop-before",
    "cut-body",
    "500",
    "502",
    "503",
    "html-200",
    "empty-200",
    "bare-404",
)


@pytest.mark.parametrize("kind", DOUBTFUL)
@every_sender
def test_a_send_in_doubt_is_not_repeated_and_the_error_says_so(
    world: World, service: Service, kind: str
) -> None:
    world.break_things(kind)
    with pytest.raises(SmsGatewayUnavailable, match="may have been sent") as caught:
        world.hook(service).send_message(number_of(service), TEXT, scheduled_at=tomorrow())
    assert world.calls() == {operation_of(service): 1}
    assert len(world.truth()) <= 1
    assert "Nothing was sent" not in str(caught.value)
    assert world.waits == []


@every_sender
def test_a_send_that_took_too_long_is_not_repeated_and_the_error_says_so(
    world: World, service: Service
) -> None:
    world.post("faults", {"share": 1, "kinds": ["slow"], "slow_seconds": 1})
    with pytest.raises(SmsGatewayUnavailable, match="may have been sent"):
        world.hook(service, extra={"timeout": 0.2}).send_message(number_of(service), TEXT)
    assert world.calls() == {operation_of(service): 1}
    assert len(world.truth()) == 1


@pytest.mark.parametrize("kind", ["429", "429-date", "429-garbage"])
@every_sender
def test_a_send_is_repeated_when_the_gateway_asks_to_slow_down(
    world: World, service: Service, kind: str
) -> None:
    world.break_things(kind, times=2)
    (sent,) = world.hook(service).send_message(number_of(service), TEXT, scheduled_at=tomorrow())
    assert world.calls() == {operation_of(service): 3}
    assert set(world.truth()) == {sent.message_id}
    if kind == "429":
        assert world.waits == [1.0, 1.0]


def test_a_gateway_that_asks_to_come_back_in_ten_years_is_not_waited_for(world: World) -> None:
    world.break_things("429-ten-years")
    with pytest.raises(SmsGatewayUnavailable, match="Nothing was sent") as caught:
        world.hook(REST_JSON).send_message("27821230001", TEXT)
    assert caught.value.http_status == 429
    assert world.calls() == {"rest.send": 4}
    assert max(world.waits) <= 30
    assert world.truth() == {}


@every_sender
def test_a_send_is_repeated_when_the_connection_was_refused(world: World, service: Service) -> None:
    """The gateway comes up while the hook waits for its next attempt."""
    port = closed_port()
    hook = world.hook(service, url=f"http://127.0.0.1:{port}")
    with contextlib.ExitStack() as stack:
        started: list[SandboxServer] = []

        def come_up(_: float) -> None:
            started.append(stack.enter_context(SandboxServer(port=port)))

        hook.__dict__["_caller"] = replace(hook._caller, sleep=come_up)
        (sent,) = hook.send_message(number_of(service), TEXT, scheduled_at=tomorrow())
        assert [message.id for message in started[0].state.messages()] == [sent.message_id]
    assert len(started) == 1


@every_sender
def test_where_nobody_listens_nothing_was_sent(world: World, service: Service) -> None:
    hook = world.hook(service, url=f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(SmsGatewayUnavailable, match="Nothing was sent") as caught:
        hook.send_message(number_of(service), TEXT)
    assert "may have been sent" not in str(caught.value)
    assert len(world.waits) == 3


# --- refused ---


@pytest.mark.parametrize("service", [REST_JSON, REST_XML, HTTP_API], ids=str)
def test_wrong_credentials_send_nothing(world: World, service: Service) -> None:
    hook = world.connected("clickatell", {"host": world.url, **service.wrong})
    with pytest.raises(SmsGatewayAuthError):
        hook.send_message("27821230001", TEXT)
    assert world.truth() == {}
    assert world.calls() == {operation_of(service): 1}


def test_a_wrong_licence_key_sends_nothing(world: World) -> None:
    with pytest.raises(SmsGatewayAuthError) as caught:
        world.hook(ESENDEX_JSON, password=WRONG_KEY).send_message("7575550147", TEXT)
    assert caught.value.gateway_code == "401"
    assert world.truth() == {}


def test_a_request_that_the_gateway_refuses_is_told_with_its_code(world: World) -> None:
    with pytest.raises(SmsGatewayRefused) as caught:
        world.hook(HTTP_API).send_message(NOBODY["clickatell"], TEXT)
    assert caught.value.gateway_code == "114"
    assert NOBODY["clickatell"] not in str(caught.value)


def test_esendex_sends_no_text_without_a_licence_key(world: World) -> None:
    with pytest.raises(ValueError, match="licence key"):
        world.hook(ESENDEX_JSON, password=None).send_message("7575550147", TEXT)
    assert world.calls() == {}
