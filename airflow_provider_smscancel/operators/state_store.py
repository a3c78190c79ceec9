"""Airflow's task state store, where the version has one (3.3 and newer)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_provider_smscancel.campaigns.checkpoint import Store


def state_store_of(context: Mapping[str, Any]) -> Store | None:
    """Give the task's own store, or ``None`` where this Airflow has none.

    :param context: of the running task.
    :return: a store that may be called from the task's main thread, as everything that talks to Airflow.
    """
    store = context.get("task_state_store")
    return None if store is None else _WholeCalls(store)


class _WholeCalls:
    """A store whose calls a time limit does not tear apart.

    ``execution_timeout`` is raised by an alarm's handler wherever the main thread is. Between a question to Airflow's supervisor
    and its answer it would leave the answer behind, for the next question to take as its own.
    """

    def __init__(self, store: Any) -> None:
        self._store = store

    def get(self, key: str, /) -> Any:
        with _alarm_held():
            return self._store.get(key)

    def set(self, key: str, value: Any, /) -> None:
        with _alarm_held():
            self._store.set(key, value)

    def delete(self, key: str, /) -> None:
        with _alarm_held():
            self._store.delete(key)


@contextmanager
def _alarm_held() -> Iterator[None]:
    """Let an alarm that comes meanwhile come afterwards."""
    handler = signal.getsignal(signal.SIGALRM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield  # nobody waits for an alarm, or it would not strike here
        return
    held: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        if held:
            signal.raise_signal(signal.SIGALRM)
