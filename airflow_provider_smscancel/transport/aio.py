"""The transport for many requests at once, over ``aiohttp``."""

from __future__ import annotations

import asyncio
import errno
import select
import ssl
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from airflow_provider_smscancel.gateways.base import Answer, Request
from airflow_provider_smscancel.transport.body import BODY_LIMIT, plain_body, too_large
from airflow_provider_smscancel.transport.endpoint import BASE_HEADERS, CONNECT_LIMIT_S, Endpoint, Proxy
from airflow_provider_smscancel.transport.failure import (
    FailureKind,
    TransportFailure,
    causes,
    failure,
    short_reason,
)
from airflow_provider_smscancel.transport.redaction import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType


class AsyncTransport:
    """Sends requests to one service, many at a time, over connections that are kept open.

    Redirects are returned as answers, not followed. Cookies and ``.netrc`` are ignored. Proxies and CA
    bundles named by the environment are used, as ``requests`` would. Nothing is ever repeated silently.

    It sends as many at once as it is asked to: whoever asks decides how many that are.

    Use it as an async context manager, within one event loop.

    :param base_url: scheme, host and port of the service. A request to anywhere else is refused.
    :param timeout: seconds for one whole call; connecting gets at most 5 of them.
    """

    def __init__(self, base_url: str, *, timeout: float) -> None:
        self._endpoint = Endpoint(base_url)
        self._scheme, _, self._authority = self._endpoint.origin.partition("://")
        self._origin_length = len(self._endpoint.origin)
        self._timeout = timeout
        # A little less than the whole, so that a short limit still tells which of the two ran out.
        self._connect_limit = min(timeout * 0.95, CONNECT_LIMIT_S)
        self._connector: aiohttp.TCPConnector | None = None
        self._sessions: list[aiohttp.ClientSession] = []
        self._usual_headers: Mapping[str, str] | None = None
        self._options: dict[str, Any] = {}
        self._extra_headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Read the environment and get ready. Nothing is sent yet.

        :raises TransportFailure: (``TLS``, ``PROXY``) when the environment names a CA bundle or a proxy that
            is unusable.
        """
        proxy = self._endpoint.proxy()
        if proxy is not None:
            self._use_proxy(proxy)
        connector_class = _CleanConnector if proxy is None else _ProxiedConnector
        connector = connector_class(
            limit=0,  # a wait in the connector's queue would count as time spent connecting
            resolver=ThreadedResolver(),  # the system's own, as `requests` uses, also beside aiodns
            ssl=self._tls_context() if self._endpoint.is_https else True,
        )
        self._connector = connector
        self._sessions = [self._open_session({})]
        return self

    def _open_session(self, headers: Mapping[str, str]) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            headers={**BASE_HEADERS, **self._extra_headers, **headers},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,  # or aiohttp would read .netrc
            timeout=aiohttp.ClientTimeout(
                total=self._timeout,
                connect=self._connect_limit,
                ceil_threshold=float("inf"),  # or aiohttp would round longer limits up to whole seconds
            ),
        )
        # aiohttp would silently repeat a DELETE or a GET when a kept-alive connection turns out to be closed,
        # though the gateway may have acted on it. There is no public switch.
        session._retry_connection = False  # noqa: SLF001
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection; requests that are still under way break."""
        sessions, self._sessions = self._sessions, []
        self._usual_headers = None
        for session in sessions:
            await session.close()
        if self._connector is not None:
            await self._connector.close()

    async def send(self, request: Request) -> Answer:
        """Send one request, once, and read its whole answer.

        :return: the answer, whatever its status; a redirect too.
        :raises TransportFailure: when there is none. ``never_left`` says whether the gateway may have acted.
        :raises ValueError: when the request is for another service, or cannot be sent as HTTP. Mend the
            caller.
        """
        if not self._sessions:
            raise RuntimeError("AsyncTransport is used outside its `async with` block")
        self._endpoint.check(request)
        # Not through `with`, which costs time on every request.
        token = QUIET.set(True)
        try:
            return await self._exchange(request)
        except TransportFailure as error:
            found = error
        except Exception as error:  # whatever it is, its text may hold a secret
            found = self._failure(error)
        finally:
            QUIET.reset(token)
        # Outside the handler, so that it carries no context.
        raise found.with_traceback(None)

    def _url(self, url: str) -> URL:
        # Put together rather than taken apart: that takes half the time, and the endpoint has checked how it begins.
        path, _, query = url[self._origin_length :].partition("?")
        return URL.build(
            scheme=self._scheme, authority=self._authority, path=path or "/", query_string=query, encoded=True
        )

    async def _exchange(self, request: Request) -> Answer:
        headers: Mapping[str, str] | None = request.headers
        if headers is self._usual_headers:
            session, headers = self._sessions[-1], None
        else:
            session = self._sessions[0]
            if self._usual_headers is None and not self._options:
                # Gateways keep one mapping for all their requests: a session that has it for its own need not merge it.
                # Never with a proxy: aiohttp tells it a session's headers, credentials included, when it asks for a tunnel.
                self._sessions.append(self._open_session(request.headers))
                self._usual_headers = headers
        # Not `async with`, whose exit costs time: an answer read to its end has given its connection back.
        response = await session.request(
            request.method,
            self._url(request.url),
            headers=headers,
            data=request.body,
            allow_redirects=False,
            **self._options,
        )
        if response.status < 200 and response._protocol is not None:  # noqa: SLF001 - there is no public way to it
            # Only a 101 gets here, and nobody asks for one. aiohttp has given the connection back already, and would take the
            # answer that may still come for that to the next request.
            response._protocol.force_close()  # noqa: SLF001
        try:
            headers = response.headers
            length = headers.get("Content-Length")
            if length is not None and int(length) <= BODY_LIMIT:
                body = await response.read()
            else:
                body = await self._read_capped(response)
        except BaseException:
            response.close()  # rather than read the rest to keep the connection
            raise
        encoding = headers.get("Content-Encoding")
        if encoding is not None:
            body = plain_body(body, encoding, self._endpoint.origin)
        return Answer(response.status, headers, body)

    async def _read_capped(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        room = BODY_LIMIT
        async for part in response.content.iter_any():
            parts.append(part)
            room -= len(part)
            if room < 0:
                raise too_large(self._endpoint.origin)
        return b"".join(parts)

    def _use_proxy(self, proxy: Proxy) -> None:
        if not proxy.url.startswith(("http://", "https://")):
            raise failure(
                FailureKind.PROXY, self._endpoint.origin, "only http and https proxies can be used here"
            )
        self._options = {"proxy": proxy.url}
        if proxy.authorization is None:
            return
        authorization = {"Proxy-Authorization": proxy.authorization}
        if self._endpoint.is_https:
            self._options["proxy_headers"] = authorization
        else:  # without a tunnel, the proxy reads the request's own headers
            self._extra_headers = authorization

    def _tls_context(self) -> ssl.SSLContext:
        path = self._endpoint.ca_bundle()
        try:
            file, folder = (None, path) if Path(path).is_dir() else (path, None)
            context = ssl.create_default_context(cafile=file, capath=folder)
        except (OSError, ssl.SSLError) as error:
            found = failure(
                FailureKind.TLS,
                self._endpoint.origin,
                f"the CA bundle cannot be read: {short_reason(error)}",
            )
        else:
            # As in urllib3: a name that is only in the subject of a certificate counts in no browser either.
            context.hostname_checks_common_name = False
            return context
        raise found

    def _failure(self, error: Exception) -> TransportFailure:
        kind = self._kind(error)
        if kind is FailureKind.TIMEOUT:
            reason = f"{self._timeout:g} s"
        elif kind is FailureKind.CONNECT_TIMEOUT:
            reason = f"{self._connect_limit:g} s"
        else:
            reason = short_reason(error)
        return failure(kind, self._endpoint.origin, reason)

    def _kind(self, error: Exception) -> FailureKind:
        for types, kind in _KINDS:
            if isinstance(error, types):
                return kind
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return FailureKind.PROXY if self._options else FailureKind.UNKNOWN_HOST
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._connect_kind(error.os_error)
        return FailureKind.BROKEN

    def _connect_kind(self, error: OSError) -> FailureKind:
        if error.errno == errno.ETIMEDOUT:
            return FailureKind.CONNECT_TIMEOUT
        if any(isinstance(cause, ssl.SSLError) for cause in causes(error)):
            return FailureKind.TLS
        # Reset or closed while connecting: the TCP connection stood already, so it was the handshake that was
        # cut.
        if self._endpoint.is_https and isinstance(error, (ConnectionResetError, ConnectionAbortedError)):
            return FailureKind.TLS
        return FailureKind.REFUSED


class _ProxyTunnelError(Exception):
    """The proxy broke off, or talked nonsense, before it opened the way: the request was not written yet."""


class _CleanConnector(aiohttp.TCPConnector):
    """Uses no connection again on which something came that nobody had asked for.

    aiohttp would take that for the answer to the next request: a gateway that answers twice, and whose answers name no
    message, would confirm a stop that it has not even seen.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._has_unread: weakref.WeakKeyDictionary[Any, Callable[[int], Any]] = weakref.WeakKeyDictionary()

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol: Any = connection.protocol
            has_unread = self._has_unread.get(protocol)
            if has_unread is None:
                self._has_unread[protocol] = _unread_on(connection.transport)
                return connection
            # What the loop has read already makes aiohttp want to close it; what it has not, only the socket knows.
            if not has_unread(0) and not protocol.should_close:
                return connection
            connection.close()


def _unread_on(transport: Any) -> Callable[[int], Any]:
    """Make what says whether something came that the loop has not read yet (or the end of the connection did).

    Made once for each connection: it is asked before every request.
    """
    found = select.poll()
    found.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return found.poll


class _ProxiedConnector(_CleanConnector):
    """Tells a failure while a tunnel is asked for from the same failure after the request was written."""

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().connect(*args, **kwargs)
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError, TimeoutError):
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise _ProxyTunnelError from error


# The order matters: aiohttp's errors inherit from one another, and from OSError and TimeoutError.
_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], FailureKind], ...] = (
    ((aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError), FailureKind.TLS),
    (
        (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError, _ProxyTunnelError),
        FailureKind.PROXY,
    ),
    (aiohttp.ConnectionTimeoutError, FailureKind.CONNECT_TIMEOUT),
    (asyncio.TimeoutError, FailureKind.TIMEOUT),
)
