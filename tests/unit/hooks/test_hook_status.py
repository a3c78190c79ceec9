"""Where one message is, as the gateway tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.sandboxed import (
    CLICKATELL_SERVICES,
    ESENDEX_JSON,
    HTTP_API,
    HTTP_BY_CLIENT_ID,
    REST_JSON,
    SERVICES,
    WRONG_KEY,
    Neighbour,
    Said,
    Service,
    World,
    closed_port,
)

from airflow_provider_smscancel.campaigns import MessageStatus
from airflow_provider_smscancel.exceptions import (
    SmsGatewayAuthError,
    SmsGatewayProtocolError,
    SmsGatewayRefused,
    SmsGatewayUnavailable,
)

every_service = pytest.mark.parametrize("service", SERVICES, ids=str)
clickatell_only = pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)

STATES = {
    "scheduled": ("pending", "pending"),
    "queued": ("pending", "sent"),
    "sent": ("sent", "sent"),
    "cancelled": ("cancelled", "cancelled"),
    "failed": ("failed", "failed"),
}
"""A message's state at the sandbox, and as Clickatell and as Esendex (where queued can not be stopped) show it."""


def place(world: World, service: Service, **members: str) -> dict[str, str]:
    """Put a message in and return it as the hook's method wants it named."""
    if service.id_type == "client_message_id":
        world.put_in(service.gateway, client_message_id="campaign7nr1", **members)
        return {"client_message_id": "campaign7nr1"}
    return {"message_id": world.put_in(service.gateway, **members)}


@pytest.mark.parametrize("state", STATES)
@every_service
def test_the_state_of_a_message(world: World, service: Service, state: str) -> None:
    named = place(world, service, state=state)
    found = world.hook(service).get_message_status(**named)
    assert isinstance(found, MessageStatus)
    assert found.message_id == next(iter(named.values()))
    assert found.state == STATES[state][service.gateway == "esendex"]
    assert found.code
    assert found.description
    assert all("stop" not in operation and "Cancel" not in operation for operation in world.calls())


@every_service
def test_an_id_that_the_gateway_does_not_know_is_unknown(world: World, service: Service) -> None:
    unknown = "1627aea5-0000-4000-8000-000000000000" if service.gateway == "esendex" else "f" * 32
    assert world.hook(service).get_message_status(**{service.id_type: unknown}).state == "unknown"


def test_esendex_uses_the_fuller_call_when_there_is_a_licence_key(world: World) -> None:
    message_id = world.put_in("esendex", state="cancelled")
    assert world.hook(ESENDEX_JSON).get_message_status(message_id).code == "507"
    assert set(world.calls()) == {"ReadMessageStatus"}


@pytest.mark.parametrize("key", [WRONG_KEY, "no guid at all"])
@pytest.mark.parametrize("state", STATES)
def test_esendex_with_a_bad_licence_key_falls_back_to_the_key_less_call(
    world: World, state: str, key: str
) -> None:
    message_id = world.put_in("esendex", state=state)
    found = world.hook(ESENDEX_JSON, password=key).get_message_status(message_id)
    assert found.state == STATES[state][1]
    assert "GetMessageStatus" in world.calls()


@clickatell_only
def test_wrong_credentials_raise_once_the_balance_call_confirms_them(world: World, service: Service) -> None:
    named = place(world, service)
    with pytest.raises(SmsGatewayAuthError) as caught:
        world.connected("clickatell", {"host": world.url, **service.wrong}).get_message_status(**named)
    assert caught.value.gateway_code == "001"
    assert "gateway_under_test" in str(caught.value)
    assert world.calls()["rest.balance" if "rest" in service.name else "http.getbalance"] == 1


@clickatell_only
def test_one_stray_refusal_is_asked_again(world: World, service: Service) -> None:
    named = place(world, service)
    world.break_things("stray-401", calls=[service.operations[1]], times=1)
    assert world.hook(service).get_message_status(**named).state == "pending"


def test_refusals_that_the_balance_call_denies_are_no_refusal_of_the_account(world: World) -> None:
    message_id = world.put_in("clickatell")
    world.break_things("empty-401", calls=["rest.status"])
    with pytest.raises(SmsGatewayUnavailable, match="does not confirm"):
        world.hook(REST_JSON).get_message_status(message_id)


@every_service
def test_a_passing_fault_is_asked_again(world: World, service: Service) -> None:
    named = place(world, service)
    status_calls = [service.operations[1], "ReadMessageStatus"]
    world.break_things("500", "502", "act-then-drop", "drop-before", calls=status_calls, times=3)
    hook = world.hook(service)
    assert hook.get_message_status(**named).state == "pending"
    assert len(world.waits) == 3


@every_service
def test_without_an_answer_the_gateway_is_unavailable(world: World, service: Service) -> None:
    hook = world.hook(service, url=f"http://127.0.0.1:{closed_port()}")
    message_id = "1627aea5-0000-4000-8000-000000000000" if service.gateway == "esendex" else "f" * 32
    with pytest.raises(SmsGatewayUnavailable, match="status is not known"):
        hook.get_message_status(**{service.id_type: message_id})


@every_service
def test_a_page_in_place_of_an_answer_is_no_gateway(world: World, service: Service) -> None:
    named = place(world, service)
    world.break_things("html-200")
    with pytest.raises(SmsGatewayProtocolError) as caught:
        world.hook(service).get_message_status(**named)
    assert caught.value.http_status == 200


def test_a_refusal_for_good_is_raised_with_its_code(
    world: World, neighbour: Callable[..., Neighbour]
) -> None:
    started = neighbour(Said(400, b'{"error":{"code":"101","description":"x"}}'))
    with pytest.raises(SmsGatewayRefused) as caught:
        world.hook(REST_JSON, url=started.url).get_message_status("a" * 32)
    assert (caught.value.gateway_code, caught.value.http_status) == ("101", 400)
    assert len(started.seen) == 1


@every_service
def test_a_malformed_id_is_told_without_its_text_and_nothing_is_asked(world: World, service: Service) -> None:
    with pytest.raises(ValueError, match="Nothing was asked") as caught:
        world.hook(service).get_message_status(**{service.id_type: "+27 82 555 0123"})
    assert "0123" not in str(caught.value)
    assert world.calls() == {}


@pytest.mark.parametrize("service", [REST_JSON, ESENDEX_JSON], ids=str)
def test_a_client_id_is_for_clickatells_http_api_only(world: World, service: Service) -> None:
    with pytest.raises(ValueError, match="HTTP API"):
        world.hook(service).get_message_status(client_message_id="campaign7nr1")


@pytest.mark.parametrize("arguments", [{}, {"message_id": "a" * 32, "client_message_id": "b"}])
def test_exactly_one_id_is_asked_for(world: World, arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        world.hook(HTTP_API).get_message_status(**arguments)


def test_messages_of_different_states_under_one_client_id_have_no_state(world: World) -> None:
    for state in ("scheduled", "sent"):
        world.put_in("clickatell", client_message_id="twice", state=state)
    with pytest.raises(SmsGatewayProtocolError):
        world.hook(HTTP_BY_CLIENT_ID).get_message_status(client_message_id="twice")
