"""Manifests, reports and lists in an object store: a real S3 server on loopback, through Airflow's object storage."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.deferring import again, deferral, first_event, through_the_triggerer
from support.object_store import BUCKET, ObjectStore, s3_server
from support.operating import FakeTask, Play, Row, Seed, states

from airflow_provider_smscancel._airflow import ObjectStoragePath
from airflow_provider_smscancel.campaigns import cancel_job, journal, manifest_lines, split_manifest
from airflow_provider_smscancel.campaigns.journal import Identity, Journal
from airflow_provider_smscancel.campaigns.tenure import Tenure
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # the store's libraries, about themselves


@pytest.fixture
def url(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own, with a connection of its own."""
    return f"s3://{store.connect(monkeypatch)}@{BUCKET}/{folder_of(request)}"


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    return folder_of(request)


def folder_of(request: pytest.FixtureRequest) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in request.node.name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a store that refuses a second, not a minute."""
    monkeypatch.setattr(journal, "RETRY_AFTER_S", (0.05, 0.05, 0.05))
    monkeypatch.setattr(cancel_job, "LAST_PART_S", 1.0)


def as_csv(ids: list[str]) -> bytes:
    return "\n".join(["message_id", *ids, ""]).encode()


def as_parquet(ids: list[str]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"message_id": ids}), sink, row_group_size=max(1, len(ids) // 20))
    return bytes(sink.getvalue().to_pybytes())


FORMATS: dict[str, Callable[[list[str]], bytes]] = {
    "csv": as_csv,
    "csv.gz": lambda ids: gzip.compress(as_csv(ids)),
    "jsonl": lambda ids: "\n".join(json.dumps({"message_id": each}) for each in ids).encode(),
    "jsonl.gz": lambda ids: gzip.compress("\n".join(json.dumps({"message_id": i}) for i in ids).encode()),
    "parquet": as_parquet,
}


# -- what works ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", FORMATS)
def test_a_manifest_of_each_format_is_read_and_the_report_written(
    ending: str, store: ObjectStore, url: str, folder: str, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(40)
    store.put(f"{folder}/campaign.{ending}", FORMATS[ending](ids))
    played = play(manifest=f"{url}/campaign.{ending}", report_path=f"{url}/report")
    assert played.error is None
    assert played.summary["report"] == f"{url}/report"
    assert played.summary["report_error"] is None
    assert "WARNING" not in played.told.said("warning")
    assert states(sandbox, ids) == {"cancelled": 40}
    rows = store.report(f"{folder}/report/")
    assert {row["message_id"]: row["outcome"] for row in rows} == dict.fromkeys(ids, "cancelled")
    kinds = Counter(key.rpartition("/")[2].partition("-")[0] for key in store.keys(f"{folder}/report/"))
    assert kinds == {"part": 1, "run": 1, "summary": 1}
    (summary,) = [key for key in store.keys(f"{folder}/report/") if "summary-" in key]
    assert json.loads(store.get(summary)) == played.summary


@pytest.mark.parametrize("place", ["s3", "file"])
def test_a_retry_takes_up_only_what_is_open(
    place: str, url: str, tmp_path: Path, sandbox: SandboxServer, seed: Seed, play: Play, in_doubt: Seed
) -> None:
    where = url if place == "s3" else f"file://{tmp_path}"
    (Path(tmp_path) / "report").mkdir()
    stopped, doubtful, late = seed(5), in_doubt(2), seed(1, state="sent")
    parameters: Row = {"message_ids": [*stopped, *doubtful, *late], "report_path": f"{where}/report"}
    first = play(FakeTask(try_number=1), **parameters)
    first.failed_retryably()
    again = play(FakeTask(try_number=2), **parameters)
    again.failed_retryably()
    assert again.outcomes == {"cancelled": 5, "unconfirmed": 2, "too_late": 1}
    assert "6 of 8 messages were settled by an earlier try: 2 are taken up." in again.told.said("info")


def test_no_warning_comes_with_the_first_try_in_a_folder_that_is_not_there_yet(
    url: str, seed: Seed, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    assert play(message_ids=seed(2), report_path=f"{url}/not/there/yet").error is None
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_the_report_folder_of_the_configuration_may_be_a_url(
    store: ObjectStore, url: str, folder: str, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", f"{url}/")
    played = play(FakeTask(run_id="manual__2030-01-01T00:00:00+00:00"), message_ids=seed(1))
    assert played.summary["report"] == f"{url}/kill_switch/manual__2030-01-01T00:00:00+00:00/cancel"
    assert len(store.report(f"{folder}/kill_switch/manual__2030-01-01T00:00:00+00:00/cancel/")) == 1


def test_what_another_process_has_written_meanwhile_is_seen(
    store: ObjectStore, url: str, folder: str, seed: Seed, play: Play
) -> None:
    """A triggerer lives for weeks, and its library remembers what a folder held."""
    ids = seed(3)
    parameters: Row = {"message_ids": ids, "report_path": f"{url}/report"}
    assert play(FakeTask(try_number=1), **parameters).error is None
    (part,) = [key for key in store.keys(f"{folder}/report/") if "/part-" in key]
    list(ObjectStoragePath(f"{url}/report").iterdir())
    # The same process, and what another one writes under its nose: one message is in doubt after all.
    rows = [json.loads(line) for line in store.get(part).splitlines()]
    rows[0] |= {"outcome": "unconfirmed", "try": 2}
    owner = part.rpartition("/")[2].split("-")[1]
    store.put(f"{folder}/report/part-{owner}-2-0000-000001.jsonl", json.dumps(rows[0]).encode() + b"\n")
    third = play(FakeTask(try_number=3), **parameters)
    assert "2 of 3 messages were settled by an earlier try: 1 are taken up." in third.told.said("info")


# -- the triggerer ------------------------------------------------------------------------------------------------------


def test_a_deferred_campaign_runs_and_resumes_from_the_store(
    store: ObjectStore, url: str, folder: str, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids = seed(30)
    store.put(f"{folder}/campaign.csv", as_csv(ids))
    parameters: Row = {"manifest": f"{url}/campaign.csv", "report_path": f"{url}/report", "deferrable": True}
    played = play(execute=through_the_triggerer, **parameters)
    assert played.error is None
    assert played.outcomes == {"cancelled": 30}
    assert states(sandbox, ids) == {"cancelled": 30}
    kinds = Counter(key.rpartition("/")[2].partition("-")[0] for key in store.keys(f"{folder}/report/"))
    assert kinds == {"input": 1, "begun": 1, "part": 1, "run": 1, "summary": 1}
    later = play(FakeTask(try_number=2), execute=through_the_triggerer, **parameters)
    assert later.error is None
    assert later.requests == 0
    assert later.outcomes == {"cancelled": 30}


def test_of_two_triggerers_at_one_try_the_earlier_one_learns_from_the_store_that_it_is_not_the_last(
    store: ObjectStore, url: str, folder: str
) -> None:
    started_at = datetime.now(UTC)
    journal = Journal(
        ObjectStoragePath(f"{url}/report"),
        owner="0123abcd",
        try_number=1,
        identity=Identity("clickatell", "http://127.0.0.1", "message_id"),
        total=1,
    )
    stalled, other = Tenure(journal), Tenure(journal)
    assert (stalled.begin(), stalled.is_over(started_at)) == (False, False)
    assert (other.begin(), stalled.is_over(started_at), other.is_over(started_at)) == (True, True, False)
    store.put(
        f"{folder}/report/summary-0123abcd.json", json.dumps({"started_at": started_at.isoformat()}).encode()
    )
    assert other.is_over(started_at)
    assert not other.is_over(started_at + timedelta(seconds=1))  # of an earlier try


def test_the_triggerers_loop_goes_on_while_the_store_is_read_and_written(
    store: ObjectStore, url: str, folder: str, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_loop: list[str] = []

    class Watched(ObjectStoragePath):
        def open(self, *arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                in_the_loop.append(f"open {self.name}")
            return super().open(*arguments, **options)

    operator = CancelMessageOperator(
        task_id="cancel",
        sms_conn_id="sms",
        message_ids=seed(300),
        report_path=f"{url}/report",
        deferrable=True,
    )
    trigger = again(deferral(operator, {"ti": FakeTask()}).trigger)
    monkeypatch.setattr("airflow_provider_smscancel.common.report_folder.ObjectStoragePath", Watched)
    event = asyncio.run(first_event(trigger))
    assert event["end"] == "complete"
    assert event["summary"]["report_error"] is None
    assert in_the_loop == []


# -- shards -------------------------------------------------------------------------------------------------------------


def test_a_manifest_is_split_from_one_store_to_another_and_each_shard_is_cancelled(
    store: ObjectStore,
    url: str,
    folder: str,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: Any,
) -> None:
    ids = seed(24)
    store.put(f"{folder}/campaign.csv", as_csv(ids))
    other = store.connect(monkeypatch)
    target = ObjectStoragePath(f"s3://{other}@{BUCKET}/{folder}/shards")
    shards = split_manifest(ObjectStoragePath(f"{url}/campaign.csv"), 3, target)
    assert shards == [
        f"s3://{other}@{BUCKET}/{folder}/shards/shard-{number:04d}-of-0003.csv" for number in range(3)
    ]
    played = [
        play(FakeTask(map_index=index), manifest=shard, report_path=f"{url}/report", on_empty="succeed")
        for index, shard in enumerate(shards)
    ]
    assert [each.error for each in played] == [None] * 3
    assert sum(each.summary["total"] for each in played) == 24
    assert states(sandbox, ids) == {"cancelled": 24}
    assert len(store.report(f"{folder}/report/")) == 24


def test_a_text_with_a_connection_is_refused_before_anything_is_written(
    store: ObjectStore, url: str, folder: str, tmp_path: Path
) -> None:
    store.put(f"{folder}/campaign.csv", as_csv(["a" * 32]))
    for source, target in (
        (f"{url}/campaign.csv", tmp_path / "shards"),
        (ObjectStoragePath(f"{url}/campaign.csv"), f"{url}/shards"),
    ):
        with pytest.raises(ValueError, match=r"Pass ObjectStoragePath\(…\) of Airflow in place of the text"):
            split_manifest(source, 2, target)
    assert not (tmp_path / "shards").exists()
    assert store.keys(folder) == [f"{folder}/campaign.csv"]


def test_shards_do_not_make_a_bucket(store: ObjectStore, url: str, folder: str) -> None:
    store.put(f"{folder}/campaign.csv", as_csv(["a" * 32]))
    with pytest.raises(FileNotFoundError):
        split_manifest(
            ObjectStoragePath(f"{url}/campaign.csv"),
            2,
            ObjectStoragePath(url.replace(BUCKET, "campaigms")) / "shards",
        )
    assert store.buckets() == [BUCKET]


# -- wrong input --------------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_manifests_url_is_said_before_anything_is_sent(
    store: ObjectStore, url: str, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown_key = store.connect(monkeypatch, login="AKIAUNKNOWNUNKNOWN00")
    wrong_secret = store.connect(monkeypatch, password="not-the-secret")
    wrong = {
        f"{url}/none.csv": "can't be opened (FileNotFoundError",
        f"{url}/none.parquet": "can't be opened (FileNotFoundError",
        url.replace(BUCKET, "no-bucket") + "/none.csv": "can't be opened (FileNotFoundError",
        f"s3://{unknown_key}@{BUCKET}/none.csv": "can't be opened (PermissionError",
        f"s3://{wrong_secret}@{BUCKET}/none.jsonl": "can't be opened (PermissionError",
        f"s3://{wrong_secret}@{BUCKET}/none.parquet": "can't be opened (PermissionError",
        f"s3://nobody@{BUCKET}/none.csv": "names the connection 'nobody', which is not there",
        f"s3://AKIASOMEBODY:sesame@{BUCKET}/none.csv": "Credentials do not belong there",
        f"gs://nobody@{BUCKET}/none.csv": "names the connection 'nobody', which is not there",
        f"gs://{BUCKET}/none.csv": "is the Airflow provider of that store installed",
    }
    for manifest, said in wrong.items():
        text = play(manifest=manifest).refused_before_anything()
        assert said in text, text
        assert "Nothing was sent" in text
        for secret in (store.secret, store.key_id, "AKIA", "sesame", "not-the-secret", store.url):
            assert secret not in text
    assert store.buckets() == [BUCKET]


def test_a_report_whose_connection_is_not_there_is_refused_before_anything_is_sent(
    store: ObjectStore, seed: Seed, play: Play
) -> None:
    text = play(message_ids=seed(1), report_path=f"s3://nobody@{BUCKET}/x").refused_before_anything()
    assert "report_path: its URL names the connection 'nobody'" in text


def test_a_store_that_can_not_be_reached_is_worth_a_retry(
    store: ObjectStore, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    extra = {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}
    nowhere = store.connect(monkeypatch, extra=extra)
    for ending in ("csv", "parquet"):
        played = play(manifest=f"s3://{nowhere}@{BUCKET}/campaign.{ending}")
        assert "can't be opened (EndpointConnectionError)" in played.failed_retryably()
        assert played.requests == 0


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_store_that_refuses_in_the_middle_of_a_manifest_is_read_again_by_the_retry(
    ending: str,
    store: ObjectStore,
    url: str,
    folder: str,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: Any,
) -> None:
    ids = seed(600)
    content = FORMATS[ending](ids)
    store.put(f"{folder}/campaign.{ending}", content)
    served = 0
    read = manifest_lines.open_manifest

    class Revoked:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def read(self, size: int = -1) -> bytes:
            nonlocal served
            if served >= len(content) // 2:
                store.revoke()
            got = self.file.read(min(size, 1000) if ending != "parquet" and size > 0 else size)
            served += len(got)
            return bytes(got)

    def open_in_small_blocks(path: Any) -> Any:
        return Revoked(path.fs.open(path.path, "rb", block_size=1000, cache_type="none"))

    module = "parquet" if ending == "parquet" else "manifest_lines"
    monkeypatch.setattr(f"airflow_provider_smscancel.campaigns.{module}.open_manifest", open_in_small_blocks)
    parameters: Row = {"manifest": f"{url}/campaign.{ending}"}
    first = play(FakeTask(try_number=1), **parameters)
    text = first.failed_retryably()
    assert "PermissionError" in text
    if first.requests:
        assert "only (PermissionError" in text
        assert 0 < states(sandbox, ids)["cancelled"] < 600
    monkeypatch.setattr(f"airflow_provider_smscancel.campaigns.{module}.open_manifest", read)
    store.grant()
    later = play(FakeTask(try_number=2), **parameters)
    assert later.error is None
    assert states(sandbox, ids) == {"cancelled": 600}


# -- a store that refuses the report ------------------------------------------------------------------------------------


def test_a_report_in_a_bucket_that_is_not_there_does_not_stop_the_run_and_makes_no_bucket(
    store: ObjectStore, url: str, impatient: None, sandbox: SandboxServer, seed: Seed, play: Play
) -> None:
    ids, late = seed(3), seed(1, state="sent")
    played = play(message_ids=[*ids, *late], report_path=url.replace(BUCKET, "campaigms"))
    text = played.failed_retryably()
    assert "the report's store refused: FileNotFoundError; 4 lines are not in the report" in text
    assert played.outcomes == {"cancelled": 3, "too_late": 1}
    assert states(sandbox, ids) == {"cancelled": 3}
    assert late[0] in played.told.said("error")
    assert store.buckets() == [BUCKET]


def test_a_store_that_refuses_in_the_middle_is_told_of_and_the_retry_completes_the_report(
    store: ObjectStore,
    url: str,
    folder: str,
    impatient: None,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ids = seed(500)
    write = Journal._write

    def write_and_revoke(self: Journal, name: str, text: str) -> None:
        write(self, name, text)
        if name.startswith("part"):
            store.revoke()

    monkeypatch.setattr(Journal, "_write", write_and_revoke)
    parameters: Row = {"message_ids": ids, "report_path": f"{url}/report"}
    first = play(FakeTask(try_number=1), **parameters)
    text = first.failed_retryably()
    assert first.outcomes == {"cancelled": 500}
    assert states(sandbox, ids) == {"cancelled": 500}
    assert "The report is not complete: the report's store refused: PermissionError" in text
    assert first.summary["report_error"] in text
    written = len(store.report(f"{folder}/report/"))
    assert 0 < written < 500
    said = text + caplog.text + "".join(line for _, line, _ in first.told)
    for secret in (store.secret, store.key_id, store.url, "Signature"):
        assert secret not in said

    monkeypatch.setattr(Journal, "_write", write)
    store.grant()
    again = play(FakeTask(try_number=2), **parameters)
    assert again.error is None
    assert f"{written} of 500 messages were settled by an earlier try" in again.told.said("info")
    assert {row["message_id"] for row in store.report(f"{folder}/report/")} == set(ids)


def test_a_bucket_that_is_emptied_in_the_middle_is_told_of_and_the_retry_completes_the_report(
    store: ObjectStore,
    url: str,
    folder: str,
    impatient: None,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No write fails for it: where there are no folders, none is missing."""
    ids = seed(300)
    write = Journal._write

    def write_and_empty(self: Journal, name: str, text: str) -> None:
        write(self, name, text)
        if name.endswith("-000001.jsonl"):
            for key in store.keys(f"{folder}/report/"):
                store.delete(key)

    monkeypatch.setattr(Journal, "_write", write_and_empty)
    parameters: Row = {"message_ids": ids, "report_path": f"{url}/report"}
    first = play(FakeTask(try_number=1), **parameters)
    assert "somebody has removed what was written of the report" in first.failed_retryably()
    assert states(sandbox, ids) == {"cancelled": 300}
    monkeypatch.setattr(Journal, "_write", write)
    assert play(FakeTask(try_number=2), **parameters).error is None
    assert {row["message_id"] for row in store.report(f"{folder}/report/")} == set(ids)


