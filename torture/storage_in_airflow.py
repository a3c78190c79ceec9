"""The same attacks through the operator, on the worker and in the triggerer, below Airflow's own object storage."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from airflow.sdk.exceptions import TaskDeferred
from support.deferring import again, first_event
from support.operating import FakeTask

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns.journal import owner_of
from airflow_provider_smscancel.operators import cancel_message
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN, ESENDEX_LICENSE_KEY
from airflow_provider_smscancel.triggers import taking_up
from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger
from torture.storage_tries import NOT_TOLD, WITHOUT, Losses, NotedJob, Told, World, lost_by, lost_in_report
from torture.stores import Store, below_object_storage

CONNECTION = "sms_under_attack"
SECRETS = {"clickatell": CLICKATELL_TOKEN, "esendex": ESENDEX_LICENSE_KEY}


def task(world: World, folder: Path, store: Store, number: int, *, deferrable: bool) -> Losses:
    """Run one try of a task, and count what it lost.

    :param store: what goes wrong with the folder of its report.
    """
    name = world.gateway.name
    connection = {"conn_type": name, "host": world.url, "password": SECRETS[name]}
    extra = {"requests_per_second": 2_000}
    variables = {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps({**connection, "extra": extra})}
    with patch.dict(os.environ, variables), below_object_storage(folder, store):
        return _task(world, folder, number, deferrable=deferrable)


def _task(world: World, folder: Path, number: int, *, deferrable: bool) -> Losses:
    ti, told = FakeTask(try_number=number), Told()
    with (
        patch.object(CancelMessageOperator, "log", told),
        patch.object(CancelMessagesTrigger, "log", told),
        patch.object(cancel_message, "CancelJob", NotedJob),
        patch.object(taking_up, "CancelJob", NotedJob),
    ):
        error = _error_of(
            CancelMessageOperator(
                task_id=ti.task_id,
                sms_conn_id=CONNECTION,
                message_ids=[*world.ids, "not an id!"],
                report_path=str(folder),
                fail_on=["unconfirmed", "not_attempted"],
                deferrable=deferrable,
            ),
            {"ti": ti},
        )
    is_retried = isinstance(error, AirflowException) and not isinstance(error, AirflowFailException)
    if "summary" not in ti.xcoms:
        # The list could not be read: nothing was sent, so Airflow must try again.
        return Counter({WITHOUT: 0 if is_retried and number == 1 else len(world.names)})
    tried = NotedJob.latest.tried
    tried.summary, tried.end, tried.told = ti.xcoms["summary"], NotedJob.latest.end, told
    owner = owner_of(dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=-1)
    lost = lost_by(world, tried) + lost_in_report(world, tried, folder, owner=owner)
    lost[NOT_TOLD] += is_retried != bool(tried.summary["report_error"]) or (
        error is not None and not is_retried
    )
    return lost


def _error_of(operator: CancelMessageOperator, context: dict[str, Any]) -> Exception | None:
    try:
        try:
            operator.execute(context)  # type: ignore[arg-type]
        except TaskDeferred as deferred:
            event = asyncio.run(first_event(again(cast("CancelMessagesTrigger", deferred.trigger))))
            operator.execute_complete(context, event)  # type: ignore[arg-type]
    except Exception as error:
        return error
    return None
