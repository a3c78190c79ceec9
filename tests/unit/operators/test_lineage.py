"""What OpenLineage is told, by its own classes and with the databases' own hooks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.operating import Play, Seed
from support.postgres import postgres

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow's and OpenLineage's modules warn about each other


def operator(**parameters: Any) -> CancelMessageOperator:
    return CancelMessageOperator(task_id="cancel", sms_conn_id="sms", **parameters)


def names(datasets: Any) -> list[tuple[str, str]]:
    return [(each.namespace, each.name) for each in datasets]


@pytest.mark.parametrize(
    ("manifest", "namespace", "name"),
    [
        ("/srv/campaigns/spring.csv", "file", "/srv/campaigns/spring.csv"),
        ("file:///srv/campaigns/spring.csv.gz", "file", "/srv/campaigns/spring.csv.gz"),
        ("s3://aws_default@campaigns/2026/spring.csv", "s3://campaigns", "2026/spring.csv"),
        (" s3a://campaigns/spring.parquet ", "s3://campaigns", "spring.parquet"),
        ("gcs://google@campaigns/spring.jsonl", "gs://campaigns", "spring.jsonl"),
    ],
)
def test_a_manifest_is_named_by_the_convention_from_the_start(
    manifest: str, namespace: str, name: str
) -> None:
    lineage = operator(manifest=manifest).get_openlineage_facets_on_start()
    assert names(lineage.inputs) == [(namespace, name)]
    assert lineage.outputs == []


@pytest.mark.parametrize(
    "manifest",
    [
        "abfs://azure@container/spring.csv",
        "relative.csv",
        "",
        None,
        17,
        "https://[half-an-address",
        ["/a.csv"],
    ],
)
def test_what_has_no_sure_name_is_not_named(manifest: Any) -> None:
    for_all = operator(manifest=manifest)
    assert for_all.get_openlineage_facets_on_start().inputs == []
    assert for_all.get_openlineage_facets_on_failure(None).inputs == []


def test_the_report_is_the_output_once_it_was_begun(tmp_path: Path, seed: Seed, play: Play) -> None:
    manifest, report = tmp_path / "list.csv", tmp_path / "report"
    manifest.write_text("\n".join(["message_id", *seed(2)]))
    played = play(manifest=str(manifest), report_path=f"{report}/")
    lineage = played.operator.get_openlineage_facets_on_complete(None)
    assert names(lineage.inputs) == [("file", str(manifest))]
    assert names(lineage.outputs) == [("file", str(report))]
    assert (lineage.run_facets, lineage.job_facets) == ({}, {})


def test_a_task_that_fails_has_the_same_lineage(tmp_path: Path, seed: Seed, play: Play) -> None:
    played = play(message_ids=seed(1, state="sent"), report_path=str(tmp_path))
    played.failed_for_good()
    assert names(played.operator.get_openlineage_facets_on_failure(None).outputs) == [("file", str(tmp_path))]


def test_a_deferred_task_has_the_same_lineage(tmp_path: Path, seed: Seed, play: Play) -> None:
    summary = play(message_ids=seed(1), report_path=str(tmp_path)).summary
    event = {"end": "complete", "summary": summary, "not_stopped": [], "account": None, "incomplete": None}

    def resumed(operator: CancelMessageOperator, context: Any) -> Any:
        return operator.execute_complete(context, event)

    played = play(execute=resumed)
    assert names(played.operator.get_openlineage_facets_on_complete(None).outputs) == [
        ("file", str(tmp_path))
    ]


def test_where_no_report_was_begun_there_is_no_output(tmp_path: Path, seed: Seed, play: Play) -> None:
    report = str(tmp_path / "report")
    for parameters in (
        {"message_ids": seed(1)},
        {"message_ids": seed(1), "report_path": report, "dry_run": True},
        {"message_ids": seed(2), "report_path": report, "max_messages": 1},
    ):
        lineage = play(**parameters).operator.get_openlineage_facets_on_failure(None)
        assert lineage.outputs == []


# -- queries ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as uri:
        yield uri


QUERY = """
select s.message_id, s.due::timestamptz as scheduled_at
from marketing.scheduled s join recipients using (message_id)
where phone = '+4930123456' and name = {} and city in {} limit {}
"""


@pytest.mark.parametrize("parameter", ["%s", "%(name)s", "?", ":name", "'x'"])
def test_the_tables_of_a_query_are_the_inputs_and_nothing_else_is_told(
    parameter: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", database)
    query = QUERY.replace("{}", parameter).replace("in 'x'", "in ('x')")
    asked = operator(sql=query, sql_conn_id="campaigns", parameters=["Ada"])
    assert asked.get_openlineage_facets_on_start().inputs == []
    server = database.removeprefix("postgres://tester@").removesuffix("/postgres")
    lineage = asked.get_openlineage_facets_on_complete(None)
    assert sorted(names(lineage.inputs)) == [
        (f"postgres://{server}", "postgres.marketing.scheduled"),
        (f"postgres://{server}", "postgres.public.recipients"),
    ]
    assert not any(secret in repr(lineage) for secret in ("4930", "Ada", "select"))


@pytest.mark.parametrize("uri", ["postgres://nobody@127.0.0.1:1/none", "sqlite:///db", "http://127.0.0.1:1"])
def test_a_database_that_says_nothing_costs_the_report_nothing(
    uri: str, tmp_path: Path, seed: Seed, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = play(message_ids=seed(1), report_path=str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", uri)
    played.operator.sql, played.operator.sql_conn_id = QUERY, "campaigns"
    lineage = played.operator.get_openlineage_facets_on_complete(None)
    assert (lineage.inputs, names(lineage.outputs)) == ([], [("file", str(tmp_path))])


def test_the_operator_does_without_the_openlineage_provider() -> None:
    code = (
        "import sys, airflow; sys.modules['airflow.providers.openlineage'] = sys.modules['openlineage'] = None;"
        "from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator as C;"
        "print(C(task_id='a', sms_conn_id='b').task_id)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["a"], done.stderr
