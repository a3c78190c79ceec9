"""The transport for a single call, over ``requests``."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import socket
import ssl
import threading
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Self

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import InvalidProxyURL, InvalidSchema, InvalidURL, ProxyError, ReadTimeout, SSLError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_smscancel.gateways.base import Answer, Request
from airflow_provider_smscancel.transport.body import BODY_LIMIT, plain_body, too_large
from airflow_provider_smscancel.transport.endpoint import BASE_HEADERS, CONNECT_LIMIT_S, Endpoint
from airflow_provider_smscancel.transport.failure import (
    FailureKind,
    TransportFailure,
    causes,
    failure,
    short_reason,
)
from airflow_provider_smscancel.transport.redaction import quiet_request_logging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 64 * 1024


class SyncTransport:
    """Sends one request at a time to one service, and lets the waiting thread be interrupted by a signal.

    Redirects are returned as answers, not followed. Cookies and ``.netrc`` are ignored. Proxies and CA
    bundles named by the environment are used. Nothing is ever repeated silently.

    :param base_url: scheme, host and port of the service. A request to anywhere else is refused.
    :param timeout: seconds for one whole call; connecting gets at most 5 of them.
    :param default_headers: for every request that does not set them itself.
    """

    def __init__(
        self, base_url: str, *, timeout: float, default_headers: Mapping[str, str] | None = None
    ) -> None:
        self._endpoint = Endpoint(base_url)
        self._timeout = timeout
        self._connect_limit = min(timeout, CONNECT_LIMIT_S)
        self.session = GatewaySession(base_url, timeout=timeout, default_headers=default_headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open."""
        self.session.close()

    def send(self, request: Request) -> Answer:
        """Send one request, once, and read its whole answer.

        :return: the answer, whatever its status; a redirect too.
        :raises TransportFailure: when there is none. ``never_left`` says whether the gateway may have acted.
        :raises ValueError: when the request is for another service, or cannot be sent as HTTP. Mend the
            caller.
        """
        self._endpoint.check(request)
        exchange = _Exchange()
        # No timeout of a socket limits a whole call: each byte of a dripping answer starts it anew. So
        # another thread does the talking and this one waits, which is also where a signal's exception (a
        # task's time limit) lands.
        worker = threading.Thread(
            target=self._talk, args=(request, exchange), name="sms-gateway-request", daemon=True
        )
        try:
            worker.start()
            in_time = exchange.done.wait(self._timeout)
        except BaseException:
            exchange.abandon()
            raise
        if not in_time:
            kind = FailureKind.TIMEOUT if exchange.abandon() else FailureKind.CONNECT_TIMEOUT
            raise failure(kind, self._endpoint.origin, f"{self._timeout:g} s")
        if exchange.answer is None:
            raise exchange.error or failure(FailureKind.BROKEN, self._endpoint.origin)
        return exchange.answer

    def _talk(self, request: Request, exchange: _Exchange) -> None:
        _current.exchange = exchange
        try:
            exchange.answer = self._talk_http(request)
        except TransportFailure as error:
            exchange.error = error.with_traceback(None)
        except BaseException as error:  # whatever it is, its text may hold a secret
            exchange.error = self._failure(error, exchange)
        finally:
            exchange.done.set()

    def _talk_http(self, request: Request) -> Answer:
        prepared = self.session.prepare_request(
            requests.Request(request.method, request.url, headers=dict(request.headers), data=request.body)
        )
        prepared.url = request.url  # as it is: requests would quote it anew
        # Both say which variable is wrong, which requests would not: it takes a proxy's for an unknown host of the gateway.
        self._endpoint.proxy()
        if self._endpoint.is_https:
            self._endpoint.ca_bundle()
        settings = self.session.merge_environment_settings(request.url, {}, True, None, None)
        response = self.session.send(prepared, timeout=(self._connect_limit, self._timeout), **settings)
        with contextlib.closing(response):
            body = b"".join(self._parts(response))
        body = plain_body(body, response.headers.get("Content-Encoding"), self._endpoint.origin)
        return Answer(response.status_code, response.headers, body)

    def _parts(self, response: requests.Response) -> Iterator[bytes]:
        length = 0
        while part := response.raw.read(_CHUNK, decode_content=False):
            length += len(part)
            if length > BODY_LIMIT:
                raise too_large(self._endpoint.origin)
            yield part

    def _failure(self, error: BaseException, exchange: _Exchange) -> TransportFailure:
        found = list(causes(error))
        kind = _kind_after(found) if exchange.left else _kind_before(found, exchange, self._endpoint.is_https)
        if kind is FailureKind.TIMEOUT:
            reason = f"{self._timeout:g} s"
        elif kind is FailureKind.CONNECT_TIMEOUT:
            reason = f"{self._connect_limit:g} s"
        else:
            reason = short_reason(error)
        return failure(kind, self._endpoint.origin, reason)


