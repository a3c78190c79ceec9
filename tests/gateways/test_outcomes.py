"""Every outcome of a stop, for every gateway and format, over a real socket, compared with the sandbox's own record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from support.sandboxed import (
    CLICKATELL_SERVICES,
    ESENDEX_SERVICES,
    HTTP_API,
    HTTP_BY_CLIENT_ID,
    REST_JSON,
    REST_XML,
    SERVICES,
    Neighbour,
    Said,
    Service,
    World,
    closed_port,
)

from airflow_provider_smscancel.campaigns import CancelResult, Outcome
from airflow_provider_smscancel.exceptions import SmsGatewayAuthError

A_WHILE_S = 0.25
"""How long a run over a gateway that makes no sense may take: long enough for a stop and a status query."""

METHODS = ("cancel_message", "cancel_messages")

every_service = pytest.mark.parametrize("service", SERVICES, ids=str)
clickatell_only = pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
esendex_only = pytest.mark.parametrize("service", ESENDEX_SERVICES, ids=str)
both_methods = pytest.mark.parametrize("method", METHODS)


class Placed(NamedTuple):
    """A message at the sandbox.

    :param message_id: the gateway's own id.
    :param asked_by: the id to cancel it by.
    """

    message_id: str
    asked_by: str


def place(world: World, service: Service, **members: str) -> Placed:
    if service.id_type == "client_message_id":
        return Placed(
            world.put_in(service.gateway, client_message_id="campaign7nr1", **members), "campaign7nr1"
        )
    message_id = world.put_in(service.gateway, **members)
    return Placed(message_id, message_id)


def an_unknown_id(service: Service) -> str:
    if service.id_type == "client_message_id":
        return "nobody1"
    return "1627aea5-0000-4000-8000-000000000000" if service.gateway == "esendex" else "f" * 32


def cancel(
    hook: object, service: Service, method: str, message_id: str, deadline: float | None = None
) -> CancelResult:
    """Stop one message by either method, and check that there is exactly one result."""
    if method == "cancel_message":
        result = hook.cancel_message(**{service.id_type: message_id})  # type: ignore[attr-defined]
    else:
        stream = hook.cancel_messages(  # type: ignore[attr-defined]
            [message_id], id_type=service.id_type, deadline=deadline
        )
        (result,) = stream
    assert isinstance(result, CancelResult)
    assert result.finished_at.utcoffset() == timedelta(0)
    assert "\n" not in result.detail
    return result


def stop_count(world: World, placed: Placed) -> int:
    return int(world.truth()[placed.message_id]["stop_requests"])


def long_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()


# --- each row of the table ---


@both_methods
@every_service
def test_a_scheduled_message_is_cancelled(world: World, service: Service, method: str) -> None:
    placed = place(world, service)
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.CANCELLED
    assert result.message_id == placed.asked_by
    assert result.gateway_status == ("true" if service.gateway == "esendex" else "006")
    assert result.attempts == 1
    assert world.state_of(placed.message_id) == "cancelled"


@both_methods
def test_the_detail_of_a_stop_by_client_id_names_the_gateways_own_id(world: World, method: str) -> None:
    placed = place(world, HTTP_BY_CLIENT_ID)
    result = cancel(world.hook(HTTP_BY_CLIENT_ID), HTTP_BY_CLIENT_ID, method, placed.asked_by)
    assert placed.message_id in result.detail


@both_methods
@esendex_only
def test_a_message_that_was_cancelled_before_is_already_cancelled(
    world: World, service: Service, method: str
) -> None:
    placed = place(world, service, state="cancelled")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.ALREADY_CANCELLED
    assert world.state_of(placed.message_id) == "cancelled"


@both_methods
@clickatell_only
def test_clickatells_006_to_a_stop_is_cancelled_whoever_did_it(
    world: World, service: Service, method: str
) -> None:
    placed = place(world, service, state="cancelled")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.CANCELLED


@both_methods
@every_service
def test_a_message_that_has_left_is_too_late(world: World, service: Service, method: str) -> None:
    placed = place(world, service, state="sent")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.TOO_LATE
    assert world.state_of(placed.message_id) == "sent"


@both_methods
@every_service
def test_a_queued_message_is_stopped_only_where_the_gateway_can(
    world: World, service: Service, method: str
) -> None:
    placed = place(world, service, state="queued")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    if service.gateway == "clickatell":
        assert (result.outcome, world.state_of(placed.message_id)) == (Outcome.CANCELLED, "cancelled")
    else:
        assert (result.outcome, world.state_of(placed.message_id)) == (Outcome.TOO_LATE, "queued")


@both_methods
@every_service
def test_a_failed_message_will_not_send(world: World, service: Service, method: str) -> None:
    placed = place(world, service, state="failed")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.WILL_NOT_SEND
    assert world.state_of(placed.message_id) == "failed"


@both_methods
@clickatell_only
def test_what_clickatells_staff_cancelled_will_not_send(world: World, service: Service, method: str) -> None:
    placed = place(world, service, state="failed", code="013")
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert (result.outcome, result.gateway_status) == (Outcome.WILL_NOT_SEND, "013")


@both_methods
@every_service
def test_an_unknown_id_is_not_found(world: World, service: Service, method: str) -> None:
    result = cancel(world.hook(service), service, method, an_unknown_id(service))
    assert result.outcome is Outcome.NOT_FOUND


@both_methods
@every_service
def test_a_malformed_id_is_rejected_and_nothing_is_sent(world: World, service: Service, method: str) -> None:
    result = cancel(world.hook(service), service, method, "+27 82 555 0123")
    assert result.outcome is Outcome.REJECTED
    assert result.attempts == 0
    assert "0123" not in repr(result)
    assert world.calls() == {}


NONSENSE = ("html-200", "bare-404", "act-then-drop", "drop-before")


@pytest.mark.parametrize("kind", NONSENSE)
@both_methods
@every_service
def test_without_one_usable_answer_a_message_is_unconfirmed(
    world: World, service: Service, method: str, kind: str
) -> None:
    placed = place(world, service)
    world.break_things(kind, calls=[*service.operations, "ReadMessageStatus"])
    result = cancel(world.hook(service), service, method, placed.asked_by, deadline=A_WHILE_S)
    assert result.outcome is Outcome.UNCONFIRMED
    assert result.attempts >= 1
    if kind == "drop-before":
        assert world.state_of(placed.message_id) == "scheduled"
    elif kind == "act-then-drop":
        # It was stopped, and still nobody may say so.
        assert world.state_of(placed.message_id) == "cancelled"


@every_service
def test_with_no_time_left_nothing_is_attempted(world: World, service: Service) -> None:
    placed = place(world, service)
    result = cancel(world.hook(service), service, "cancel_messages", placed.asked_by, deadline=0)
    assert (result.outcome, result.attempts) == (Outcome.NOT_ATTEMPTED, 0)
    assert world.calls() == {}
    assert world.state_of(placed.message_id) == "scheduled"


@both_methods
@every_service
def test_where_nobody_listens_nothing_is_attempted(world: World, service: Service, method: str) -> None:
    hook = world.hook(service, url=f"http://127.0.0.1:{closed_port()}")
    result = cancel(hook, service, method, an_unknown_id(service), deadline=A_WHILE_S)
    assert result.outcome is Outcome.NOT_ATTEMPTED


@clickatell_only
def test_wrong_credentials_leave_every_message_not_attempted_and_raise(
    world: World, service: Service
) -> None:
    placed = place(world, service)
    hook = world.connected("clickatell", {"host": world.url, **service.wrong})
    stream = hook.cancel_messages([placed.asked_by], id_type=service.id_type)
    assert next(stream).outcome is Outcome.NOT_ATTEMPTED
    with pytest.raises(SmsGatewayAuthError):
        next(stream)
    with pytest.raises(SmsGatewayAuthError):
        hook.cancel_message(**{service.id_type: placed.asked_by})
    assert stop_count(world, placed) == 0
    assert world.state_of(placed.message_id) == "scheduled"


@both_methods
@esendex_only
@pytest.mark.parametrize(
    ("state", "outcome"),
    [("scheduled", Outcome.CANCELLED), ("cancelled", Outcome.ALREADY_CANCELLED), ("sent", Outcome.TOO_LATE)],
)
def test_a_wrong_licence_key_stops_no_esendex_run(
    world: World, service: Service, method: str, state: str, outcome: Outcome
) -> None:
    placed = place(world, service, state=state)
    hook = world.connected("esendex", {"host": world.url, **service.wrong})
    assert cancel(hook, service, method, placed.asked_by).outcome is outcome


@both_methods
@esendex_only
def test_a_wrong_licence_key_stops_no_esendex_run_when_the_plain_status_stumbles(
    world: World, service: Service, method: str
) -> None:
    """The fuller status comes in then, and with it the gateway's word that the key is wrong."""
    placed = place(world, service, state="sent")
    world.break_things("500", calls=["GetMessageStatus"], times=1)
    hook = world.connected("esendex", {"host": world.url, **service.wrong})
    assert cancel(hook, service, method, placed.asked_by).outcome is Outcome.TOO_LATE
    assert world.calls()["ReadMessageStatus"] >= 1


