"""The link from a task to its report: only where a browser opens it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from support.deferring import deferral
from support.operating import FakeTask, Play, Seed
from support.versions import DagSerialization, attach

from airflow_provider_smscancel import get_provider_info
from airflow_provider_smscancel.links.report import ReportLink, address_of, push_report_link
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

RUN = "reports/kill_switch/manual__2026-11-23T14:26:31+00:00/cancel"
QUOTED = "reports/kill_switch/manual__2026-11-23T14%3A26%3A31%2B00%3A00/cancel"


@pytest.fixture(params=["address_of", "push_report_link"])
def link(request: pytest.FixtureRequest) -> Any:
    """The address of a folder, asked for and as the task keeps it."""

    def pushed(path: ObjectStoragePath) -> str | None:
        task = FakeTask()
        push_report_link({"ti": task}, path)
        assert set(task.xcoms) <= {"report_link"}
        found = task.xcoms.get("report_link")
        assert found is None or isinstance(found, str)
        return found

    return address_of if request.param == "address_of" else pushed


def s3_folder(monkeypatch: pytest.MonkeyPatch, name: str, **extra: Any) -> ObjectStoragePath:
    """A folder in a bucket, through a real client; no request is made."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable, raising=False)
    connection = {"conn_type": "aws", "login": "not-a-key", "password": "not-a-secret", "extra": extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
    return ObjectStoragePath(f"s3://{name}@my-bucket/{RUN}")


@pytest.mark.parametrize(
    ("region", "console"),
    [
        ("eu-west-1", "console.aws.amazon.com"),
        ("us-gov-west-1", "console.amazonaws-us-gov.com"),
        ("cn-north-1", "console.amazonaws.cn"),
    ],
)
def test_a_report_at_amazon_is_opened_in_the_console_of_its_partition(
    region: str, console: str, link: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name = f"aws_{region}_{link.__name__}".replace("-", "_")  # Airflow keeps a client for each connection
    monkeypatch.setenv("AWS_DEFAULT_REGION", "unset")
    folder = s3_folder(
        monkeypatch,
        name,
        endpoint_url=f"https://s3.{region}.amazonaws.com",
        config_kwargs={"region_name": region},
    )
    assert link(folder) == f"https://{console}/s3/buckets/my-bucket?region={region}&prefix={QUOTED}/"


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:9000", "https://minio.example.com", "https://amazonaws.com.example.com"],
)
def test_a_bucket_that_is_not_amazons_has_no_place_in_its_console(
    endpoint: str, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"minio_{abs(hash((endpoint, link.__name__)))}"
    assert link(s3_folder(monkeypatch, name, endpoint_url=endpoint)) is None


def test_a_partition_whose_console_is_not_known_has_no_link(
    link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = {"region_name": "us-iso-east-1"}
    assert link(s3_folder(monkeypatch, f"iso_{link.__name__}", config_kwargs=region)) is None


class FakeGoogleStorage(MemoryFileSystem):
    """Stands for gcsfs, which names the service that it talks to by the property ``base``."""

    protocol = ("gs", "gcs")
    cachable = False

    def __init__(self, service: str) -> None:
        super().__init__()
        self.base = f"{service}/storage/v1/"


def connect_google(monkeypatch: pytest.MonkeyPatch, conn_id: str) -> str:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", '{"conn_type": "google_cloud_platform"}')
    attach("gs", conn_id=conn_id, fs=FakeGoogleStorage("https://storage.googleapis.com"))
    return conn_id


def test_a_report_at_google_is_opened_in_its_console(link: Any) -> None:
    google = FakeGoogleStorage("https://storage.googleapis.com")
    attach("gs", conn_id=f"google_{link.__name__}", fs=google)
    folder = ObjectStoragePath(f"gs://google_{link.__name__}@my-bucket/{RUN}")
    assert link(folder) == f"https://console.cloud.google.com/storage/browser/my-bucket/{QUOTED}"


def test_an_emulator_of_google_has_no_place_in_its_console(link: Any) -> None:
    attach("gs", conn_id=f"emulator_{link.__name__}", fs=FakeGoogleStorage("http://127.0.0.1:4443"))
    assert link(ObjectStoragePath(f"gs://emulator_{link.__name__}@my-bucket/{RUN}")) is None


def test_a_folder_on_a_disk_has_no_link(link: Any) -> None:
    assert link(ObjectStoragePath(f"/srv/{RUN}")) is None
    assert link(ObjectStoragePath(f"file:///srv/{RUN}")) is None


def test_what_fails_on_the_way_harms_nothing() -> None:
    class Refusing(FakeTask):
        def xcom_push(self, key: str, value: Any) -> None:
            raise ConnectionError("Airflow's API is gone")

    attach("gs", conn_id="refusing", fs=FakeGoogleStorage("https://storage.googleapis.com"))
    push_report_link({"ti": Refusing()}, ObjectStoragePath("gs://refusing@bucket/folder"))


@pytest.mark.parametrize("how", ["stopped", "too late", "deferred"])
def test_a_task_has_the_link_however_it_goes_on(
    how: str, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn_id = bucket = connect_google(monkeypatch, f"google_{how.replace(' ', '_')}")
    ids = seed(2, state="sent" if how == "too late" else "scheduled")
    task = FakeTask()

    execute: Any = deferral if how == "deferred" else CancelMessageOperator.execute
    report = f"gs://{conn_id}@{bucket}/{RUN}"
    played = play(task, message_ids=ids, report_path=report, deferrable=how == "deferred", execute=execute)
    assert (played.error is not None) == (how == "too late")
    assert task.xcoms["report_link"].endswith(f"/{bucket}/{QUOTED}")


def test_a_dry_run_writes_no_report_and_has_no_link(
    seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_google(monkeypatch, "google_dry")
    played = play(message_ids=seed(1), report_path="gs://google_dry@my-bucket/folder", dry_run=True)
    assert set(played.ti.xcoms) == {"summary"}


def test_airflow_knows_the_link() -> None:
    (listed,) = get_provider_info()["extra-links"]
    assert listed == f"{ReportLink.__module__}.{ReportLink.__qualname__}"
    with DAG("linked", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CancelMessageOperator(task_id="one", sms_conn_id="sms")
        CancelMessageOperator.partial(task_id="mapped", sms_conn_id="sms").expand(message_ids=[["a"]])
    known = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    for task_id in ("one", "mapped"):
        assert {link.name: link.xcom_key for link in known.get_task(task_id).operator_extra_links} == {
            "Report": "report_link"
        }
