"""The operator inside Airflow's own machinery: rendering, XComArgs, mapping, serialisation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.in_airflow import run
from support.operating import Seed, final_outcomes, states
from support.versions import DagSerialization, before, except_in, since

from airflow_provider_smscancel.campaigns.journal import owner_of
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from airflow_provider_smscancel.sandbox.server import SandboxServer

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow warns about itself


@pytest.fixture(scope="module")
def database() -> None:
    """Make the tables of the home that conftest.py gave Airflow."""
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def test_text_fields_are_rendered_and_their_texts_are_understood(
    tmp_path: Path, database: None, sandbox: SandboxServer, seed: Seed
) -> None:
    from airflow.providers.common.compat.sdk import DAG, Asset, task

    def prepare(context: Any) -> None:
        context["outlet_events"][asset].extra["stopped"] = "all of them"

    asset = Asset("campaign://spring")
    ids, more, surveyed, mapped = seed(3), seed(2), seed(2), seed(2)
    (tmp_path / "spring.csv").write_text("\n".join(["message_id", *more]))
    params = {"conn": "sms", "ids": ids, "no_manifest": "", "name": "spring", "most": 3, "dry": False}
    with DAG("rendered", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), params=params) as dag:
        CancelMessageOperator(
            task_id="from_text",
            sms_conn_id="{{ params.conn }}",
            message_ids="{{ params.ids }}",  # renders to the text of a Python list
            manifest="{{ params.no_manifest }}",
            id_type="{{ 'message' }}_id",
            campaign="{{ params.name }} in {{ dag.dag_id }}",
            report_path=f"{tmp_path}/{{{{ run_id }}}}",
            max_messages="{{ params.most }}",
            on_empty="{{ 'fail' }}",
            fail_on="{{ ['too_late', 'not_found'] }}",
            dry_run="{{ params.dry }}",
        )
        CancelMessageOperator(
            task_id="from_manifest", sms_conn_id="sms", manifest=f"{tmp_path}/{{{{ params.name }}}}.csv"
        )
        CancelMessageOperator(
            task_id="surveyed",
            sms_conn_id="sms",
            message_ids=surveyed,
            dry_run="{{ 1 == 1 }}",
            outlets=[asset],
            pre_execute=prepare,
        )

        @task
        def chosen() -> list[dict[str, str]]:
            return [{"message_id": message_id} for message_id in mapped]

        CancelMessageOperator(task_id="from_xcom", sms_conn_id="sms", message_ids=chosen())
        CancelMessageOperator(
            task_id="too_many",
            sms_conn_id="sms",
            message_ids=["{{ params.name }}", "b2"],
            max_messages="{{ 1 }}",
        )
    summaries, end = run(dag)
    assert end == {
        "from_text": "success",
        "from_manifest": "success",
        "surveyed": "success",
        "chosen": "success",
        "from_xcom": "success",
        "too_many": "failed",
    }
    assert summaries["from_text"]["campaign"] == "spring in rendered"
    assert states(sandbox, ids) == {"cancelled": 3}
    assert states(sandbox, more) == {"cancelled": 2}
    assert states(sandbox, mapped) == {"cancelled": 2}
    assert states(sandbox, surveyed) == {"scheduled": 2}
    assert summaries["surveyed"]["states"]["pending"] == 2
    assert final_outcomes(summaries["from_text"]["report"]) == dict.fromkeys(ids, "cancelled")
    assert "too_many" not in summaries
    assert events_of("rendered") == [{}]  # a survey has stopped nothing


def events_of(dag_id: str) -> list[dict[str, Any]]:
    """Read what a DAG's tasks said about their outlets."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if before("3"):
        from airflow.models.dataset import DatasetEvent as AssetEvent
    else:
        from airflow.models.asset import AssetEvent
    with create_session() as session:
        return list(session.scalars(select(AssetEvent.extra).where(AssetEvent.source_dag_id == dag_id)))