# --- what must not count as cancelled ---


@both_methods
@clickatell_only
@pytest.mark.parametrize("code", ["003", "004"])
def test_a_clickatell_answer_that_looks_like_success_but_says_sent_is_too_late(
    world: World, service: Service, method: str, code: str
) -> None:
    placed = place(world, service, state="sent", code=code)
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert (result.outcome, result.gateway_status) == (Outcome.TOO_LATE, code)


@both_methods
@esendex_only
def test_an_esendex_false_for_a_sent_message_is_too_late(world: World, service: Service, method: str) -> None:
    placed = place(world, service, state="sent", scheduled_at=long_ago())
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert result.outcome is Outcome.TOO_LATE
    assert world.calls()[service.operations[1]] == 1


ONCE = (
    "html-200",
    "bare-404",
    "empty-200",
    "500",
    "act-then-error",
    "act-then-drop",
    "drop-before",
    "truncated",
)


@pytest.mark.parametrize("state", ["scheduled", "sent"])
@pytest.mark.parametrize("kind", ONCE)
@every_service
def test_after_a_spoilt_answer_the_outcome_is_still_the_truth(
    world: World, service: Service, kind: str, state: str
) -> None:
    placed = place(world, service, state=state)
    world.break_things(kind, calls=[service.operations[0]], times=1)
    result = cancel(world.hook(service), service, "cancel_message", placed.asked_by)
    expected = {"scheduled": (Outcome.CANCELLED, "cancelled"), "sent": (Outcome.TOO_LATE, "sent")}[state]
    assert (result.outcome, world.state_of(placed.message_id)) == expected