class GatewaySession(requests.Session):
    """A ``requests.Session`` that talks to one service only and gives nothing away.

    A path that begins with a slash is taken as one of the service's. Redirects are never followed, cookies
    and ``.netrc`` ignored, proxies and CA bundles of the environment used, and the libraries' request logging
    is silent meanwhile.

    :param base_url: scheme, host and port of the service. A request to anywhere else is refused with a
        ``ValueError``.
    :param timeout: seconds for connecting and for each wait for bytes, unless a call says otherwise. (The
        limit on a whole call is :class:`SyncTransport`'s.)
    :param default_headers: for every request that does not set them itself.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float | None = None,
        default_headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._endpoint = Endpoint(base_url)
        self._timeout = timeout
        self.headers.clear()
        self.headers.update({**BASE_HEADERS, **(default_headers or {})})
        self.auth = _NoAuth()  # without one, requests would look into .netrc
        self.verify = os.environ.get("SSL_CERT_FILE") or True
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _WatchedAdapter(max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request, as ``requests.Session.request`` does.

        :param url: absolute, or a path that begins with a slash.
        :raises ValueError: when the URL is not the service's. Nothing was sent.
        """
        return super().request(method, self._endpoint.resolve(str(url)), *args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a prepared request, as ``requests.Session.send`` does, within the limits of this class."""
        self._endpoint.check_url(str(request.url))
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        kwargs["allow_redirects"] = False
        with quiet_request_logging():
            return super().send(request, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Say that no answer leads anywhere else."""
        return


class _NoAuth(AuthBase):
    """Adds nothing."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _AbandonedError(Exception):
    """Nobody waits for this call any more: it must not be written."""


class _Exchange:
    """What the waiting thread and the talking thread know of one call."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Answer | None = None
        self.error: TransportFailure | None = None
        self.left = False
        """Whether the request may have been written, to anybody."""
        self.asks_proxy = False
        """Whether the proxy is being asked to open the way."""
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._connection: Any = None
        self._socket: socket.socket | None = None

    def connecting(self, connection: Any) -> None:
        self._connection = connection

    def writing(self, connection: Any) -> None:
        """Note that the request is about to be written, or refuse it: ``left`` is final once it was told."""
        with self._lock:
            if self._is_abandoned:
                raise _AbandonedError
            self.left = True
        # http.client forgets a connection's socket when the answer is to be its last.
        self._socket = getattr(connection, "sock", None)

    def abandon(self) -> bool:
        """End the talking thread's wait, so that neither thread nor connection outlives the call.

        :return: ``left``, which is final now.
        """
        with self._lock:
            self._is_abandoned = True
        found = self._socket or getattr(self._connection, "sock", None)
        if found is not None:
            # The plain socket's shutdown: TLS's own would change the object under the other thread.
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)
        return self.left


_current = threading.local()


def _exchange() -> _Exchange:
    """Return the call that this thread talks for; when the session is used directly, one that nobody sees."""
    found = getattr(_current, "exchange", None)
    return found if isinstance(found, _Exchange) else _Exchange()


