"""Where a task keeps its report, and how paths become something to read and write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_smscancel._airflow import ObjectStoragePath, conf


def open_path(name: str, text: str) -> ObjectStoragePath:
    """Open an absolute path, or a URL that Airflow's object storage knows.

    :param name: the parameter, for an error.
    :raises ValueError: a relative path, an unknown scheme, or a library that is missing; nothing was sent.
    """
    scheme = urlsplit(text).scheme if "://" in text else ""
    if not text.startswith("/") and (not scheme or re.match("file://[^/]", text)):
        # What a relative path means differs between versions of Airflow.
        raise ValueError(f"{name} must be an absolute path or a URL such as s3://conn_id@bucket/folder.")
    try:
        path = ObjectStoragePath(text)
        _ = path.fs
    except ImportError as error:
        raise ValueError(
            f"{name}: a library for {scheme}:// is missing here ({error.name or 'see its provider'})."
        ) from None
    except ValueError as error:
        # Airflow tells an unknown scheme and one whose provider is missing apart by its words only.
        raise ValueError(
            f"{name}: {scheme}:// can not be opened here: {error}. Is it spelled right, and is the Airflow provider "
            "of that store installed?"
        ) from None
    return path


def default_report_path(context: Mapping[str, Any]) -> str | None:
    """Build a task's own folder under ``[smscancel] report_folder``, or give ``None`` where that is not set.

    :raises ValueError: when what is set there can not be opened; nothing was sent.
    """
    root = (conf.get("smscancel", "report_folder", fallback="") or "").strip().rstrip("/")
    if not root:
        return None
    open_path("[smscancel] report_folder in Airflow's configuration", root)
    ti = context["ti"]
    return "/".join([root, *(_folder_name(part) for part in (ti.dag_id, ti.run_id, ti.task_id))])


def _folder_name(part: str) -> str:
    # A run id may be chosen by whoever triggers the run: it must not lead out of the folder.
    name = re.sub(r"[^A-Za-z0-9_.~:+=@-]", "_", part)
    return name if name.strip(".") else "_" * len(name)
