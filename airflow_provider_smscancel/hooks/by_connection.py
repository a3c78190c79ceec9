"""From the id of a connection to its hook."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from airflow_provider_smscancel._airflow import BaseHook
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.provider_info import CONNECTION_TYPES


def hook_of(conn_id: str) -> SmsGatewayHook:
    """Make the hook of a connection's gateway.

    :param conn_id: the connection; its type picks the gateway.
    :raises ValueError: when the connection is of another type, or what names it holds what can't be seen.
    """
    if not conn_id.isprintable():  # Airflow's own error would write it down as it is
        raise ValueError(
            f"No connection is named {conn_id!r}: no id of one holds a character that can not be seen."
        )
    conn_type = BaseHook.get_connection(conn_id).conn_type
    kind = CONNECTION_TYPES.get(conn_type or "")
    if kind is None:
        raise ValueError(
            f"Connection {conn_id!r} is of type {conn_type!r}: cancelling messages needs one of type "
            f"{' or '.join(CONNECTION_TYPES)}."
        )
    module, _, name = kind.hook_class.rpartition(".")
    hook_class: Callable[[str], SmsGatewayHook] = getattr(import_module(module), name)
    return hook_class(conn_id)
