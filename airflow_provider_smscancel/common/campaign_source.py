"""From the parameters that name a campaign to its messages: the same for whatever of Airflow's side stops one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns.manifests import read_manifest
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import (
    SourceUnavailable,
    add_ids,
    before_anything,
    check_list,
)
from airflow_provider_smscancel.common.parameters import one_source, read_count, read_text
from airflow_provider_smscancel.common.report_folder import open_path
from airflow_provider_smscancel.common.sql_source import read_sql
from airflow_provider_smscancel.hooks.base import SmsGatewayHook
from airflow_provider_smscancel.hooks.by_connection import hook_of


@contextlib.contextmanager
def before_the_first_request() -> Iterator[None]:
    """Tell errors as Airflow is to take them: each says that nothing was sent.

    :raises AirflowFailException: in place of a ``ValueError``: what is wrong stays wrong, a retry would only repeat it.
    :raises AirflowException: in place of :class:`SourceUnavailable`: a retry may get further.
    """
    try:
        yield
    except ValueError as error:
        raise AirflowFailException(before_anything(str(error))) from None
    except SourceUnavailable as error:
        raise AirflowException(before_anything(str(error))) from None


def connected_hook(sms_conn_id: object) -> SmsGatewayHook:
    """Make the hook of the connection that a parameter names.

    :raises ValueError: when it names none, or one of another type.
    """
    conn_id = read_text("sms_conn_id", sms_conn_id)
    if conn_id is None:
        raise ValueError("sms_conn_id is empty: name the connection to cancel through.")
    return hook_of(conn_id)


def read_campaign(
    hook: SmsGatewayHook,
    *,
    message_ids: Any,
    manifest: str | None,
    sql: str | None,
    sql_conn_id: str | None,
    parameters: Mapping[str, Any] | Sequence[Any] | None,
    id_type: str,
    max_messages: int | str | None,
) -> Campaign:
    """Read the messages of a campaign. The parameters are those of the operator, rendered.

    :param hook: of the gateway that the campaign was scheduled through.
    :raises ValueError: a parameter or the list is wrong.
    :raises SourceUnavailable: the list can't be read now.
    """
    source = one_source({"message_ids": message_ids, "manifest": manifest, "sql": sql})
    limit = read_count("max_messages", max_messages)
    campaign = Campaign(hook.gateway, hook.check_id_type(id_type))
    if source == "manifest":
        read_manifest(campaign, open_path("manifest", read_text("manifest", manifest) or ""))
    elif source == "sql":
        conn_id = read_text("sql_conn_id", sql_conn_id)
        if conn_id is None:
            raise ValueError("sql needs sql_conn_id: the connection of the database to run it on.")
        read_sql(campaign, sql=str(sql), sql_conn_id=conn_id, parameters=parameters)
    else:
        add_ids(campaign, message_ids, "message_ids")
    check_list(campaign, label=hook.gateway.label, max_messages=limit)
    return campaign
