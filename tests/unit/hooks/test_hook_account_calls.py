"""The session, the balance, and the one call that cancels everything."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
import requests
from support.sandboxed import (
    CLICKATELL_SERVICES,
    ESENDEX_JSON,
    ESENDEX_SERVICES,
    HTTP_API,
    LICENCE_KEY,
    REST_JSON,
    SERVICES,
    TOKEN,
    WRONG_KEY,
    Neighbour,
    Said,
    Service,
    World,
    closed_port,
)

from airflow_provider_smscancel.exceptions import (
    SmsGatewayAuthError,
    SmsGatewayProtocolError,
    SmsGatewayUnavailable,
)

LAST_FOUR = LICENCE_KEY[-4:]


# --- get_conn ---


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_the_session_is_one_of_requests_and_made_without_a_call(world: World, service: Service) -> None:
    hook = world.hook(service)
    session = hook.get_conn()
    assert isinstance(session, requests.Session)
    assert hook.get_conn() is session
    assert world.calls() == {}


def test_the_session_takes_paths_and_carries_clickatells_rest_token(world: World) -> None:
    answer = world.hook(REST_JSON).get_conn().get("/rest/account/balance")
    assert answer.json() == {"data": {"balance": "300.50"}}


@pytest.mark.parametrize("service", [HTTP_API, ESENDEX_JSON], ids=str)
def test_the_session_carries_no_credential_where_the_gateway_has_no_header_for_it(
    world: World, service: Service
) -> None:
    session = world.hook(service).get_conn()
    assert "Authorization" not in session.headers
    assert session.get("/_sandbox/requests").status_code == 200


def test_the_session_refuses_any_other_host(world: World, neighbour: Callable[..., Neighbour]) -> None:
    elsewhere = neighbour(Said(200))
    session = world.hook(REST_JSON).get_conn()
    with pytest.raises(ValueError, match="Refused"):
        session.get(f"{elsewhere.url}/rest/account/balance")
    assert elsewhere.seen == []


def test_the_session_follows_no_redirect(world: World, neighbour: Callable[..., Neighbour]) -> None:
    elsewhere = neighbour(Said(200))
    here = neighbour(Said(302, headers={"Location": elsewhere.url}))
    answer = world.hook(REST_JSON, url=here.url).get_conn().get("/rest/account/balance")
    assert answer.status_code == 302
    assert elsewhere.seen == []


# --- get_balance ---


@pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
def test_the_balance_is_an_exact_amount(world: World, service: Service) -> None:
    balance = world.hook(service).get_balance()
    assert isinstance(balance, Decimal)
    assert balance == Decimal("300.50")


@pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
def test_the_balance_of_a_refused_account_raises(world: World, service: Service) -> None:
    with pytest.raises(SmsGatewayAuthError) as caught:
        world.connected("clickatell", {"host": world.url, **service.wrong}).get_balance()
    assert caught.value.gateway_code == "001"


@pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
def test_the_balance_is_asked_again_after_a_passing_fault(world: World, service: Service) -> None:
    world.break_things("503", "act-then-drop", times=2)
    assert world.hook(service).get_balance() == Decimal("300.50")


@pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
def test_the_balance_that_no_gateway_tells_raises(world: World, service: Service) -> None:
    world.break_things("html-200")
    with pytest.raises(SmsGatewayProtocolError):
        world.hook(service).get_balance()
    world.break_things("503")
    with pytest.raises(SmsGatewayUnavailable):
        world.hook(service).get_balance()


# --- cancel_all_messages ---


@pytest.mark.parametrize("service", ESENDEX_SERVICES, ids=str)
def test_everything_is_cancelled_with_one_call(world: World, service: Service) -> None:
    ids = world.put_in_many("esendex", 3)
    other = world.put_in("clickatell")
    assert world.hook(service).cancel_all_messages(confirm_last_four=LAST_FOUR) is True
    assert {world.state_of(message_id) for message_id in ids} == {"cancelled"}
    assert world.state_of(other) == "scheduled"
    assert world.calls() == {"CancelAllMessages": 1}


@pytest.mark.parametrize("key", [LICENCE_KEY[:-4] + "aBcD"])
@pytest.mark.parametrize("given", ["abcd", "ABCD", " abcd "])
def test_the_last_four_compare_without_regard_to_case(world: World, key: str, given: str) -> None:
    assert world.hook(ESENDEX_JSON, password=key).cancel_all_messages(confirm_last_four=given) is False
    assert world.calls() == {"CancelAllMessages": 1}


@pytest.mark.parametrize("given", ["", "1234", "000", "00000", LICENCE_KEY, "0000\0", None, 0])
def test_a_wrong_confirmation_sends_nothing(world: World, given: object) -> None:
    message_id = world.put_in("esendex")
    with pytest.raises(ValueError, match="confirm_last_four") as caught:
        world.hook(ESENDEX_JSON).cancel_all_messages(confirm_last_four=given)
    assert LAST_FOUR not in str(caught.value)
    assert world.calls() == {}
    assert world.state_of(message_id) == "scheduled"


def test_without_a_licence_key_nothing_is_confirmed_by_nothing(world: World) -> None:
    with pytest.raises(ValueError, match="licence key"):
        world.hook(ESENDEX_JSON, password=None).cancel_all_messages(confirm_last_four="")
    assert world.calls() == {}


def test_the_gateways_no_is_handed_on(world: World) -> None:
    hook = world.hook(ESENDEX_JSON, password=WRONG_KEY)
    assert hook.cancel_all_messages(confirm_last_four=WRONG_KEY[-4:]) is False


@pytest.mark.parametrize(
    "kind", ["act-then-drop", "drop-before", "act-then-error", "500", "503", "html-200", "bare-404"]
)
def test_cancelling_all_is_never_repeated_and_the_doubt_is_told(world: World, kind: str) -> None:
    world.break_things(kind)
    with pytest.raises(SmsGatewayUnavailable, match="may have been cancelled"):
        world.hook(ESENDEX_JSON).cancel_all_messages(confirm_last_four=LAST_FOUR)
    assert world.calls() == {"CancelAllMessages": 1}
    assert world.waits == []


def test_cancelling_all_is_not_repeated_when_asked_to_slow_down(world: World) -> None:
    world.break_things("429")
    with pytest.raises(SmsGatewayUnavailable, match="Nothing was cancelled") as caught:
        world.hook(ESENDEX_JSON).cancel_all_messages(confirm_last_four=LAST_FOUR)
    assert caught.value.http_status == 429
    assert world.calls() == {"CancelAllMessages": 1}


def test_cancelling_all_where_nobody_listens_says_that_nothing_was_cancelled(world: World) -> None:
    hook = world.hook(ESENDEX_JSON, url=f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(SmsGatewayUnavailable, match="Nothing was cancelled"):
        hook.cancel_all_messages(confirm_last_four=LAST_FOUR)
    assert world.waits == []


def test_a_message_id_that_is_the_licence_key_cancels_nothing(world: World) -> None:
    """The two calls have the same body."""
    message_id = world.put_in("esendex")
    hook = world.hook(ESENDEX_JSON)
    assert hook.cancel_message(LICENCE_KEY.upper()).outcome == "rejected"
    (result,) = hook.cancel_messages([LICENCE_KEY])
    assert result.outcome == "rejected"
    assert world.calls() == {}
    assert world.state_of(message_id) == "scheduled"


def test_the_token_is_in_no_url(world: World, neighbour: Callable[..., Neighbour]) -> None:
    started = neighbour(Said(200, b'{"data":{"balance":"1"}}'))
    world.hook(REST_JSON, url=started.url).get_balance()
    assert started.seen == ["GET /rest/account/balance"]
    assert started.headers[0]["Authorization"] == f"Bearer {TOKEN}"
