"""What this package takes from Airflow, from 2.11 on, in one place."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    BaseHook,
    BaseNotifier,
    BaseOperator,
    BaseOperatorLink,
    Connection,
    Context,
    ObjectStoragePath,
    XCom,
    conf,
)

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # before 3.1
    try:
        from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import mask_secret  # type: ignore[import-not-found,no-redef]

try:
    from airflow.providers.common.compat.sdk import Stats
except ImportError:  # a common-compat of Airflow 3.0's days, where this module is not deprecated yet
    from airflow.stats import Stats

try:
    # From 3.2 on, Airflow's own processes, the triggerer among them, have metrics apart from those of tasks: whichever is the
    # other's was never told where to send them.
    from airflow.observability.stats import Stats as ServerStats
except ImportError:
    ServerStats = Stats  # type: ignore[misc,assignment]

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "BaseOperatorLink",
    "Connection",
    "Context",
    "ObjectStoragePath",
    "ServerStats",
    "Stats",
    "XCom",
    "conf",
    "mask_secret",
]
