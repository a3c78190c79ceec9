"""What OpenLineage is told: where the list of messages came from, and where the report went. No rows, ids or parameters.

Imported only when the OpenLineage provider asks, so that it may be missing.
"""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.openlineage.facet import Dataset
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.sqlparser import SQLParser

from airflow_provider_smscancel._airflow import BaseHook

log = logging.getLogger(__name__)

SCHEMES_OF_BUCKETS = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}
"""The stores that are made of buckets, and what OpenLineage calls them."""

PLACEHOLDER = re.compile(r"%(?:\(\w+\))?s|\?|(?<!:):[A-Za-z_]\w*")
"""A parameter in a query, in the styles of the usual drivers: OpenLineage's parser knows none of them."""


def lineage_of(
    *, manifest: object, sql: object, sql_conn_id: object, report: str | None, ask_database: bool
) -> OperatorLineage[Any, Any]:
    """Name the list of messages as the input and the report as the output.

    :param manifest: of the operator, as rendered; like the next two it may be anything.
    :param sql: of the operator.
    :param sql_conn_id: of the operator.
    :param report: the folder of the report, or ``None`` when none was begun.
    :param ask_database: whether a database may be asked for its default schema.
    """
    inputs = _dataset_of_path(manifest)
    if ask_database and _is_given(sql) and _is_given(sql_conn_id):
        inputs += _tables_of_query(str(sql), str(sql_conn_id).strip())
    return OperatorLineage(inputs=inputs, outputs=_dataset_of_path(report))


def _is_given(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _dataset_of_path(text: object) -> list[Dataset]:
    """Name a file or folder by OpenLineage's convention, or nothing where the path alone does not say it.

    At Azure, for instance, it takes the account, which only the connection knows.
    """
    if not isinstance(text, str):
        return []
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return []  # the task fails over it, and says so
    if parts.scheme in SCHEMES_OF_BUCKETS:
        bucket = parts.netloc.rpartition("@")[2]  # what is before it is the id of a connection
        namespace = f"{SCHEMES_OF_BUCKETS[parts.scheme]}://{bucket}"
        return [Dataset(namespace=namespace, name=parts.path.strip("/") or "/")]
    if parts.path.startswith("/") and parts.scheme in ("", "file"):
        return [Dataset(namespace="file", name=parts.path.rstrip("/") or "/")]
    return []


def _tables_of_query(sql: str, sql_conn_id: str) -> list[Dataset]:
    """Name the tables that a query reads, as far as the database's own hook and OpenLineage's parser know how.

    The query itself is not passed on: it may hold what must not be shown. Nor are columns asked for.
    """
    try:
        hook = BaseHook.get_hook(sql_conn_id)
        connection = hook.get_connection(sql_conn_id)
        database = hook.get_openlineage_database_info(connection)
        if database is None:
            return []
        parser = SQLParser(
            dialect=hook.get_openlineage_database_dialect(connection),
            default_schema=hook.get_openlineage_default_schema(),
        )
        parsed = parser.parse(parser.split_sql_string(PLACEHOLDER.sub("(NULL)", sql)))
        if parsed is None:
            return []
        tables, _ = parser.get_metadata_from_parser(
            parsed.in_tables, [], database, namespace=parser.create_namespace(database)
        )
    except Exception as error:  # databases and hooks raise what they like
        log.warning("OpenLineage is not told which tables the query reads (%s).", type(error).__name__)
        return []
    return list(tables)
