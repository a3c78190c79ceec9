"""What the events of a task's outlets say."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_smscancel._airflow import BaseOperator

log = logging.getLogger(__name__)


def tell_outlets(operator: BaseOperator, context: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Put the summary into the extra of every event that the task's success will emit.

    :param operator: whose outlets.
    :param context: of the running task.
    :param summary: the counts.
    """
    for extra in _extras(operator, context):
        extra.update(summary)


def empty_events(operator: BaseOperator, context: Mapping[str, Any]) -> None:
    """Take out of the events whatever was said in them: nothing was cancelled."""
    for extra in _extras(operator, context):
        extra.clear()


def _extras(operator: BaseOperator, context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    events = context.get("outlet_events")
    if events is None:
        return
    for outlet in operator.outlets:
        try:
            event = events[outlet]
            extras = [event.extra, *_extras_by_alias(event)]
        except Exception as error:  # an outlet that is no asset, or one that is not known any more
            log.warning("There is no event to be had for an outlet (%s).", type(error).__name__)
            continue
        yield from extras


def _extras_by_alias(event: Any) -> list[dict[str, Any]]:
    """List the extras of the events that an alias has been given. Of itself it stands for no asset."""
    # The second is Airflow 2's.
    name = "asset_alias_events" if hasattr(event, "asset_alias_events") else "dataset_alias_events"
    given: list[Any] = getattr(event, name, [])
    return [each["extra"] if isinstance(each, dict) else each.extra for each in given]
