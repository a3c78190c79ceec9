"""The Test button: whether a connection works and, if not, what is wrong with it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
from support.sandboxed import (
    CLICKATELL_SERVICES,
    ESENDEX_JSON,
    HTTP_API,
    REST_JSON,
    REST_XML,
    SERVICES,
    WRONG_KEY,
    Neighbour,
    Said,
    Service,
    World,
    closed_port,
)

every_service = pytest.mark.parametrize("service", SERVICES, ids=str)
one_of_each = pytest.mark.parametrize("service", [REST_JSON, HTTP_API, ESENDEX_JSON], ids=str)
HARMLESS = {"rest.balance", "http.getbalance", "GetPostbackSettingsForLicenseKey"}


def problem(hook: Any) -> str:
    works, said = hook.test_connection()
    assert works is False
    assert "\n" not in said
    return str(said)


@every_service
def test_good_credentials_pass_with_one_harmless_call(world: World, service: Service) -> None:
    works, said = world.hook(service).test_connection()
    assert works is True
    assert "accepts the credentials" in said
    assert len(world.calls()) == 1
    assert set(world.calls()) <= HARMLESS
    assert sum(world.calls().values()) == 1


@every_service
def test_wrong_credentials(world: World, service: Service) -> None:
    said = problem(world.connected(service.gateway, {"host": world.url, **service.wrong}))
    assert "refuses the account" in said
    assert "IP" not in said
    assert set(world.calls()) <= HARMLESS


def test_an_unknown_user_and_a_wrong_api_id_are_told_apart(world: World) -> None:
    assert "user name" in problem(world.hook(HTTP_API, login="nobody"))
    assert "API id" in problem(world.hook(HTTP_API, extra={"api_id": "another"}))


def test_a_licence_key_that_is_no_guid_is_told_without_a_call(world: World) -> None:
    said = problem(world.hook(ESENDEX_JSON, password="a-key-of-something-else"))
    assert "licence key is not a GUID" in said
    assert "a-key-of" not in said
    assert world.calls() == {}


def test_a_licence_key_that_esendex_does_not_know(world: World) -> None:
    assert "licence key" in problem(world.hook(ESENDEX_JSON, password=WRONG_KEY))


LOCKED_OUT = {
    REST_JSON: Said(401, b'{"error":{"code":"007","description":"IP Lockdown violation"}}'),
    REST_XML: Said(401, b"<response><error><code>007</code></error></response>"),
    HTTP_API: Said(200, b"ERR: 007, IP lockdown violation"),
}


@pytest.mark.parametrize("service", LOCKED_OUT, ids=str)
def test_an_ip_lockdown(world: World, neighbour: Callable[..., Neighbour], service: Service) -> None:
    said = problem(world.hook(service, url=neighbour(LOCKED_OUT[service]).url))
    assert "IP lockdown" in said
    assert "address" in said


@one_of_each
def test_an_unknown_host(world: World, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    hook = world.hook(service, url="https://gateway.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    said = problem(hook)
    assert "cannot be resolved" in said
    assert "gateway.invalid" in said


@one_of_each
def test_a_refused_connection(world: World, service: Service) -> None:
    said = problem(world.hook(service, url=f"http://127.0.0.1:{closed_port()}"))
    assert "No connection" in said
    assert "firewall" in said


@one_of_each
def test_a_gateway_that_says_nothing(world: World, service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = world.hook(service, url=f"http://127.0.0.1:{silent.getsockname()[1]}", extra={"timeout": 0.2})
        said = problem(hook)
    assert "in time" in said
    assert "0.2 s" in said
    assert world.waits == []  # a person waits for this: no second attempt


@one_of_each
def test_a_port_without_tls(world: World, service: Service) -> None:
    said = problem(world.hook(service, url=world.url.replace("http://", "https://")))
    assert "TLS" in said


PAGE = b"<html><body>Welcome to somebody else</body></html>"


@one_of_each
@pytest.mark.parametrize(
    "said",
    [
        Said(200, PAGE),
        Said(200, b""),
        Said(404, PAGE),
        Said(404),
        Said(403, PAGE),
        Said(302, headers={"Location": "https://elsewhere.invalid"}),
        Said(200, b'{"status":"ok"}'),
    ],
    ids=lambda said: f"{said.status} {said.body[:6].decode()}",
)
def test_what_answers_is_not_that_gateway(
    world: World, neighbour: Callable[..., Neighbour], service: Service, said: Said
) -> None:
    text = problem(world.hook(service, url=neighbour(said).url))
    assert "is not" in text
    assert "check the host" in text
    assert "somebody else" not in text


@one_of_each
def test_what_answers_does_not_even_speak_http(
    world: World, service: Service, neighbour: Callable[..., Neighbour]
) -> None:
    text = problem(world.hook(service, url=neighbour(lambda _: None).url))
    assert "does not speak HTTP" in text


@one_of_each
def test_a_gateway_that_is_out_of_order_is_asked_again_and_then_told_as_such(
    world: World, service: Service
) -> None:
    world.break_things("503", times=1)
    assert world.hook(service).test_connection()[0]
    world.break_things("503")
    assert "can not be checked now" in problem(world.hook(service))


def test_a_gateway_that_asks_to_slow_down_is_not_waited_for(world: World) -> None:
    world.break_things("429-ten-years")
    assert "slow down" in problem(world.hook(REST_JSON))
    assert world.waits == []


def test_every_cause_has_words_of_its_own(
    world: World, neighbour: Callable[..., Neighbour], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {
        problem(world.connected("clickatell", {"host": world.url, **REST_JSON.wrong})),
        problem(world.hook(REST_JSON, url=neighbour(LOCKED_OUT[REST_JSON]).url)),
        problem(world.hook(REST_JSON, url=f"http://127.0.0.1:{closed_port()}")),
        problem(world.hook(REST_JSON, url=world.url.replace("http://", "https://"))),
        problem(world.hook(REST_JSON, url=neighbour(Said(200, PAGE)).url)),
    }
    assert len({text.split("127.0.0.1")[0] for text in said}) == 5


@pytest.mark.parametrize("service", CLICKATELL_SERVICES, ids=str)
def test_the_test_never_raises(world: World, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = world.hook(service)

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(hook), "get_connection", broken)
    with contextlib.suppress(KeyError):
        for name in ("settings", "gateway", "_caller", "_transport"):
            del hook.__dict__[name]
    assert problem(hook) == "RuntimeError"