@every_service
def test_after_spoilt_answers_a_run_over_many_still_tells_the_truth(world: World, service: Service) -> None:
    """One campaign with a message for each spoilt answer: what is called cancelled is, and nothing else."""
    if service.id_type == "client_message_id":
        names = [f"campaign8nr{number}" for number in range(len(ONCE))]
        ids = {name: world.put_in("clickatell", client_message_id=name) for name in names}
    else:
        ids = {message_id: message_id for message_id in world.put_in_many(service.gateway, len(ONCE))}
    world.break_things(*ONCE, calls=[service.operations[0]], times=len(ONCE) - 1)
    results = list(world.hook(service).cancel_messages(list(ids), id_type=service.id_type))
    assert {result.message_id for result in results} == set(ids)
    truth = world.truth()
    for result in results:
        assert result.outcome is Outcome.CANCELLED
        assert truth[ids[result.message_id]]["state"] == "cancelled"


@both_methods
@pytest.mark.parametrize("service", [REST_JSON, REST_XML, HTTP_API], ids=str)
@pytest.mark.parametrize("state", ["scheduled", "sent"])
def test_after_an_answer_about_another_message_the_status_decides(
    world: World, service: Service, method: str, state: str
) -> None:
    placed = place(world, service, state=state)
    world.put_in(service.gateway)
    world.break_things("wrong-id", calls=[service.operations[0]], times=1)
    result = cancel(world.hook(service), service, method, placed.asked_by)
    expected = {"scheduled": (Outcome.CANCELLED, "cancelled"), "sent": (Outcome.TOO_LATE, "sent")}[state]
    assert (result.outcome, world.state_of(placed.message_id)) == expected
    assert world.calls()[service.operations[1]] >= 1


@clickatell_only
@both_methods
def test_one_stray_refusal_of_good_credentials_ends_nothing(
    world: World, service: Service, method: str
) -> None:
    placed = place(world, service)
    world.break_things("stray-401", calls=[service.operations[0]], times=1)
    result = cancel(world.hook(service), service, method, placed.asked_by)
    assert (result.outcome, world.state_of(placed.message_id)) == (Outcome.CANCELLED, "cancelled")


# --- what the sandbox would never say ---

OURS = "a" * 32
OTHER = "b" * 32
OUR_GUID = "1627aea5-8e0a-4371-9022-9b504344e724"
OTHER_GUID = "1627aea5-8e0a-4371-9022-9b504344e725"


@pytest.fixture
def neighbour() -> Iterator[Callable[[Callable[[str], Said | None]], Neighbour]]:
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[str], Said | None]) -> Neighbour:
            started = Neighbour(answer)
            stack.callback(started.stop)
            return started

        yield start


def rest(message_id: str, status: str) -> Said:
    data = {"apiMessageId": message_id, "messageStatus": status, "description": "x"}
    return Said(200, json.dumps({"data": data}).encode())


def rest_xml(message_id: str, status: str) -> Said:
    body = f"<response><data><apiMessageId>{message_id}</apiMessageId><messageStatus>{status}</messageStatus></data></response>"
    return Said(200, body.encode())


def http_line(message_id: str, status: str) -> Said:
    return Said(200, f"ID: {message_id} Status: {status}".encode())


