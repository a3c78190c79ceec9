"""One call and its reply, as plain values: every vendor's rules are functions from the one to the other."""

from __future__ import annotations

import email.utils
import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = b"application/json"
XML = b"application/xml"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"


@dataclass(slots=True)
class Call:
    """One HTTP request, read whole.

    :param method: in capitals.
    :param path: percent-decoded, without the query.
    :param query: the raw query string.
    :param headers: names in lower case; of a repeated one the last counts.
    :param body: the raw body.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(slots=True)
class Reply:
    """One HTTP answer.

    :param status: the HTTP status.
    :param body: complete.
    :param content_type: or empty for none.
    :param message_id: the id of the asked-for message as the body spells it, where the body names it.
    :param headers: any others.
    :param date: what stands in its ``Date`` in place of the sandbox's time; empty for none at all.
    """

    status: int
    body: bytes
    content_type: bytes = TEXT
    message_id: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    date: bytes | None = None


@functools.lru_cache(maxsize=64)
def media_types(accept: bytes) -> tuple[str, ...]:
    """Return the media types of an ``Accept`` header, most wanted first, in lower case, bare."""
    ranked: list[tuple[float, str]] = []
    for item in accept.decode("latin-1").split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if name:
            ranked.append((weight, name))
    return tuple(name for _, name in sorted(ranked, key=lambda pair: -pair[0]))


@functools.lru_cache(maxsize=64)
def media_type(content_type: bytes) -> str:
    """Return the media type of a ``Content-Type`` header, in lower case and without parameters."""
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


def form(raw: bytes) -> dict[str, str]:
    """Read a query string or a form-encoded body. Of a repeated name the last counts."""
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


def http_date(moment: float) -> bytes:
    """Write a moment, in seconds since 1970, as an HTTP date."""
    return _http_date_of_second(int(moment))


@functools.lru_cache(maxsize=8)
def _http_date_of_second(second: int) -> bytes:
    return email.utils.formatdate(second, usegmt=True).encode("ascii")


def iso(moment: float | None) -> str | None:
    """Write a moment, in seconds since 1970, as ISO 8601 in UTC."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def moment_of(text: str) -> float:
    """Read an ISO 8601 date and time with a zone.

    :raises ValueError: when it is none, or has no zone.
    """
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a date and time needs a zone, such as a trailing Z")
    return parsed.timestamp()
