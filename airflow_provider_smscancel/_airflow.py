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
    Connection,
    Context,
    ObjectStoragePath,
    conf,
    mask_secret,
)

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "Connection",
    "Context",
    "ObjectStoragePath",
    "conf",
    "mask_secret",
]
