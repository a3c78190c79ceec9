"""Runs the sandbox: in a thread of a test, or in the foreground."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

from airflow_provider_smscancel.sandbox import MISSING_EXTRA, USUAL_CREDENTIALS, Credentials
from airflow_provider_smscancel.sandbox.app import create_app
from airflow_provider_smscancel.sandbox.state import SandboxState

try:
    import uvicorn
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(MISSING_EXTRA, name=missing.name) from None

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

START_WITHIN_S = 30.0
"""How long starting may take on a busy machine before it counts as failed."""


class NotLoopbackError(ValueError):
    """The sandbox was asked to listen where other machines could reach it."""


def loopback_address(host: str) -> str:
    """Return the address to bind for a host.

    :raises NotLoopbackError: when it is not loopback: anybody on the network could then read and steer the
        sandbox.
    """
    if host.lower() == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise NotLoopbackError(
            f"the sandbox listens on loopback only (127.0.0.0/8, ::1 or localhost), not on {host!r}"
        )
    return str(address)


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Bind a listening socket and return it with its base URL.

    :param port: 0 for any free port.
    :raises NotLoopbackError: for a host that is not loopback.
    :raises OSError: when the port is taken.
    """
    address = loopback_address(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    bound_port = listener.getsockname()[1]
    shown = f"[{address}]" if family == socket.AF_INET6 else address
    return listener, f"http://{shown}:{bound_port}"


class Server(uvicorn.Server):
    """uvicorn, telling when it is ready.

    :param state: what it serves.
    :param on_ready: called once it listens.
    """

    def __init__(self, state: SandboxState, *, on_ready: Callable[[], object] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(state),
                access_log=False,
                log_config=None,
                log_level="warning",
                lifespan="off",
                # Answers carry the sandbox's own clock, so that moving it can be noticed by a caller.
                date_header=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready()


class SandboxServer:
    """A sandbox in a thread of this process, as a context manager.

    ::

        with SandboxServer() as sandbox:
            requests.get(sandbox.url + "/_sandbox/messages", timeout=5)

    :param seed: decides every id and every fault.
    :param latency: seconds by which each answer of a gateway is delayed.
    :param rate_limit: requests that each gateway takes in any sliding second, or ``None`` for no limit.
    :param faults: the profile of faults to start with.
    :param credentials: what is taken.
    :param host: a loopback address.
    :param port: 0 for any free port.
    :raises NotLoopbackError: for a host that is not loopback.
    """

    url: str
    """The base URL, without a trailing slash; set once the context is entered."""
    state: SandboxState
    """What the sandbox knows. To be read, and changed between requests."""

    def __init__(
        self,
        *,
        seed: int = 0,
        latency: float = 0.0,
        rate_limit: int | None = None,
        faults: str = "none",
        credentials: Credentials = USUAL_CREDENTIALS,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.state = SandboxState(
            seed=seed, latency=latency, rate_limit=rate_limit, faults=faults, credentials=credentials
        )
        self.url = ""
        self._host = loopback_address(host)
        self._port = port

    def __enter__(self) -> Self:
        listener, self.url = listen(self._host, self._port)
        ready = threading.Event()
        self._server = server = Server(self.state, on_ready=ready.set)

        def run() -> None:
            try:
                server.run([listener])
            finally:
                # A server that never came up must not be waited for.
                ready.set()

        self._thread = threading.Thread(target=run, name="smscancel-sandbox", daemon=True)
        self._thread.start()
        if not ready.wait(START_WITHIN_S) or not server.started:
            server.should_exit = True
            listener.close()
            self._thread.join(
                1
            )  # so that what it failed with is told here, and not in the midst of something else
            raise RuntimeError("the sandbox did not start")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_WITHIN_S)
