"""The link from a task to its report, where the report has an address that a browser opens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from airflow_provider_smscancel._airflow import BaseOperatorLink, ObjectStoragePath, XCom
from airflow_provider_smscancel.campaigns.folders import Folder

log = logging.getLogger(__name__)

KEY = "report_link"
"""The XCom that holds the address; there is none where the report has no address."""

AWS_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}
GOOGLE_STORAGE = "https://storage.googleapis.com/"


class ReportLink(BaseOperatorLink):
    """Opens the folder of the report in the console of the cloud that it is in."""

    name: ClassVar[str] = "Report"

    @property
    def xcom_key(self) -> str:
        """Where Airflow 3 finds the address."""
        return KEY

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, or the empty text, for which Airflow shows no button.

        :param operator: the task.
        :param ti_key: which instance of it.
        """
        return XCom.get_value(key=KEY, ti_key=ti_key) or ""


def push_report_link(context: Mapping[str, Any], folder: Folder) -> None:
    """Let the task show the link, if its report has an address. Never fails: it is not worth a message.

    :param context: of the running task.
    :param folder: where the report is written.
    """
    try:
        address = address_of(folder) if isinstance(folder, ObjectStoragePath) else None
        if address is not None:
            context["ti"].xcom_push(key=KEY, value=address)
    except Exception as error:  # stores raise what they like
        log.debug("There is no link to the report: %s", type(error).__name__)


def address_of(folder: ObjectStoragePath) -> str | None:
    """Say at which address a browser shows a folder.

    Only where it is known which service the folder is really in: an S3 that is not Amazon's has no place in its console.

    :param folder: on any store.
    :return: ``None`` when there is no such address, or none that is sure.
    """
    if folder.protocol in ("s3", "s3a", "s3n"):
        return _in_the_console_of_aws(folder)
    # gcsfs names the service by this property, which is another one when an emulator or a private endpoint is used.
    if folder.protocol in ("gs", "gcs") and folder.fs.base.startswith(GOOGLE_STORAGE):
        return f"https://console.cloud.google.com/storage/browser/{_bucket(folder)}/{_quoted(folder)}"
    return None


def _in_the_console_of_aws(folder: ObjectStoragePath) -> str | None:
    meta = folder.fs.s3.meta  # of the very client that writes the report: its partition and its endpoint
    console = AWS_CONSOLES.get(meta.partition)
    host = urlsplit(meta.endpoint_url).hostname or ""
    if console is None or not f".{host}".endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return None
    region = quote(meta.region_name)
    return f"https://{console}/s3/buckets/{_bucket(folder)}?region={region}&prefix={_quoted(folder)}/"


def _bucket(folder: ObjectStoragePath) -> str:
    # Airflow 2 leaves the id of the connection in it.
    return quote(str(folder.bucket).rpartition("@")[2])


def _quoted(folder: ObjectStoragePath) -> str:
    return quote(folder.key.strip("/"))
