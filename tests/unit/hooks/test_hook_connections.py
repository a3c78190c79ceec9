"""What a connection may hold, and what is said about one that is wrong, before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.sandboxed import ESENDEX_JSON, HTTP_API, LICENCE_KEY, REST_JSON, TOKEN, World
from support.versions import before

from airflow_provider_smscancel._airflow import Connection
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.hooks.esendex import EsendexHook


def rest(world: World, **fields: Any) -> Any:
    return world.connected("clickatell", {"host": world.url, "password": TOKEN, **fields})


def refusal_of(hook: Any) -> str:
    """What every method says about a connection that is wrong; all of them must say the same."""
    ways = (
        hook.get_conn,
        lambda: hook.cancel_message("a" * 32),
        lambda: hook.cancel_messages([]),
        lambda: hook.get_message_status("a" * 32),
        lambda: hook.send_message("27999000001", "Hello"),
    )
    texts = set()
    for way in ways:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is what is returned
            way()
        texts.add(str(caught.value))
    works, said = hook.test_connection()
    assert not works
    (text,) = texts | {said}
    return text


# --- constructors ---


@pytest.mark.parametrize(
    ("hook_class", "parameter", "default"),
    [
        (ClickatellHook, "clickatell_conn_id", "clickatell_default"),
        (EsendexHook, "esendex_conn_id", "esendex_default"),
    ],
)
def test_a_constructor_takes_a_connection_id_and_reads_nothing(
    hook_class: type[SmsGatewayHook], parameter: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> Connection:
        raise AssertionError("the connection was read")

    monkeypatch.setattr(hook_class, "get_connection", read)
    assert getattr(hook_class(), parameter) == default
    assert getattr(hook_class(**{parameter: "mine"}), parameter) == "mine"
    assert hook_class("mine").conn_id == "mine"  # type: ignore[call-arg]
    with pytest.raises(AssertionError, match="was read"):
        _ = hook_class().settings  # type: ignore[call-arg]


@pytest.mark.parametrize("hook_class", [ClickatellHook, EsendexHook])
def test_a_hook_names_what_airflow_asks_of_it(hook_class: type[SmsGatewayHook]) -> None:
    kind = hook_class.connection_kind()
    assert hook_class.conn_type == kind.name
    assert hook_class.default_conn_name == f"{kind.name}_default"
    assert hook_class.conn_name_attr == f"{kind.name}_conn_id"
    assert hook_class.hook_name == kind.label


# --- where it leads ---


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://api.clickatell.com"),
        ({"host": " "}, "https://api.clickatell.com"),
        ({"host": "", "port": 443}, "https://api.clickatell.com"),
        ({"host": "https://gateway.invalid/"}, "https://gateway.invalid"),
        ({"host": "https://gateway.invalid:8443", "port": 99}, "https://gateway.invalid:8443"),
        ({"host": "https://gateway.invalid", "port": 99, "schema": "http"}, "https://gateway.invalid"),
        ({"host": "gateway.invalid"}, "https://gateway.invalid"),
        ({"host": "gateway.invalid", "port": 8443}, "https://gateway.invalid:8443"),
        ({"host": "gateway.invalid", "port": 8443, "schema": "https"}, "https://gateway.invalid:8443"),
        ({"host": "127.0.0.1", "port": 8099, "schema": "http"}, "http://127.0.0.1:8099"),
        ({"host": "localhost", "port": 8099, "schema": "http"}, "http://localhost:8099"),
        ({"host": "http://127.0.0.1:8099"}, "http://127.0.0.1:8099"),
        ({"host": "::1", "port": 8099, "schema": "http"}, "http://[::1]:8099"),
    ],
)
def test_host_port_and_schema_lead_to(world: World, fields: dict[str, Any], base_url: str) -> None:
    hook = world.connected("clickatell", {"password": TOKEN, **fields})
    assert hook.settings.base_url == base_url
    assert hook.gateway.base_url == base_url


def test_an_empty_host_of_esendex_leads_to_the_vendor(world: World) -> None:
    assert world.connected("esendex", {}).gateway.base_url == "https://messaging.esendex.us"


@pytest.mark.parametrize(
    "fields", [{"host": "http://gateway.invalid"}, {"host": "a.invalid", "schema": "http"}]
)
def test_plain_http_is_refused_unless_the_host_is_loopback(world: World, fields: dict[str, Any]) -> None:
    text = refusal_of(world.connected("clickatell", {"password": TOKEN, **fields}))
    assert "host" in text
    assert "https://" in text


@pytest.mark.parametrize(
    "host",
    ["http://127.0.0.1@gateway.invalid", "http://127.0.0.1.gateway.invalid", "http://localhost.invalid"],
)
def test_plain_http_to_what_only_looks_like_loopback_is_refused(world: World, host: str) -> None:
    refusal_of(world.connected("clickatell", {"password": TOKEN, "host": host}))


def test_a_call_goes_where_the_connection_leads(world: World) -> None:
    hook = rest(world, host="127.0.0.1", port=int(world.url.rpartition(":")[2]), schema="http")
    message_id = world.put_in("clickatell")
    assert hook.cancel_message(message_id).outcome.value == "cancelled"


# --- the two spellings of a connection ---


def test_a_connection_uri_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """URIs bring everything as text, numbers too."""
    port = world.url.rpartition(":")[2]
    uri = (
        f"clickatell://:{TOKEN}@127.0.0.1:{port}/http?api=rest&timeout=5&requests_per_second=50.5"
        "&max_concurrency=7&response_format=xml"
    )
    monkeypatch.setenv("AIRFLOW_CONN_BY_URI", uri)
    hook = ClickatellHook("by_uri")
    assert (hook.settings.timeout, hook.settings.requests_per_second) == (5.0, 50.5)
    assert hook.settings.max_concurrency == 7
    assert hook.settings.options["response_format"] == "xml"
    assert hook.test_connection() == (True, "Clickatell accepts the credentials.")


def test_a_connection_made_from_a_uri_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models.connection import Connection as StoredConnection

    stored = StoredConnection(
        uri=f"esendex://:{LICENCE_KEY}@127.0.0.1:8099/http?request_format=soap&timeout=0.5"
    )
    monkeypatch.setattr(EsendexHook, "get_connection", lambda *_: stored)
    hook = EsendexHook()
    assert hook.settings.base_url == "http://127.0.0.1:8099"
    assert hook.settings.options["request_format"] == "soap"
    assert hook.settings.timeout == 0.5


def test_blanks_may_arrive_as_null_or_as_empty_text(world: World) -> None:
    """The form of Airflow 3 saves every declared field, the blank ones as null."""
    names = ("api", "api_id", "response_format", "requests_per_second", "max_concurrency", "timeout")
    for blank in (None, "", "  "):
        hook = rest(world, login=None, port=None, schema=None, extra=dict.fromkeys(names, blank))
        settings = hook.settings
        assert settings.options == {"api": "rest", "api_id": "", "response_format": "json"}
        assert (settings.requests_per_second, settings.max_concurrency, settings.timeout) == (100, 32, 10)


def test_the_defaults_of_esendex(world: World) -> None:
    settings = world.connected("esendex", {}).settings
    assert settings.options == {"request_format": "json"}
    assert (settings.requests_per_second, settings.max_concurrency, settings.timeout) == (25, 16, 10)


@pytest.mark.parametrize("extra", [None, "", "  ", "{}", "null"])
def test_an_empty_extra_means_the_defaults(
    world: World, extra: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(conn_id="c", conn_type="clickatell", password=TOKEN, extra=extra)
    monkeypatch.setattr(ClickatellHook, "get_connection", lambda *_: connection)
    assert ClickatellHook().settings.timeout == 10


def test_numbers_may_arrive_as_text(world: World) -> None:
    extra = {"requests_per_second": " 0.1 ", "max_concurrency": "1000", "timeout": "300"}
    settings = rest(world, extra=extra).settings
    assert (settings.requests_per_second, settings.max_concurrency, settings.timeout) == (0.1, 1000, 300)


def test_blanks_around_credentials_are_dropped(world: World) -> None:
    hook = rest(world, password=f" {TOKEN}\n")
    assert hook.test_connection()[0]


# --- what is wrong with it ---


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"tmeout": 5}, "tmeout"),
        ({"request_format": "json"}, "request_format"),
        ({"timeout": 0.05}, "timeout"),
        ({"timeout": "300.1"}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": [5]}, "timeout"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": 10_001}, "requests_per_second"),
        ({"requests_per_second": "inf"}, "requests_per_second"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 1001}, "max_concurrency"),
        ({"max_concurrency": 1.5}, "max_concurrency"),
        ({"api": "soap"}, "api"),
        ({"response_format": "yaml"}, "response_format"),
        ({"api_id": ["x"]}, "api_id"),
    ],
)
def test_an_extra_that_is_wrong_is_named_and_nothing_is_sent(
    world: World, extra: dict[str, Any], named: str
) -> None:
    assert named in refusal_of(rest(world, extra=extra))
    assert world.calls() == {}


@pytest.mark.parametrize(
    ("service", "fields", "named"),
    [
        (REST_JSON, {"password": None}, "password"),
        (REST_JSON, {"password": "  "}, "password"),
        (HTTP_API, {"login": None}, "login"),
        (HTTP_API, {"password": None}, "password"),
        (HTTP_API, {"extra": {"api_id": None}}, "api_id"),
    ],
)
def test_a_credential_that_is_missing_is_named(
    world: World, service: Any, fields: dict[str, Any], named: str
) -> None:
    text = refusal_of(world.hook(service, **fields))
    assert named in text
    assert "gateway_under_test" in text
    assert world.calls() == {}


def test_a_connection_of_another_type_is_told_by_both_types(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", json.dumps({"conn_type": "http", "password": TOKEN}))
    text = refusal_of(ClickatellHook("wrong"))
    assert "'http'" in text
    assert "'clickatell'" in text
    assert "'wrong'" in text
    assert TOKEN not in text


@pytest.mark.parametrize("extra", ['{"api": "rest', "[1]", '"rest"', "5", "[" * 100_000])
def test_an_extra_that_is_no_json_object_is_told_without_its_text(
    world: World, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Airflow's own classes refuse some of these, older versions of it do not, and what is stored stays stored.
    connection = Connection(conn_id="c", conn_type="clickatell", password=TOKEN)
    if before("3"):  # whose own class checks what is assigned
        monkeypatch.setattr(type(connection), "extra", extra)
    else:
        object.__setattr__(connection, "extra", extra)
    monkeypatch.setattr(ClickatellHook, "get_connection", lambda *_: connection)
    text = refusal_of(ClickatellHook())
    assert "extra" in text
    assert extra not in text


@pytest.mark.parametrize(
    "host",
    [
        "ftp://gateway.invalid",
        "https://user:secret-word@gateway.invalid",
        "https://gateway.invalid?token=secret-word",
        "https://gateway.invalid#secret-word",
        "https://",
        "https://gate way.invalid",
        "https://gateway.invalid:99999",
    ],
)
def test_a_host_that_is_no_base_url_is_refused_without_echoing_it(world: World, host: str) -> None:
    text = refusal_of(rest(world, host=host))
    assert "host" in text
    assert "secret-word" not in text


def test_esendex_needs_no_licence_key_to_cancel_and_to_ask(world: World) -> None:
    message_id = world.put_in("esendex")
    hook = world.hook(ESENDEX_JSON, password=None)
    assert hook.get_message_status(message_id).state == "pending"
    assert hook.cancel_message(message_id).outcome == "cancelled"
    with pytest.raises(ValueError, match="licence key"):
        hook.send_message("7575550100", "Hello")
    works, said = hook.test_connection()
    assert not works
    assert "licence key" in said.lower()
    assert "SendMessage" not in world.calls()


@pytest.mark.parametrize(
    "host",
    [
        "http://[::1].evil.invalid",
        "https://[::1]evil.invalid",
        "https:/gateway.invalid",
        "https://gateway.invalid:0",
        "https://gateway.invalid\x7f",
        "https://gateway.invalid/<script>",
        "https://gateway.invalid/../x",
        "https://gateway.invalid,other.invalid",
        "https://gateway..invalid",
        "http://localhost..",
    ],
)
def test_what_two_parsers_might_read_as_two_hosts_is_refused(world: World, host: str) -> None:
    assert "is not a URL that can be read" in refusal_of(rest(world, host=host))


@pytest.mark.parametrize("schema", ["https://evil.invalid/", "http://127.0.0.1/", "javascript"])
def test_a_schema_can_not_lead_past_the_host(world: World, schema: str) -> None:
    assert "schema must be https" in refusal_of(rest(world, host="gateway.invalid", schema=schema))
