"""Tells Airflow's metrics what a run does: every few seconds what is new, never message by message."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol, Self

from airflow_provider_smscancel.campaigns.job import Job

PREFIX = "smscancel"


class Metrics(Protocol):
    """What is needed of Airflow's ``Stats``."""

    def incr(self, stat: str, count: int, *, tags: dict[str, Any]) -> object: ...  # noqa: D102
    def timing(self, stat: str, dt: timedelta, *, tags: dict[str, Any]) -> object: ...  # noqa: D102


class Meter:
    """Tells the metrics of one run, as a context manager around it. What fails here never harms the run.

    :param job: the run, before its first request.
    :param conn_id: the connection, for the tags.
    :param metrics: Airflow's ``Stats`` of this process.
    """

    def __init__(self, job: Job, *, conn_id: str, metrics: Metrics) -> None:
        self._job = job
        self._metrics = metrics
        self._tags = {"gateway": job.service.gateway.name, "conn_id": conn_id}
        self._told: Counter[str] = Counter()
        self._finished = 0
        self._waited_s = 0.0
        self._begun_at = time.monotonic()
        self._broken = False
        job.on_interval = self.tell

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.tell()
        self._tell(self._tell_duration)

    def tell(self) -> None:
        """Tell what is new since the last time."""
        self._tell(self._tell_what_is_new)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            tell()
        except Exception as error:  # whatever a backend raises
            self._broken = True
            self._job.log.warning(
                "Airflow's metrics can't be told of this run (%s): it goes on without.", type(error).__name__
            )

    def _tell_what_is_new(self) -> None:
        stats = self._job.stats
        counts = {"requests": stats.requests, "retry": stats.repeats, "throttled": stats.throttled}
        for outcome, count in self._job.settled_by_this_try().items():
            counts[f"outcome.{outcome.value}"] = count
        for name, count in counts.items():
            new = count - self._told[name]
            if new > 0:
                self._told[name] = count
                self._metrics.incr(f"{PREFIX}.{name}", new, tags=self._tags)
        waited_s, finished = stats.waited_s, stats.finished
        if finished > self._finished:
            mean_s = (waited_s - self._waited_s) / (finished - self._finished)
            self._finished, self._waited_s = finished, waited_s
            self._metrics.timing(f"{PREFIX}.request_duration", timedelta(seconds=mean_s), tags=self._tags)

    def _tell_duration(self) -> None:
        took = timedelta(seconds=time.monotonic() - self._begun_at)
        self._metrics.timing(f"{PREFIX}.run_duration", took, tags=self._tags)
