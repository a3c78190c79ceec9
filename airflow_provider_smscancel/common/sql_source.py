"""A query as the source of a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_smscancel._airflow import BaseHook
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import NOT_AN_ID, SourceError, is_no_value

ROWS_AT_A_TIME = 10_000


def read_sql(
    campaign: Campaign,
    *,
    sql: str,
    sql_conn_id: str,
    parameters: Mapping[str, Any] | Sequence[Any] | None,
) -> None:
    """Take up the rows of a query. The database connection is closed when this returns, before anything is sent.

    Rows are streamed through the hook's SQLAlchemy engine: ``DbApiHook`` itself knows no server-side cursor, and would hold a
    million rows twice.

    :param campaign: where the messages go.
    :param sql: one query; its column ``message_id``, else its first, is the id; a column ``scheduled_at`` is used if there.
    :param sql_conn_id: the connection of the database.
    :param parameters: for the query, in the style of the database's driver.
    :raises SourceError: when the connection is no database's, or the statement returns no rows to read.
    """
    hook = BaseHook.get_hook(sql_conn_id)
    make_engine = getattr(hook, "get_sqlalchemy_engine", None)
    if make_engine is None:
        raise SourceError(
            f"sql_conn_id: connection {sql_conn_id!r} is not one of a database that SQL can be run on."
        )
    # An error of the database would show the parameters otherwise, and they may be phone numbers.
    engine = make_engine({"hide_parameters": True})
    try:
        with engine.connect() as connection:
            stream = connection.execution_options(
                stream_results=True,
                max_row_buffer=ROWS_AT_A_TIME,
                no_parameters=True,  # without any, a percent sign in the query means itself
            )
            result = stream.exec_driver_sql(
                sql, tuple(parameters) if isinstance(parameters, list) else parameters
            )
            if not result.returns_rows:
                raise SourceError("sql returned no rows to read: it must be one SELECT.")
            columns = [str(name).lower() for name in result.keys()]  # noqa: SIM118 - not a mapping
            if not columns:  # PostgreSQL knows such a SELECT
                raise SourceError("sql returned rows without a column: it must select message_id.")
            _add_rows(campaign, columns, result)
    finally:
        engine.dispose()


def _add_rows(campaign: Campaign, columns: list[str], rows: Iterable[Sequence[Any]]) -> None:
    id_at = columns.index("message_id") if "message_id" in columns else 0
    date_at = columns.index("scheduled_at") if "scheduled_at" in columns else None
    for number, row in enumerate(rows, start=1):
        if is_no_value(row[id_at]):
            campaign.reject(f"row {number}", NOT_AN_ID)
        else:
            campaign.add(row[id_at], None if date_at is None else row[date_at], f"row {number}")
