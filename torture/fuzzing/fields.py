"""Headers, connections, rendered parameters and command lines."""

from __future__ import annotations

import contextlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_smscancel.campaigns.gateway_clock import GatewayClock
from airflow_provider_smscancel.cli.definition import make_parser
from airflow_provider_smscancel.common import parameters
from airflow_provider_smscancel.gateways.base import Answer
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES
from airflow_provider_smscancel.transport.body import BODY_LIMIT, plain_body
from airflow_provider_smscancel.transport.endpoint import Endpoint
from airflow_provider_smscancel.transport.failure import TransportFailure
from airflow_provider_smscancel.transport.policy import retry_after_seconds
from airflow_provider_smscancel.transport.settings import SettingsError, is_loopback, read_settings
from torture.fuzzing import corpus
from torture.fuzzing.target import Target, insist


def _feed_header(data: bytes) -> None:
    """Read a Retry-After, a Date, or a body that says to be compressed, by the first byte."""
    how, rest = data[:1] or b"\0", data[1:]
    text = rest.decode("latin-1")
    if how[0] % 3 == 0:
        wait = retry_after_seconds(text, now=datetime.fromtimestamp(corpus.NOW, UTC))
        insist(wait is None or 0 <= wait <= 120, "a wait beyond all bounds")
    elif how[0] % 3 == 1:
        clock = GatewayClock(lambda: corpus.NOW)
        clock.note(Answer(200, {"Date": text}, b""), 0.0)
        insist(abs(clock.now() - corpus.NOW) < 11 * 366 * 86_400, "a clock beyond all bounds")
    else:
        with contextlib.suppress(TransportFailure):
            body = plain_body(rest, ("gzip", "deflate")[how[0] % 2], corpus.URL)
            insist(len(body) <= BODY_LIMIT, "a body beyond all bounds")


def _headers() -> Iterator[bytes]:
    dates = (b"Fri, 15 Jan 2027 08:00:00 GMT", b"Friday, 15-Jan-27 08:00:00 GMT", b"Fri Jan 15 08:00:00 2027")
    for kind in (b"\0", b"\1"):
        yield from (kind + each for each in (b"120", b"-1", b"1.5", b"9" * 5000, *dates, *corpus.BITES))
    yield from (
        b"\2" + each
        for each in (corpus.gzipped(b"true"), corpus.gzipped(b"0" * 300_000), zlib.compress(b"true"))
    )


def _feed_connection(data: bytes) -> None:
    """Read a connection: type and scheme by the first two bytes, then host, port and extra, with line ends between."""
    kind = tuple(CONNECTION_TYPES.values())[data[0] % 2 if data else 0]
    schema = (None, "", "http", "https")[data[1] % 4 if len(data) > 1 else 0]
    host, port, extra, *_ = [*data[2:].decode("utf-8", "replace").split("\n"), "", ""]
    fields: Any = {}
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(extra)
    if not isinstance(fields, dict):
        fields = {"timeout": fields, "requests_per_second": port}
    number = int(port) if port.isdecimal() and len(port) < 9 else None
    try:
        settings = read_settings(
            kind, host=host, port=number, schema=schema, login="a", password="", extra=fields
        )
    except SettingsError as error:
        insist(str(error).isprintable(), "an error that is no line of text")
        return
    parts = urlsplit(settings.base_url)
    safe = parts.scheme == "https" or is_loopback(parts.hostname or "")
    insist(safe and "@" not in parts.netloc, "credentials would travel readable, or elsewhere")
    endpoint = Endpoint(settings.base_url)
    endpoint.check_url(f"{settings.base_url}/rest/message/1")
    for elsewhere in (
        f"{endpoint.origin}.example/",
        f"{endpoint.origin}@example.com/",
        "https://example.com/",
    ):
        with contextlib.suppress(ValueError):
            endpoint.check_url(elsewhere)
            insist(endpoint.origin == "https://example.com", "another host would get the credentials")


def _connections() -> Iterator[bytes]:
    extras = (
        '{"requests_per_second": "5", "timeout": 1e3}',
        '{"api": "http", "api_id": 7}',
        '{"x": null}',
        "",
    )
    hosts = (
        "",
        "api.example.com",
        "https://api.example.com:8443/a",
        "http://127.0.0.1:80",
        "::1",
        "[::1]",
        "a@b",
    )
    for kind in (0, 1):
        for extra in extras:
            for host in hosts:
                yield bytes((kind, 2)) + f"{host}\n443\n{extra}".encode()
    yield from (b"\0\3" + bite for bite in corpus.BITES)


def _feed_parameter(data: bytes) -> None:
    """Read a rendered parameter, or a command line, by the first byte."""
    text = data[1:].decode("utf-8", "replace")
    if data[:1] == b"\1":
        _feed_command_line(text.split("\0"))
        return
    plain = text.strip()
    readers: tuple[tuple[Callable[..., Any], Callable[[Any], bool]], ...] = (
        (parameters.read_flag, lambda value: str(value).lower() == plain.lower()),
        (parameters.read_count, lambda value: value is None if not plain else int(plain) == value),
        (
            parameters.read_outcomes,
            lambda value: all(outcome.value in text for outcome in value) or not plain,
        ),
        (parameters.read_text, lambda value: (value or "") == plain),
    )
    for read, is_right in readers:
        try:
            value = read("a_field", text)
        except ValueError as error:
            insist("a_field" in str(error), "an error that names no field")
        else:
            insist(is_right(value), f"{read.__name__} read what is not there")
    parameters.read_name(text)
    with contextlib.suppress(ValueError):
        insist(parameters.one_source({"a": text, "b": None}) == "a", "took one source for another")


PARSER = make_parser()


def _feed_command_line(words: list[str]) -> None:
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            PARSER.parse_args(words)
    except SystemExit as ended:
        insist(ended.code in (0, 2), "an exit status that no page knows")


def _parameter_texts() -> Iterator[bytes]:
    texts = (
        "true",
        " False ",
        "12",
        "None",
        "",
        "['too_late', 'not_found']",
        "cancelled,unconfirmed",
        "0x1",
        "\uff11\uff12",
    )
    yield from (b"\0" + each.encode() for each in texts)
    yield from (b"\0" + bite for bite in corpus.BITES)
    for line in (
        "cancel --conn-id c --id a b -y --max-messages 5",
        "cancel --conn-id c --manifest m.csv --requests-per-second nan --dry-run -o json",
        "status --conn-id c --id - --id-type client_message_id --max-concurrency 1e9",
        "cancel-all --conn-id c -v",
        "sandbox --port 99999999999999999999 --seed x",
    ):
        yield b"\1" + line.replace(" ", "\0").encode()


TARGETS = {
    "headers": Target("Retry-After, Date, packed bodies", 0.07, 6000, _headers, _feed_header),
    "connections": Target("fields of connections", 0.05, 512, _connections, _feed_connection),
    "parameters": Target("rendered parameters, command lines", 0.03, 512, _parameter_texts, _feed_parameter),
}
