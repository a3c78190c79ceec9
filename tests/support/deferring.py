"""Runs a deferrable operator and its trigger as Airflow would, in this process."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.serde import deserialize, serialize

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.triggers.cancel_messages import CancelMessagesTrigger
from support.operating import Row


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
