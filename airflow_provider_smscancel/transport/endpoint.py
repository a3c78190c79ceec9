"""The one service that a transport talks to: its origin, the proxy on the way there, and whom to trust."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests.utils
from requests.utils import get_auth_from_url, get_environ_proxies, prepend_scheme_if_needed, select_proxy
from urllib3.exceptions import HTTPError

from airflow_provider_smscancel import __version__
from airflow_provider_smscancel.transport.failure import FailureKind, failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_smscancel.gateways.base import Request

BASE_HEADERS: Mapping[str, str] = {
    "User-Agent": f"airflow-provider-smscancel/{__version__}",
    # Answers are a few hundred bytes: compression costs more than it saves, and invites bombs.
    "Accept-Encoding": "identity",
}
"""What every request carries unless it says otherwise."""

CONNECT_LIMIT_S = 5.0
"""The longest that opening a connection may take, in seconds, however long a whole call may."""

CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Where the environment may name a CA bundle, the first one set counts. ``requests`` itself knows the first
two only."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy as the environment names it.

    :param url: without the credentials.
    :param authorization: the ``Proxy-Authorization`` header's value, or ``None``.
    """

    url: str
    authorization: str | None = field(default=None, repr=False)


class Endpoint:
    """One service, known by its base URL.

    :param base_url: scheme, host, port, and perhaps a path. No credentials, no query.
    :raises ValueError: when it is not such a URL. The text does not echo it.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("The base URL must begin with http:// or https:// and name a host")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("The base URL must hold neither credentials nor a query nor a fragment")
        self.base_url = base_url.rstrip("/")
        self.is_https = parts.scheme == "https"
        self.origin = f"{parts.scheme}://{parts.netloc}".lower()
        self._prefixes = (f"{self.origin}/", f"{self.origin}?")
        self._longest = len(self.origin) + 1
        self._checked: Mapping[str, str] | None = None

    def resolve(self, url: str) -> str:
        """Put a path that begins with a slash behind the base URL; return anything else as it is."""
        return f"{self.base_url}{url}" if url.startswith("/") and not url.startswith("//") else url

    def check_url(self, url: str) -> None:
        """Refuse a URL of another service, so that no other host is ever told this one's credentials.

        Compared is the text, not what some parser makes of it: two parsers may disagree about where a host
        begins.

        :raises ValueError: when it is elsewhere, or holds what a URL cannot. The text does not echo it.
        """
        if not url[: self._longest].lower().startswith(self._prefixes):
            raise ValueError(f"Refused to send a request to a URL that is not under {self.origin}/")
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ValueError("Refused to send a request: its URL holds characters that must be quoted")

    def check(self, request: Request) -> None:
        """Refuse what must not, or cannot, be sent: the libraries below would tell the secret.

        :raises ValueError: which names the header at fault, and no value.
        """
        self.check_url(request.url)
        # Gateways keep one mapping for all their requests, and never change it.
        if request.headers is self._checked:
            return
        for name, value in request.headers.items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(
                    f"The request's {name} header holds a character that HTTP does not allow there: "
                    "check the connection's login and password for line breaks and non-ASCII characters"
                )
        self._checked = request.headers

    def proxy(self) -> Proxy | None:
        """Return the proxy that the environment names for this service, by the rules of ``requests``.

        :raises TransportFailure: (``PROXY``) when its URL can't be read. The text does not echo it.
        """
        try:
            return _proxy_for(self.base_url)
        except (ValueError, TypeError, HTTPError):  # requests raises TypeError without a host
            pass
        # Out here: the parsers' own errors quote the URL, and so the proxy's password.
        raise failure(
            FailureKind.PROXY,
            self.origin,
            "its URL can not be read: in its user name and password, % / ? # @ : must be written as %25 %2F %3F %23 %40 %3A",
        )

    def ca_bundle(self) -> str:
        """Return the file, or folder, of the certificate authorities to trust.

        :raises TransportFailure: (``TLS``) when the environment names one that is not there.
        """
        for name in CA_BUNDLE_VARIABLES:
            path = os.environ.get(name)
            if path:
                if not Path(path).exists():
                    raise failure(
                        FailureKind.TLS, self.origin, f"{name} names a CA bundle that does not exist"
                    )
                return path
        return requests.utils.DEFAULT_CA_BUNDLE_PATH


def _proxy_for(base_url: str) -> Proxy | None:
    url = select_proxy(base_url, get_environ_proxies(base_url, no_proxy=None))
    if not url:
        return None
    url = str(prepend_scheme_if_needed(url, "http"))  # type: ignore[no-untyped-call]
    user, password = get_auth_from_url(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or any(each.isspace() for each in host) or parts.port == 0:  # asking for the port checks it
        raise ValueError("no host")
    authorization = None
    if user:
        plain = f"{user}:{password}".encode()
        authorization = f"Basic {base64.b64encode(plain).decode()}"
    return Proxy(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", authorization)