def test_native_rendering_hands_over_lists_flags_and_numbers(
    tmp_path: Path, database: None, sandbox: SandboxServer, seed: Seed
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    ids, surveyed = seed(3), seed(2)
    with DAG(
        "native",
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        render_template_as_native_obj=True,
        params={
            "ids": ids,
            "surveyed": surveyed,
            "dry": True,
            "most": 3,
            "year": "2026",
            "digits": "1234567890",
        },
    ) as dag:
        CancelMessageOperator(
            task_id="a_list",
            sms_conn_id="sms",
            message_ids="{{ params.ids }}",
            max_messages="{{ params.most }}",
            campaign="{{ params.year }}",
            fail_on="{{ ['too_late'] }}",
        )
        CancelMessageOperator(
            task_id="a_flag",
            sms_conn_id="sms",
            message_ids="{{ params.surveyed }}",
            dry_run="{{ params.dry }}",
        )
        CancelMessageOperator(
            task_id="an_id_of_digits", sms_conn_id="sms", message_ids=["{{ params.digits }}", "abc"]
        )
    summaries, end = run(dag)
    assert (end["a_list"], end["a_flag"]) == ("success", "success")
    assert states(sandbox, ids) == {"cancelled": 3}
    assert states(sandbox, surveyed) == {"scheduled": 2}
    assert summaries["a_list"]["campaign"] == "2026"
    # What rendering made a number of is said to be one, and does not hold up the rest.
    assert end["an_id_of_digits"] == "failed"
    assert summaries["an_id_of_digits"]["outcomes"]["rejected"] == 1
    assert summaries["an_id_of_digits"]["outcomes"]["not_found"] == 1


def test_mapped_tasks_share_a_folder_and_a_retry_takes_up_what_is_open(
    tmp_path: Path, database: None, sandbox: SandboxServer, seed: Seed, no_pauses: None
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    one, two, doubtful = seed(2), seed(2), seed(1, state="sent", code="002")
    with DAG("mapped", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CancelMessageOperator.partial(
            task_id="each", sms_conn_id="sms", report_path=str(tmp_path), retries=1, retry_delay=timedelta(0)
        ).expand(message_ids=[one, [*two, *doubtful]])
    summaries, end = run(dag)
    assert end == {"each[0]": "success", "each[1]": "failed"}
    assert summaries["each[0]"]["outcomes"]["cancelled"] == 2
    assert summaries["each[1]"]["outcomes"]["cancelled"] == 2
    assert summaries["each[1]"]["outcomes"]["unconfirmed"] == 1
    assert sandbox.state.traffic.count("clickatell", "rest.stop") < 2 + 2 + 20
    record = {message.id: message.stop_requests for message in sandbox.state.messages()}
    assert {record[message_id] for message_id in [*one, *two]} == {1}
    owners = {path.name.split("-")[1] for path in tmp_path.glob("part-*")}
    assert len(owners) == 2
    tries = {int(path.name.split("-")[2]) for path in tmp_path.glob("part-*")}
    assert tries == {1, 2}
    assert owner_of(dag_id="mapped", task_id="each", run_id="x", map_index=0) not in owners


@since("3.3", "task state store")
def test_without_a_report_a_retry_takes_up_what_is_open_from_the_task_state_store(
    database: None, sandbox: SandboxServer, seed: Seed, no_pauses: None
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    good, others, doubtful = seed(4), seed(3), seed(1, state="sent", code="002")
    options: dict[str, Any] = {"sms_conn_id": "sms", "retries": 1, "retry_delay": timedelta(0)}
    with DAG("stored", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CancelMessageOperator(task_id="open", message_ids=[*good, *doubtful], **options)
        CancelMessageOperator(task_id="stopped", message_ids=others, **options)
    summaries, end = run(dag)
    assert end == {"open": "failed", "stopped": "success"}
    assert summaries["open"]["outcomes"]["cancelled"] == 4
    assert summaries["open"]["outcomes"]["unconfirmed"] == 1
    record = {message.id: message.stop_requests for message in sandbox.state.messages()}
    assert record[doubtful[0]] > 1
    assert {record[message_id] for message_id in good} == {1}
    kept = keys_in_the_store("stored")
    assert kept.keys() == {"open"}
    assert len(kept["open"]) == 2


def keys_in_the_store(dag_id: str) -> dict[str, list[str]]:
    """Read which keys each task has in Airflow's task state store."""
    from airflow.models.task_state_store import TaskStateStoreModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    found: dict[str, list[str]] = {}
    with create_session() as session:
        for row in session.scalars(select(TaskStateStoreModel).where(TaskStateStoreModel.dag_id == dag_id)):
            found.setdefault(row.task_id, []).append(row.key)
    return found


@except_in("3.0", what="dag.test() does not repeat a task that fails after it was handed over")
def test_deferred_tasks_run_inline_and_a_retry_takes_up_what_is_open(
    tmp_path: Path, database: None, sandbox: SandboxServer, seed: Seed, no_pauses: None
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    with_report, without, doubtful = seed(4), seed(3), seed(1, state="sent", code="002")
    options: dict[str, Any] = {"sms_conn_id": "sms", "deferrable": True}
    with DAG("deferred", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CancelMessageOperator(
            task_id="with_report",
            message_ids=[*with_report, *doubtful],
            report_path=str(tmp_path),
            execution_timeout=timedelta(minutes=5),
            retries=1,
            retry_delay=timedelta(0),
            **options,
        )
        CancelMessageOperator(task_id="without_report", message_ids=without, **options)
    summaries, end = run(dag)
    assert end == {"with_report": "failed", "without_report": "success"}
    assert summaries["without_report"]["outcomes"]["cancelled"] == 3
    assert summaries["with_report"]["outcomes"]["cancelled"] == 4
    assert summaries["with_report"]["outcomes"]["unconfirmed"] == 1
    assert states(sandbox, [*with_report, *without]) == {"cancelled": 7}
    assert {path.name.split("-")[2] for path in tmp_path.glob("input-*")} == {"1.jsonl", "2.jsonl"}
    record = {message.id: message.stop_requests for message in sandbox.state.messages()}
    assert {record[message_id] for message_id in with_report} == {
        1
    }  # the second try asked only for what was open


def test_a_dag_with_the_operator_survives_serialisation() -> None:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("serialised", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC)) as dag:
        CancelMessageOperator(
            task_id="cancel",
            sms_conn_id="sms",
            message_ids=["a1", {"message_id": "b2"}],
            report_path="/reports/{{ run_id }}",
            dry_run="{{ params.dry }}",
            fail_on=["too_late"],
            give_up_after=timedelta(minutes=3),
            requests_per_second=12.5,
            max_concurrency=4,
        )
    as_json = json.dumps(DagSerialization.to_dict(dag))
    task = DagSerialization.from_dict(json.loads(as_json)).get_task("cancel")
    assert list(task.template_fields) == list(CancelMessageOperator.template_fields)
    assert task.message_ids == ["a1", {"message_id": "b2"}]
    assert task.dry_run == "{{ params.dry }}"
    assert task.report_path == "/reports/{{ run_id }}"


def test_every_text_and_list_is_a_template_field_and_an_attribute() -> None:
    operator = CancelMessageOperator(task_id="cancel", sms_conn_id="sms")
    assert set(CancelMessageOperator.template_fields) >= {
        "sms_conn_id",
        "message_ids",
        "manifest",
        "id_type",
        "campaign",
        "report_path",
        "max_messages",
        "on_empty",
        "fail_on",
        "dry_run",
    }
    for name in CancelMessageOperator.template_fields:
        assert hasattr(operator, name)


def test_nothing_is_validated_before_rendering() -> None:
    nonsense: dict[str, Any] = dict.fromkeys(CancelMessageOperator.template_fields, "{{ nonsense }}")
    CancelMessageOperator(task_id="cancel", **nonsense)
