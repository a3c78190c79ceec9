"""A store of the shape of Airflow's task state store, for where there is no Airflow to have one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


class MemoryStore:
    """Keeps JSON values in memory.

    :param fails: says of a call (``get``, ``set``, ``delete``) whether it is refused.
    """

    def __init__(self, fails: Callable[[str], bool] = lambda _: False) -> None:
        self.values: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.fails = fails

    def _call(self, kind: str, key: str) -> None:
        self.calls.append((kind, key))
        if self.fails(kind):
            raise RuntimeError("the secret reason")

    def get(self, key: str, default: Any = None) -> Any:
        self._call("get", key)
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        self._call("set", key)
        assert value is not None  # which Airflow's refuses
        self.values[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self._call("delete", key)
        self.values.pop(key, None)

    def made(self, kind: str) -> int:
        """Say how many calls of a kind were made."""
        return sum(each == kind for each, _ in self.calls)
