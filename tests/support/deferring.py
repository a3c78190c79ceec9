"""Runs a deferrable operator and its trigger as Airflow would, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer
from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger
from support.operating import FakeTask, Row, requests_so_far
from support.versions import deserialize, serialize

USER_ACTION = "user-action"


def deferral(operator: CancelMessageOperator, context: Row) -> TaskDeferred:
    """Execute up to where it is handed over."""
    try:
        operator.execute(context)
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError("it was not deferred")


def again(trigger: CancelMessagesTrigger) -> CancelMessagesTrigger:
    """Make the trigger anew from what Airflow's database would hold of it."""
    classpath, parameters = trigger.serialize()
    module, _, name = classpath.rpartition(".")
    kept = deserialize(json.loads(json.dumps(serialize(parameters))))
    return getattr(sys.modules[module], name)(**kept)


async def first_event(trigger: CancelMessagesTrigger) -> Row:
    async for event in trigger.run():
        return dict(json.loads(json.dumps(event.payload)))
    raise AssertionError("there was no event")


def through_the_triggerer(operator: CancelMessageOperator, context: Row) -> Any:
    """Execute as Airflow does: defer, run the trigger elsewhere, and resume with a new operator."""
    deferred = deferral(operator, context)
    event = asyncio.run(first_event(again(deferred.trigger)))
    return getattr(operator, deferred.method_name)(context, event=event)


def deferred_by(
    sandbox: SandboxServer, *, ti: FakeTask | None = None, **parameters: Any
) -> CancelMessagesTrigger:
    """What an operator with these parameters hands over."""
    parameters.setdefault("sms_conn_id", "sms")
    operator = CancelMessageOperator(task_id="cancel", deferrable=True, **parameters)
    trigger = deferral(operator, {"ti": ti or FakeTask()}).trigger
    assert isinstance(trigger, CancelMessagesTrigger)
    return trigger


async def cancelled_at(sandbox: SandboxServer, requests: int, trigger: CancelMessagesTrigger) -> float:
    """Run a trigger and cancel it in the middle, as the triggerer does. Return how many seconds it took to end."""
    running = asyncio.create_task(first_event(trigger))
    while requests_so_far(sandbox) < requests:
        assert not running.done(), running.result()
        await asyncio.sleep(0.002)
    begun = time.monotonic()
    running.cancel(USER_ACTION)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()
    return time.monotonic() - begun