def test_a_store_that_goes_down_in_the_middle_does_not_stop_the_run(
    store: ObjectStore,
    impatient: None,
    sandbox: SandboxServer,
    seed: Seed,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import s3fs.core

    monkeypatch.setattr(s3fs.core.S3FileSystem, "retries", 1)
    server = s3_server()
    url = server.__enter__()
    extra = {
        "endpoint_url": url,
        "region_name": "us-east-1",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    conn_id = store.connect(monkeypatch, extra=extra)
    write = Journal._write

    def write_and_stop(self: Journal, name: str, text: str) -> None:
        write(self, name, text)
        if name.startswith("run"):
            server.__exit__(None, None, None)

    monkeypatch.setattr(Journal, "_write", write_and_stop)
    ids = seed(300)
    played = play(message_ids=ids, report_path=f"s3://{conn_id}@{BUCKET}/down")
    text = played.failed_retryably()
    assert "EndpointConnectionError; 300 lines are not in the report" in text
    assert url not in text
    assert played.outcomes == {"cancelled": 300}
    assert states(sandbox, ids) == {"cancelled": 300}


# -- a process of its own -----------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from support.operating import FakeTask
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
CancelMessageOperator(
    task_id="cancel", sms_conn_id="sms", manifest=f"{sys.argv[1]}/campaign.csv", report_path=f"{sys.argv[1]}/report"
).execute({"ti": FakeTask()})
print("returned", flush=True)
"""


def test_a_process_that_has_used_the_store_ends_by_itself_without_a_word(
    store: ObjectStore, url: str, folder: str, seed: Seed
) -> None:
    ids = seed(5)
    store.put(f"{folder}/campaign.csv", as_csv(ids))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}
    environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "DEBUG"
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", PROGRAM, url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "returned" in done.stdout
    said = done.stdout + done.stderr
    assert "Unclosed" not in said
    assert "ResourceWarning" not in said
    for secret in (store.secret, "sandbox-token"):
        assert secret not in said