class _WholeHeadResponse(http.client.HTTPResponse):
    """Reads a head as HTTP means it, where ``http.client`` does not.

    It notices a head that was cut, which ``http.client`` takes for one that has ended. And it waits for the answer
    behind interim ones, such as 102 and 103: ``http.client`` knows only 100 as such, takes any other for the answer
    and uses the connection again, so that what comes then would pass for the answer to the next request.
    """

    def begin(self) -> None:
        self._begin_one()
        while 100 <= self.status <= 199 and self.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]  # or begin() would think itself done
            self._begin_one()
        if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.will_close = True  # nobody asked for that, and what follows is no HTTP

    def _begin_one(self) -> None:
        stream = self.fp
        reader: Any = _LastLine(stream)
        self.fp = reader
        try:
            super().begin()
        finally:
            if self.fp is reader:
                self.fp = stream
        if reader.line not in {b"\r\n", b"\n"}:
            raise http.client.IncompleteRead(b"")


class _LastLine:
    """Hands on a stream's lines and remembers the last one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.line = b""

    def readline(self, *limit: int) -> bytes:
        self.line = self._stream.readline(*limit)
        return self.line

    def close(self) -> None:
        self._stream.close()


# The two classes tell the thread's exchange how far a connection is: what fails before the first byte never
# left.


class _WatchedHTTPConnection(HTTPConnection):
    response_class = _WholeHeadResponse

    def connect(self) -> None:
        exchange = _exchange()
        exchange.connecting(self)
        super().connect()
        exchange.writing(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _exchange().writing(self)
        super().request(*args, **kwargs)


class _WatchedHTTPSConnection(HTTPSConnection):
    response_class = _WholeHeadResponse

    def connect(self) -> None:
        exchange = _exchange()
        exchange.connecting(self)
        super().connect()
        exchange.writing(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _exchange().writing(self)
        super().request(*args, **kwargs)

    def _tunnel(self) -> None:
        exchange = _exchange()
        exchange.asks_proxy = True
        super()._tunnel()
        exchange.asks_proxy = False


class _WatchedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTPConnection


class _WatchedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPSConnection


_WATCHED_POOLS = {"http": _WatchedHTTPPool, "https": _WatchedHTTPSPool}


class _WatchedAdapter(HTTPAdapter):
    """Uses the connections above."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _WATCHED_POOLS

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if isinstance(manager, urllib3.ProxyManager):
            manager.pool_classes_by_scheme = _WATCHED_POOLS
        else:
            # A SOCKS proxy's connections are of another kind and cannot be watched: nothing they fail at is
            # proof.
            _exchange().writing(None)
        return manager


def _kind_after(found: list[BaseException]) -> FailureKind:
    """Name a failure that came when the request may have been written."""
    if any(isinstance(error, TimeoutError | urllib3.exceptions.ReadTimeoutError) for error in found):
        return FailureKind.TIMEOUT
    return FailureKind.BROKEN


def _kind_before(found: list[BaseException], exchange: _Exchange, is_https: bool) -> FailureKind:
    """Name a failure that came before anything was written."""
    for types, kind in _KINDS_BEFORE:
        if any(isinstance(error, types) for error in found):
            return kind
    if exchange.asks_proxy:
        return FailureKind.PROXY
    # Reset or closed while connecting: the TCP connection stood already, so it was the handshake that was
    # cut.
    if is_https and any(isinstance(error, ConnectionResetError | ConnectionAbortedError) for error in found):
        return FailureKind.TLS
    return FailureKind.REFUSED


# The order matters: a proxy's errors wrap the others, and urllib3's errors inherit from its
# ConnectTimeoutError.
_KINDS_BEFORE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], FailureKind], ...] = (
    ((TimeoutError, ReadTimeout), FailureKind.CONNECT_TIMEOUT),
    ((ProxyError, InvalidProxyURL, InvalidSchema), FailureKind.PROXY),
    ((socket.gaierror, UnicodeError, InvalidURL), FailureKind.UNKNOWN_HOST),
    ((ssl.SSLError, SSLError), FailureKind.TLS),
)
