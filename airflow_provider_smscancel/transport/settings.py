"""A connection's fields, checked: what every room below Airflow needs to know of a connection.

Nothing here knows Airflow: the hooks hand over the plain fields. What is allowed comes from ``provider_info``, so
the form and the check can not disagree.
"""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_smscancel.provider_info import ConnectionType, ExtraField


MOST_DIGITS_SHOWN = 6
_NAME = re.compile(r"[\w .-]{1,32}")
# Strict, and before anything else looks at it: where a host begins and ends, two parsers may disagree.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_AUTHORITY = re.compile(rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\]|(?:{_LABEL}\.){{0,60}}{_LABEL}\.?)(?::[0-9]{{0,5}})?")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:-]*){0,20}")
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")


class SettingsError(ValueError):
    """A connection that can not be used as it stands.

    The text names the field and what to do; never a value that may be secret.
    """


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """A checked connection.

    :param conn_type: its type.
    :param base_url: scheme, host and port (and path, if the host field had one) without a trailing slash.
    :param login: the user name, or ``""``.
    :param password: the secret, or ``""``.
    :param options: the extra fields that are particular to the type, defaults filled in.
    :param requests_per_second: the pace of a campaign.
    :param max_concurrency: how many requests may be under way.
    :param timeout: seconds that one request may take.
    """

    conn_type: str
    base_url: str
    login: str = field(repr=False)
    password: str = field(repr=False)
    options: Mapping[str, str]
    requests_per_second: float
    max_concurrency: int
    timeout: float


def read_settings(
    kind: ConnectionType,
    *,
    host: str | None,
    port: int | None,
    schema: str | None,
    login: str | None,
    password: str | None,
    extra: Mapping[str, Any],
) -> GatewaySettings:
    """Check a connection's fields.

    :param kind: the type that the connection must fit.
    :raises SettingsError: naming the field that is wrong; nothing was sent.
    """
    known = {extra_field.name: extra_field for extra_field in kind.extra_fields}
    unknown = sorted(set(extra) - set(known))
    if unknown:
        # What does not look like a name may be a part of a secret: a raw ? in the password of a URI begins the extra.
        shown = [repr(key) if _NAME.fullmatch(str(key)) else "one that is no name" for key in unknown]
        raise SettingsError(
            f"Connection of type {kind.name}: unknown key in extra: {', '.join(shown)}. "
            f"Known keys: {', '.join(sorted(known))}."
        )
    values = {name: _read_extra(kind, known[name], extra.get(name)) for name in known}
    return GatewaySettings(
        conn_type=kind.name,
        base_url=_base_url(kind, host, port, schema),
        login=(login or "").strip(),
        password=(password or "").strip(),
        requests_per_second=float(values.pop("requests_per_second")),
        max_concurrency=int(values.pop("max_concurrency")),
        timeout=float(values.pop("timeout")),
        options={name: str(value) for name, value in values.items()},
    )


def check_number(name: str, value: object, minimum: float, maximum: float, *, whole: bool = False) -> float:
    """Read a number that may arrive as text, within bounds.

    :param name: what to call it in an error.
    :param whole: refuse fractions.
    :raises SettingsError: when it is no number, not finite, or out of range.
    """
    kind = "a whole number" if whole else "a number"
    wanted = f"{name} must be {kind} from {minimum:g} to {maximum:g}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SettingsError(f"{wanted}; it is of type {type(value).__name__}.")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        # Not repeated: what was pasted into the wrong field may be the secret.
        raise SettingsError(f"{wanted}; what is there is not.") from None
    if not math.isfinite(number) or not minimum <= number <= maximum or (whole and number % 1):
        raise SettingsError(f"{wanted}; {_shown(value)} is not.")
    return number


def _shown(number: object) -> str:
    # A longer one may be a phone number.
    text = str(number).strip()
    return text if len(text) <= MOST_DIGITS_SHOWN else "what is there"


def _read_extra(kind: ConnectionType, extra_field: ExtraField, value: object) -> str | float:
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        return "" if extra_field.default is None else extra_field.default
    name = f"Connection of type {kind.name}: extra field {extra_field.name!r}"
    if extra_field.kind == "choice":
        if value not in extra_field.choices:
            raise SettingsError(f"{name} must be one of {', '.join(extra_field.choices)}.")
        return str(value)
    if extra_field.kind == "text":
        # An API ID that is all digits is a number once somebody wrote the extra as JSON without quotes.
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise SettingsError(f"{name} must be text.")
        try:
            return str(value)
        except ValueError:  # more digits than Python writes
            raise SettingsError(f"{name} must be text.") from None
    bounds = (extra_field.minimum or 0, extra_field.maximum or math.inf)
    return check_number(name, value, *bounds, whole=extra_field.kind == "integer")


def _base_url(kind: ConnectionType, host: str | None, port: int | None, schema: str | None) -> str:
    host = (host or "").strip()
    if not host:
        # The form of Airflow 3.3.1 and 3.3.2 tests no connection without a port, so a port may stand alone.
        return kind.default_base_url if not port else _with_port(kind, urlsplit(kind.default_base_url), port)
    if "://" in host:
        return _with_port(kind, _split(kind, host), None)
    scheme = (schema or "").strip().lower() or "https"
    if scheme not in ("https", "http"):
        raise SettingsError(f"Connection of type {kind.name}: schema must be https, or http for loopback.")
    # A bare IPv6 address has several colons and needs brackets in a URL.
    address = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    return _with_port(kind, _split(kind, f"{scheme}://{address}"), port)


def _split(kind: ConnectionType, url: str) -> SplitResult:
    name = f"Connection of type {kind.name}: host"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(
            f"{name} is not a URL that can be read; an example: {kind.default_base_url}"
        ) from None
    if parts.scheme not in ("https", "http"):
        raise SettingsError(f"{name} must begin with https:// (http:// only for loopback).")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise SettingsError(
            f"{name} must not hold a user name or password: use the login and password fields."
        )
    if not url.isascii() and url.isprintable():
        raise SettingsError(f"{name} must be plain ASCII: write an internationalised name in its xn-- form.")
    if parts.query or parts.fragment:
        raise SettingsError(f"{name} must not hold a query or a fragment: only scheme, host, port and path.")
    if not (_is_plain(parts) and url.isprintable()) or parts.port == 0:
        raise SettingsError(f"{name} is not a URL that can be read; an example: {kind.default_base_url}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            f"{name}: plain http would send the credentials readable over the network. Use https:// "
            "(http is allowed only to this machine's own loopback address)."
        )
    return parts


def _is_plain(parts: SplitResult) -> bool:
    return (
        len(parts.netloc) <= 260
        and not (parts.netloc.endswith(":") and parts.path)  # a scheme with one slash missing
        and _AUTHORITY.fullmatch(parts.netloc) is not None
        and len(parts.path) <= 200
        and _PATH.fullmatch(parts.path) is not None
        and _DOTS.search(parts.path) is None
    )


def _with_port(kind: ConnectionType, parts: SplitResult, port: int | None) -> str:
    netloc = parts.netloc.rstrip(":")
    if parts.port is None and port:
        if not 1 <= port <= 65535:
            raise SettingsError(f"Connection of type {kind.name}: port must be from 1 to 65535.")
        netloc = f"{netloc}:{port}"
    default = ":443" if parts.scheme == "https" else ":80"
    netloc = netloc.lower().removesuffix(default)
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Tell whether a host name means this machine only: ``localhost``, 127.0.0.0/8 or ::1."""
    if host.removesuffix(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
