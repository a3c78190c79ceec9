"""A connection's fields, checked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.provider_info import CLICKATELL, CONNECTION_TYPES, ESENDEX, ConnectionType
from airflow_provider_smscancel.transport.settings import (
    GatewaySettings,
    SettingsError,
    check_number,
    is_loopback,
    read_settings,
)

SECRET = "hush-hush-hush"
FIELDS: dict[str, Any] = {"host": None, "port": None, "schema": None, "login": None, "password": None}


def read(
    kind: ConnectionType = CLICKATELL, *, extra: dict[str, Any] | None = None, **fields: Any
) -> GatewaySettings:
    return read_settings(kind, **{**FIELDS, **fields}, extra=extra or {})


def refused(kind: ConnectionType = CLICKATELL, **fields: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read(kind, **fields)
    text = str(caught.value)
    assert SECRET not in text
    assert caught.value.__cause__ is None
    assert f"Connection of type {kind.name}" in text
    return text


# -- the defaults ------------------------------------------------------------------------------------------


def test_an_empty_clickatell_connection_has_the_documented_defaults() -> None:
    found = read(CLICKATELL)
    assert found == GatewaySettings(
        conn_type="clickatell",
        base_url="https://api.clickatell.com",
        login="",
        password="",
        options={"api": "rest", "api_id": "", "response_format": "json"},
        requests_per_second=100,
        max_concurrency=32,
        timeout=10,
    )


def test_an_empty_esendex_connection_has_the_documented_defaults() -> None:
    found = read(ESENDEX)
    assert found == GatewaySettings(
        conn_type="esendex",
        base_url="https://messaging.esendex.us",
        login="",
        password="",
        options={"request_format": "json"},
        requests_per_second=25,
        max_concurrency=16,
        timeout=10,
    )


@pytest.mark.parametrize("kind", CONNECTION_TYPES.values(), ids=list(CONNECTION_TYPES))
@pytest.mark.parametrize("blank", [None, "", "  "])
def test_a_field_left_blank_in_the_form_means_its_default(kind: ConnectionType, blank: str | None) -> None:
    extra = {field.name: blank for field in kind.extra_fields}
    found = read(kind, extra=extra, host=blank, login=blank, password=blank, schema=blank, port=0)
    assert found == read(kind)


def test_blanks_around_credentials_do_not_count() -> None:
    found = read(login=" user ", password=f"\t{SECRET}\n")
    assert (found.login, found.password) == ("user", SECRET)


def test_the_credentials_are_not_shown() -> None:
    shown = repr(read(login="the-user", password=SECRET))
    assert SECRET not in shown
    assert "the-user" not in shown


# -- the extra fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONNECTION_TYPES.values(), ids=list(CONNECTION_TYPES))
def test_an_unknown_key_is_refused_by_name(kind: ConnectionType) -> None:
    text = refused(kind, extra={"request_per_second": SECRET})
    assert "'request_per_second'" in text
    assert "requests_per_second" in text


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CLICKATELL, "api", "http"),
        (CLICKATELL, "api", " rest "),
        (CLICKATELL, "response_format", "xml"),
        (ESENDEX, "request_format", "soap"),
        (ESENDEX, "request_format", "get"),
        (ESENDEX, "request_format", "xml"),
    ],
)
def test_a_choice_is_taken(kind: ConnectionType, name: str, value: str) -> None:
    assert read(kind, extra={name: value}).options[name] == value.strip()


@pytest.mark.parametrize("value", ["soap", "REST", SECRET, 1, True, ["rest"], {}])
def test_another_choice_is_refused_by_name(value: object) -> None:
    text = refused(extra={"api": value})
    assert "'api'" in text
    assert "rest, http" in text


@pytest.mark.parametrize(
    ("value", "text"), [("3123456", "3123456"), (3123456, "3123456"), ("a key / +=", "a key / +=")]
)
def test_an_api_id_is_any_text_and_may_have_become_a_number(value: object, text: str) -> None:
    assert read(extra={"api_id": value}).options["api_id"] == text


@pytest.mark.parametrize("value", [1.5, True, ["x"], {}])
def test_an_api_id_that_is_no_text_is_refused(value: object) -> None:
    assert "'api_id'" in refused(extra={"api_id": value})


NUMBERS = [
    ("requests_per_second", 0.1, 10_000),
    ("max_concurrency", 1, 1000),
    ("timeout", 0.1, 300),
]


@pytest.mark.parametrize(("name", "least", "most"), NUMBERS)
def test_a_number_within_its_range_may_arrive_as_text(name: str, least: float, most: float) -> None:
    for value in (least, most):
        for spelled in (value, str(value), f" {value} "):
            assert getattr(read(extra={name: spelled}), name) == value


@pytest.mark.parametrize(("name", "least", "most"), NUMBERS)
def test_a_number_out_of_range_is_refused_by_name(name: str, least: float, most: float) -> None:
    for value in (least * 0.99, most * 1.01, 0, -1, "0", "1e999", "nan", "inf", float("nan"), 10**400):
        text = refused(ESENDEX, extra={name: value})
        assert repr(name) in text
        assert f"from {least:g} to {most:g}" in text


@pytest.mark.parametrize("name", [row[0] for row in NUMBERS])
@pytest.mark.parametrize("value", ["ten", "10 s", True, [10], {}, SECRET])
def test_what_is_no_number_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"'{name}'"):
        read(extra={name: value})


def test_concurrency_is_a_whole_number() -> None:
    assert read(extra={"max_concurrency": "8.0"}).max_concurrency == 8
    assert isinstance(read(extra={"max_concurrency": 8.0}).max_concurrency, int)
    assert "a whole number" in refused(extra={"max_concurrency": 8.5})


def test_a_long_text_in_place_of_a_number_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        check_number("timeout", "a secret that somebody pasted into the wrong field", 1, 2)
    assert "secret" not in str(caught.value)


@settings(deadline=None)
@given(
    st.one_of(
        st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.binary(), st.lists(st.integers())
    )
)
def test_any_value_is_a_number_in_range_or_an_error(value: object) -> None:
    try:
        number = check_number("x", value, 0.1, 300)
    except SettingsError:
        return
    assert 0.1 <= number <= 300


# -- where the gateway is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "https://sms.example.com"}, "https://sms.example.com"),
        ({"host": "https://sms.example.com/"}, "https://sms.example.com"),
        ({"host": "https://sms.example.com/gateway/"}, "https://sms.example.com/gateway"),
        ({"host": "https://sms.example.com:8443"}, "https://sms.example.com:8443"),
        ({"host": "HTTPS://SMS.Example.com:443/A"}, "https://sms.example.com/A"),
        # A full URL: port and schema add nothing.
        ({"host": "https://sms.example.com", "schema": "http"}, "https://sms.example.com"),
        ({"host": "https://sms.example.com:8443", "port": 99}, "https://sms.example.com:8443"),
        ({"host": "https://sms.example.com", "port": 99}, "https://sms.example.com"),
        ({"host": "sms.example.com"}, "https://sms.example.com"),
        ({"host": "sms.example.com:"}, "https://sms.example.com"),
        ({"host": "sms.example.com:", "port": 99}, "https://sms.example.com:99"),
        ({"host": "sms.example.com", "port": 443}, "https://sms.example.com"),
        ({"host": "sms.example.com", "port": 8443, "schema": "https"}, "https://sms.example.com:8443"),
        ({"host": "sms.example.com:8443"}, "https://sms.example.com:8443"),
        ({"host": "127.0.0.1", "port": 8099, "schema": "http"}, "http://127.0.0.1:8099"),
        ({"host": "127.0.0.1", "port": 80, "schema": "HTTP"}, "http://127.0.0.1"),
        ({"host": "http://127.0.0.1:8099"}, "http://127.0.0.1:8099"),
        ({"host": "http://localhost:8099"}, "http://localhost:8099"),
        ({"host": "::1", "port": 8099, "schema": "http"}, "http://[::1]:8099"),
        ({"host": "[::1]", "port": 8099, "schema": "http"}, "http://[::1]:8099"),
        ({"host": "http://[::1]:8099"}, "http://[::1]:8099"),
        # Some versions of Airflow test no connection without a port.
        ({"port": 443}, "https://api.clickatell.com"),
        ({"port": 8443}, "https://api.clickatell.com:8443"),
    ],
)
def test_where_the_gateway_is(fields: dict[str, Any], base_url: str) -> None:
    assert read(**fields).base_url == base_url


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://sms.example.com"},
        {"host": "sms.example.com", "schema": "http"},
        {"host": "http://127.0.0.1.example.com"},
        {"host": "http://localhost.example.com"},
        {"host": "http://10.0.0.1"},
        {"host": "http://0.0.0.0:8099"},
        {"host": "http://2130706433"},
    ],
)
def test_plain_http_is_refused_for_any_other_machine(fields: dict[str, Any]) -> None:
    assert "Use https://" in refused(password=SECRET, **fields)


@pytest.mark.parametrize(
    "host",
    [
        f"https://user:{SECRET}@sms.example.com",
        f"https://{SECRET}@sms.example.com",
        f"user:{SECRET}@sms.example.com",
        f"https://sms.example.com/?token={SECRET}",
        f"https://sms.example.com/#{SECRET}",
        f"ftp://{SECRET}",
        f"file:///{SECRET}",
        f"https://[{SECRET}",
        f"https://sms.example.com:{SECRET}",
        "https://",
        "https://sms.example.com:99999",
        "https://sms example.com",
        "https://sms.example.com\n.evil.example",
        "https://sms.example.com\\@evil.example",
        "https://sms.example.com%2f@evil.example",
        "http://127.0.0.1@evil.example",
    ],
)
def test_a_host_that_is_no_plain_url_is_refused_without_being_repeated(host: str) -> None:
    assert "host" in refused(host=host)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    assert "port must be from 1 to 65535" in refused(host="sms.example.com", port=port)
    assert "port must be from 1 to 65535" in refused(port=port)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.255.0.9", "::1"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.com", "127.0.0.1.com", "example.com"]
)
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=40),
    st.one_of(st.none(), st.integers(-10, 70_000)),
    st.sampled_from([None, "", "http", "https", "x"]),
)
def test_any_host_gives_a_safe_base_url_or_an_error(host: str, port: int | None, schema: str | None) -> None:
    try:
        base_url = read(host=host, port=port, schema=schema).base_url
    except SettingsError:
        return
    assert base_url.startswith(("https://", "http://127.", "http://localhost", "http://[::1]"))
    assert not base_url.endswith("/")
    assert "@" not in base_url.split("/")[2]
    assert "?" not in base_url
    assert "#" not in base_url


def test_a_host_beyond_ascii_is_refused_by_name_of_the_field() -> None:
    with pytest.raises(SettingsError, match="host must be plain ASCII"):
        read(host="https://gätewäy.example")


@pytest.mark.parametrize("name", ["requests_per_second", "max_concurrency", "timeout"])
@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["huge", "hugely negative"])
def test_a_number_of_more_digits_than_python_writes_is_refused_by_name(name: str, number: int) -> None:
    with pytest.raises(SettingsError, match=name):
        read(CLICKATELL, extra={name: number})


def test_an_api_id_of_more_digits_than_python_writes_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="api_id"):
        read(CLICKATELL, extra={"api": "http", "api_id": 10**5000})


def test_a_host_with_a_character_that_nobody_sees_is_refused() -> None:
    # It passed once, and every single request was refused afterwards.
    with pytest.raises(SettingsError, match="host"):
        read(CLICKATELL, host="\x7fapi.example.com")
