"""A large campaign on PostgreSQL, Redis and Celery's workers, one of which is killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.distributed import distributed_airflow
from support.large_campaign import IN_FLIGHT, SHARDS, Large, example_at
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.system

TOTAL = 6_000
RATE = 400


def test_a_worker_of_celerys_that_is_killed_loses_no_message_and_the_rate_is_kept_in_total(
    tmp_path: Path,
) -> None:
    dags = example_at(RATE, tmp_path / "dags")
    with (
        SandboxProcess("--latency", "0.01") as sandbox,
        distributed_airflow(tmp_path / "airflow", dags, sandbox.url, workers=2) as airflow,
    ):
        large = Large(airflow, sandbox, tmp_path, TOTAL)
        running = large.wait_for_a_half()
        assert len(running) == SHARDS
        airflow.kill("worker 1")

        tries = large.check_it_is_stopped(rate=RATE)
        assert tries == {1: 2, 2: 2}
        assert large.asked_twice() <= 2 * (RATE / SHARDS + IN_FLIGHT)
