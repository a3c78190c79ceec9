"""The server behind the ratios: a bare asyncio protocol that answers Clickatell's REST stop, and does nothing else.

``python -m benchmarks.server`` serves on a free loopback port and prints it. It is much faster than any client, so that the
client is what is measured. Each answer names the id that was asked for and has the headers of a real one. It counts by its
own clock, and tells under ``/_bench/``: ``stats``, ``arrivals``, ``saved`` (GET) and ``reset`` (POST).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from array import array
from collections import Counter
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

from benchmarks.arithmetic import busiest_second, pace

CONTROL = b"/_bench/"
STOPPED = (b"006", b"User cancelled message delivery")
LEFT = (b"004", b"Received by recipient")


class Books:
    """What the server has seen.

    :param leaves: when each message leaves, in seconds since 1970, by id; one that is not in it never leaves.
    :param keep_ids: whether to count the requests of each message.
    """

    def __init__(self, leaves: dict[str, float], *, keep_ids: bool) -> None:
        self._leaves = {message_id.encode(): when for message_id, when in leaves.items()}
        self._keep_ids = keep_ids or bool(leaves)
        self.connections = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.arrivals = array("d")
        self.asked: Counter[bytes] = Counter()
        self.saved: set[bytes] = set()
        self.connections = 0
        self._cpu_at = time.process_time()

    def stop(self, message_id: bytes) -> tuple[bytes, bytes]:
        """Note a stop, and say what became of the message."""
        now = time.time()
        self.arrivals.append(now)
        if self._keep_ids:
            self.asked[message_id] += 1
            if message_id not in self.saved and self._leaves.get(message_id, now + 1) <= now:
                return LEFT
            self.saved.add(message_id)
        return STOPPED

    def told(self, what: bytes) -> Any:
        """Answer a question of the benchmark."""
        if what == b"reset":
            self.reset()
            return {}
        if what == b"arrivals":
            return self.arrivals.tolist()
        if what == b"saved":
            return [message_id.decode() for message_id in self.saved]
        return {
            "requests": len(self.arrivals),
            "busiest_second": busiest_second(self.arrivals),
            "pace": pace(self.arrivals),
            "cpu_s": time.process_time() - self._cpu_at,
            "connections": self.connections,
            "repeated": sum(count - 1 for count in self.asked.values()),
        }


class Clock:
    """The `Date` header, made once a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tick()

    def _tick(self) -> None:
        self.head = (
            f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\nServer: Apache\r\nCache-Control: no-cache\r\n"
            "Content-Type: application/json;charset=utf-8\r\nConnection: keep-alive\r\nContent-Length: "
        ).encode()
        self._loop.call_later(1.0, self._tick)


class Answering(asyncio.Protocol):
    """One connection.

    :param latency_s: how late each answer is.
    """

    def __init__(self, books: Books, clock: Clock, latency_s: float) -> None:
        self._books = books
        self._clock = clock
        self._latency_s = latency_s
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast("asyncio.Transport", transport)
        self._books.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        if self._rest:
            data = self._rest + data
        while (end := data.find(b"\r\n\r\n") + 4) > 3:
            end += _body_length(data[: end - 2])
            if len(data) < end:
                break
            self._answer(data[: data.index(b"\r\n")].split(b" ")[1])
            data = data[end:]
        self._rest = data

    def _answer(self, path: bytes) -> None:
        if path.startswith(CONTROL):
            self._write(json.dumps(self._books.told(path[len(CONTROL) :])).encode())
            return
        message_id = path[path.rfind(b"/") + 1 :]
        body = b'{"data":{"messageStatus":"%b","description":"%b","apiMessageId":"%b"}}' % (
            *self._books.stop(message_id),
            message_id,
        )
        if self._latency_s:
            self._loop.call_later(self._latency_s, self._write, body)
        else:
            self._write(body)

    def _write(self, body: bytes) -> None:
        self._transport.write(b"%b%d\r\n\r\n%b" % (self._clock.head, len(body), body))


def _body_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0


async def serve(books: Books, latency_s: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    server = await loop.create_server(
        lambda: Answering(books, clock, latency_s), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds by which each answer is delayed")
    parser.add_argument(
        "--leaves", type=Path, help="JSON: when each message leaves, seconds since 1970, by id"
    )
    parser.add_argument("--keep-ids", action="store_true", help="count the requests of each message")
    parser.add_argument("--cpu", type=int, help="the core to stay on")
    arguments = parser.parse_args()
    if arguments.cpu is not None:
        os.sched_setaffinity(0, {arguments.cpu})
    leaves = json.loads(arguments.leaves.read_text()) if arguments.leaves else {}
    asyncio.run(serve(Books(leaves, keep_ids=arguments.keep_ids), arguments.latency))


if __name__ == "__main__":
    main()
