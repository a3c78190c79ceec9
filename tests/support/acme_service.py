"""A toy gateway on loopback, for the third gateway that docs/adding-a-gateway.md makes. It knows the truth about its messages.

Written from the table on that page alone.
"""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "acme-key"


class AcmeService:
    """The service, as a context manager. ``states`` is the ground truth: where each message is, by its id."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.loses_the_answer_to: set[str] = set()
        """Ids whose first stop is acted upon, and not answered."""
        self.requests = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                service.requests += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                authorized = self.headers.get("X-Api-Key") == KEY
                said = service.answer(self.command, self.path, body) if authorized else (401, "bad_key")
                if said is None:
                    self.close_connection = True
                    return
                status, document = said
                content = json.dumps({"error": document} if isinstance(document, str) else document).encode()
                self.send_response(HTTPStatus(status))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _serve  # noqa: N815 - the names that the library calls

            def log_message(self, *_: object) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()

    def put_in(self, count: int, state: str = "scheduled") -> list[str]:
        """Put messages in, and return their ids."""
        ids = [f"{len(self.states) + number:020d}" for number in range(count)]
        self.states.update(dict.fromkeys(ids, state))
        return ids

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """Act on one request of the account's owner; ``None`` loses the answer."""
        match method, path.split("/")[2:]:
            case "GET", ["account"]:
                return 200, {"credits": 12}
            case "POST", ["messages"]:
                numbers = json.loads(body)["to"]
                ids = self.put_in(len(numbers))
                entries = [{"to": number, "id": ids[place]} for place, number in enumerate(numbers)]
                return 201, {"messages": entries}
            case "POST", ["messages", message_id, "cancel"] if message_id in self.states:
                if self.states[message_id] == "scheduled":
                    self.states[message_id] = "cancelled"
                if message_id in self.loses_the_answer_to:
                    self.loses_the_answer_to.discard(message_id)
                    return None
                return 200, {"id": message_id, "state": self.states[message_id]}
            case "GET", ["messages", message_id] if message_id in self.states:
                return 200, {"id": message_id, "state": self.states[message_id]}
        return 404, "unknown_message"