SPOKEN = [
    pytest.param(REST_JSON, rest, id="rest json"),
    pytest.param(REST_XML, rest_xml, id="rest xml"),
    pytest.param(HTTP_API, http_line, id="http"),
]


def is_status_query(call: str) -> bool:
    return call.startswith("GET /rest/message/") or "querymsg" in call or "MessageStatus" in call


@both_methods
@pytest.mark.parametrize(("service", "spoken"), SPOKEN)
def test_006_about_another_message_says_nothing_about_ours(
    world: World,
    neighbour: Callable[..., Neighbour],
    service: Service,
    spoken: Callable[[str, str], Said],
    method: str,
) -> None:
    def answer(call: str) -> Said:
        if "/http/auth" in call:
            return Said(200, b"OK: 0123456789abcdef")
        return spoken(OURS, "004") if is_status_query(call) else spoken(OTHER, "006")

    hook = world.hook(service, url=neighbour(answer).url)
    result = cancel(hook, service, method, OURS)
    assert (result.outcome, result.gateway_status) == (Outcome.TOO_LATE, "004")


@both_methods
@pytest.mark.parametrize(("service", "spoken"), SPOKEN)
def test_006_about_other_messages_only_leaves_ours_unconfirmed(
    world: World,
    neighbour: Callable[..., Neighbour],
    service: Service,
    spoken: Callable[[str, str], Said],
    method: str,
) -> None:
    def answer(call: str) -> Said:
        return Said(200, b"OK: 0123456789abcdef") if "/http/auth" in call else spoken(OTHER, "006")

    hook = world.hook(service, url=neighbour(answer).url)
    assert cancel(hook, service, method, OURS, deadline=A_WHILE_S).outcome is Outcome.UNCONFIRMED


@both_methods
@esendex_only
def test_an_esendex_status_about_another_message_leaves_ours_unconfirmed(
    world: World, neighbour: Callable[..., Neighbour], service: Service, method: str
) -> None:
    cancelled = {"Cancelled": True, "Queued": False, "Sent": False, "SMSError": 0, "MessageID": OTHER_GUID}

    def answer(call: str) -> Said:
        if is_status_query(call):
            return Said(200, json.dumps(cancelled).encode())
        return Said(200, b"false")

    hook = world.hook(service, url=neighbour(answer).url)
    assert cancel(hook, service, method, OUR_GUID, deadline=A_WHILE_S).outcome is Outcome.UNCONFIRMED


@both_methods
@clickatell_only
def test_a_message_that_still_waits_after_the_stop_is_unconfirmed(
    world: World, neighbour: Callable[..., Neighbour], service: Service, method: str
) -> None:
    spoken = {REST_JSON: rest, REST_XML: rest_xml}.get(service, http_line)

    def answer(call: str) -> Said:
        return Said(200, b"OK: 0123456789abcdef") if "/http/auth" in call else spoken(OURS, "011")

    hook = world.hook(service, url=neighbour(answer).url)
    result = cancel(hook, service, method, OURS, deadline=A_WHILE_S)
    assert (result.outcome, result.gateway_status) == (Outcome.UNCONFIRMED, "011")


@both_methods
@pytest.mark.parametrize(("service", "spoken"), SPOKEN)
def test_what_the_gateway_refuses_for_good_is_rejected_once_the_status_says_that_it_waits(
    world: World,
    neighbour: Callable[..., Neighbour],
    service: Service,
    spoken: Callable[[str, str], Said],
    method: str,
) -> None:
    refusals = {
        REST_JSON: Said(400, b'{"error":{"code":"101","description":"x"}}'),
        REST_XML: Said(400, b"<response><error><code>101</code></error></response>"),
        HTTP_API: Said(200, b"ERR: 101, Invalid or missing parameters"),
    }

    def answer(call: str) -> Said:
        if "/http/auth" in call:
            return Said(200, b"OK: 0123456789abcdef")
        return spoken(OURS, "011") if is_status_query(call) else refusals[service]

    hook = world.hook(service, url=neighbour(answer).url)
    result = cancel(hook, service, method, OURS)
    assert (result.outcome, result.gateway_status) == (Outcome.REJECTED, "101")


@both_methods
@pytest.mark.parametrize(("service", "spoken"), SPOKEN[:1])
def test_001_twice_seconds_apart_is_not_found_and_once_is_not(
    world: World,
    neighbour: Callable[..., Neighbour],
    service: Service,
    spoken: Callable[[str, str], Said],
    method: str,
) -> None:
    started = neighbour(lambda _: spoken(OURS, "001"))
    hook = world.hook(service, url=started.url)
    result = cancel(hook, service, method, OURS)
    assert (result.outcome, result.gateway_status) == (Outcome.NOT_FOUND, "001")
    assert sum(call.startswith("DELETE") for call in started.seen) == 2
    assert result.attempts == 2
