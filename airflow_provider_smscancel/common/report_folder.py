"""Where a task keeps its report, and how paths become something to read and write."""

from __future__ import annotations

import contextlib
import logging
import re
import unicodedata
from collections.abc import Iterator
from typing import IO, Any, Self
from urllib.parse import urlsplit

from airflow_provider_smscancel._airflow import AirflowNotFoundException, BaseHook, ObjectStoragePath, conf
from airflow_provider_smscancel.campaigns.folders import Folder, why
from airflow_provider_smscancel.campaigns.manifest_lines import shown_path
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
from airflow_provider_smscancel.campaigns.visible import visible
from airflow_provider_smscancel.common.parameters import read_text

log = logging.getLogger(__name__)


def read_report_path(value: object) -> str | None:
    """Read where a report is to be kept: a template may have put it together from what somebody else wrote.

    :return: the path, or ``None`` when none is given.
    :raises ValueError: it leads upwards, or holds a query; nothing was sent.
    """
    name, text = "report_path", read_text("report_path", value)
    if text is None:
        return None
    if ".." in text.split("/"):
        raise ValueError(
            f"{name} holds a part that is '..', which leads out of the folder before it. Write the path without (a name that a "
            "template puts in must not hold a slash)."
        )
    if "://" in text and "?" in text:
        raise ValueError(
            f"{name} holds a question mark: a folder has no query, and credentials do not belong into its URL."
        )
    return text


def open_path(name: str, text: str) -> ObjectStoragePath:
    """Open an absolute path, or a URL that Airflow's object storage knows.

    :param name: the parameter, for an error.
    :raises ValueError: a relative path, an unknown scheme, a connection or a library that is missing, a character that can't be
        seen; nothing was sent.
    :raises SourceUnavailable: the store's credentials can not be had now; nothing was sent.
    """
    try:
        url = urlsplit(text) if "://" in text else None
    except ValueError as error:  # of brackets that are not an address
        raise ValueError(f"{name} is a URL that can't be read: {error}.") from None
    _check_characters(name, text)
    scheme = url.scheme if url is not None else ""
    if not text.startswith("/") and (not scheme or re.match("(?:file|local)://(?!/)", text)):
        # What a relative path means differs between versions of Airflow.
        raise ValueError(f"{name} must be an absolute path or a URL such as s3://conn_id@bucket/folder.")
    if url is not None and (conn_id := url.netloc.rpartition("@")[0]):
        _check_connection(name, scheme, conn_id)
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
    except Exception as error:  # a role can't be assumed, say
        said = why(error)
    else:
        return path
    # Outside of the handlers, so that the store's own error is not attached: it may hold a key.
    raise SourceUnavailable(f"{name}: {shown_path(text)} can not be opened now ({said}).")


def open_report(name: str, text: str) -> Folder:
    """Open the folder of a report. A campaign does not wait for a store whose credentials can not be had now.

    :param name: the parameter, for an error.
    :return: one that refuses whatever is asked of it, when it can not be opened now; the log says so.
    :raises ValueError: see :func:`open_path`; nothing was sent.
    """
    try:
        return open_path(name, text)
    except SourceUnavailable as error:
        log.warning("%s The run goes on without it.", error)
        return _NotOpened()


class StoreNotOpened(PermissionError):
    """There is no way to a store, and there will be none."""


class _NotOpened:
    """Stands for a folder of a store that can't be opened, and for the files in it."""

    name = ""

    def __truediv__(self, name: str) -> Self:
        return self

    def iterdir(self) -> Iterator[Self]:
        raise StoreNotOpened

    def open(self, mode: str) -> IO[Any]:
        raise StoreNotOpened

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        raise StoreNotOpened


def _check_characters(name: str, text: str) -> None:
    """Refuse what makes a path lead elsewhere than it seems to, or breaks the lines that it is written into."""
    # Of blanks that are no plain ones, which file names on a Mac have, neither is true.
    hidden = next(
        (each for each in text if not each.isprintable() and unicodedata.category(each) != "Zs"), None
    )
    if hidden is not None:
        raise ValueError(
            f"{name} holds a character that can not be seen ({visible(hidden)}), at place {text.index(hidden) + 1}: type it anew."
        )
    if "://" in text and "::" in text:
        raise ValueError(f"{name} holds '::', which chains several stores to one: name one only.")


def _check_connection(name: str, scheme: str, conn_id: str) -> None:
    # Amazon's provider takes whatever credentials the machine has when the connection is missing, or none at all.
    if not re.fullmatch(r"[\w#!().-]+", conn_id):
        raise ValueError(
            f"{name}: what stands before the @ of its URL is no id of a connection. Credentials do not belong "
            "there: put them into a connection of Airflow's, and its id into the URL."
        )
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ValueError(
            f"{name}: its URL names the connection {conn_id!r}, which is not there. Create it, or leave {conn_id}@ out of "
            f"the URL ({scheme}://bucket/…) to use the credentials that the machine has."
        ) from None


def check_report_folder(root: str) -> None:
    """Check what is set as ``[smscancel] report_folder``.

    :raises ValueError: when it can not be opened, and never will; nothing was sent.
    """
    with contextlib.suppress(SourceUnavailable):  # whoever opens a folder in it says so
        open_path("[smscancel] report_folder in Airflow's configuration", root)


def default_report_path(*names: str) -> str | None:
    """Build a task's own folder under ``[smscancel] report_folder``, or give ``None`` where that is not set.

    :param names: of the folders, one in the other; what does not belong into a name is replaced.

    :raises ValueError: when what is set there can not be opened; nothing was sent.
    """
    root = (conf.get("smscancel", "report_folder", fallback="") or "").strip().rstrip("/")
    if not root:
        return None
    check_report_folder(root)
    return "/".join([root, *map(_folder_name, names)])


def _folder_name(part: str) -> str:
    # A run id may be chosen by whoever triggers the run: it must not lead out of the folder.
    name = re.sub(r"[^A-Za-z0-9_.~:+=@-]", "_", part)
    name = name.replace("::", "__")  # which chains stores in a URL
    return name if name.strip(".") else "_" * len(name)
