"""A real Airflow as large teams run it: PostgreSQL, Redis, and Celery's workers, each a process of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from support.airflow_stack import AirflowStack
from support.postgres import postgres
from support.redis import redis

HEARTBEAT_LOST_AFTER_S = 10


@contextlib.contextmanager
def distributed_airflow(
    home: Path, dags_folder: Path, sandbox_url: str, *, workers: int, local: bool = False
) -> Iterator[AirflowStack]:
    """Run one.

    :param sandbox_url: where the connection ``sandbox_clickatell`` leads.
    :param workers: how many of Celery's workers.
    :param local: run tasks beside the scheduler instead, with as many slots as the workers would have.
    """
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres()).removeprefix("postgres://")
        connection = {
            "conn_type": "clickatell",
            "host": sandbox_url,
            "password": CLICKATELL_TOKEN,
            "extra": {"max_concurrency": 32},
        }
        environment = {
            "AIRFLOW_CONN_SANDBOX_CLICKATELL": json.dumps(connection),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_LOST_AFTER_S),
        }
        if not local:
            environment |= {
                "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": stack.enter_context(redis()),
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{database}",
                "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            }
        airflow = AirflowStack(home, dags_folder, environment, workers=0 if local else workers)
        yield stack.enter_context(airflow)
