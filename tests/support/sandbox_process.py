"""The sandbox as a process of its own, as a person starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

import requests

Row = dict[str, Any]


class SandboxProcess:
    """A context manager around ``python -m airflow_provider_smscancel.sandbox``.

    :param arguments: of its command line; the port is any free one.
    """

    def __init__(self, *arguments: str) -> None:
        self._command = [
            sys.executable,
            "-m",
            "airflow_provider_smscancel.sandbox",
            "--port",
            "0",
            *arguments,
        ]
        self.url = ""
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert " listening on " in first, first
        self.url = first.split()[-1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.close()
        self._process.terminate()
        self._process.communicate(timeout=15)

    def seed(self, gateway: str, count: int, **members: Any) -> list[str]:
        """Put messages in and return their ids."""
        order = {"gateway": gateway, "count": count, **members}
        answer = self._session.post(f"{self.url}/_sandbox/messages", json=order, timeout=30)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["ids"])

    def put_in(self, messages: list[Row]) -> list[str]:
        """Put messages in that differ, and return their ids in order."""
        answer = self._session.post(f"{self.url}/_sandbox/messages", json=messages, timeout=30)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["ids"])

    def revoke_credentials(self, after: int) -> None:
        """Accept no credentials any more after so many calls."""
        order = {"revoked_after": after}
        assert self._session.post(f"{self.url}/_sandbox/credentials", json=order, timeout=30).ok

    def set_faults(self, **settings: Any) -> None:
        """Say what goes wrong from now on."""
        answer = self._session.post(f"{self.url}/_sandbox/faults", json=settings, timeout=30)
        assert answer.status_code == 200, answer.text

    def truth(self) -> dict[str, Row]:
        """Read the sandbox's own record, by id."""
        lines = self._session.get(f"{self.url}/_sandbox/messages", timeout=30).text.splitlines()
        return {row["id"]: row for row in map(json.loads, lines)}

    def reset(self) -> None:
        """Forget all messages and requests."""
        assert self._session.post(f"{self.url}/_sandbox/reset", timeout=30).ok

    def busiest_second(self, gateway: str) -> int:
        """Say how many calls arrived in the busiest sliding second."""
        found = self._session.get(f"{self.url}/_sandbox/requests", timeout=30).json()
        return int(found[gateway]["max_per_second"])

    def requests_so_far(self, gateway: str) -> int:
        """Say how many calls the gateway has answered."""
        return int(self.traffic(gateway)["total"])

    def traffic(self, gateway: str) -> Row:
        """Read what the gateway was asked: ``total``, ``max_per_second`` and ``calls``."""
        found = self._session.get(f"{self.url}/_sandbox/requests", timeout=30).json()[gateway]
        assert isinstance(found, dict)
        return found
