"""The DAGs of docs/pipelines.md, run as they stand there."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.in_airflow import is_mapped, ran_as, run
from support.operating import Seed, states, truth
from support.versions import before

from airflow_provider_smscancel.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

PAGE = Path(__file__).resolve().parents[3] / "docs" / "pipelines.md"
ON_AIRFLOW_2 = (
    "from airflow.sdk import",
    "from airflow.providers.common.compat.sdk import",
)  # as the page says
EXAMPLES = dict(re.findall(r"<!-- dag: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL))

pytestmark = pytest.mark.filterwarnings("ignore")  # Airflow warns about itself


@pytest.fixture(scope="module", autouse=True)
def database() -> None:
    """Make the tables of the home that conftest.py gave Airflow."""
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


@pytest.fixture
def example(
    sandbox: SandboxServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], DAG]:
    """Make a DAG of the page, but for the waiting between tries."""
    monkeypatch.setenv("AIRFLOW_CONN_CLICKATELL_DEFAULT", os.environ["AIRFLOW_CONN_SMS"])

    def load(name: str) -> DAG:
        file = tmp_path_factory.mktemp("dags") / f"{name}.py"
        text = EXAMPLES[name]
        file.write_text(text.replace(*ON_AIRFLOW_2) if before("3") else text)
        where = runpy.run_path(str(file))
        dag: DAG = where["dag"]
        for task in dag.tasks:
            if is_mapped(task):
                task.partial_kwargs["retry_delay"] = timedelta(0)
            else:
                task.retries = 0
        return dag

    return load


def test_every_example_is_run() -> None:
    text = Path(__file__).read_text()
    assert len(EXAMPLES) == PAGE.read_text().count("```python")
    assert [name for name in EXAMPLES if f'example("{name}")' not in text] == []


def test_ids_of_a_task_are_cancelled(
    example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(3)
    _, ended = run(example("ids"), {"ids": ids})
    assert ended == {"find": "success", "cancel": "success"}
    assert states(sandbox, ids) == {"cancelled": 3}
    _, ended = run(example("ids"), {"ids": []})
    assert ended == {"find": "success", "cancel": "skipped"}


def test_mappings_of_a_task_are_cancelled_and_their_dates_understood(
    example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(4)
    summaries, ended = run(example("mappings"), {"ids": ids})
    assert ended == {"find": "success", "cancel": "success"}
    assert summaries["cancel"]["undated"] == 0
    assert states(sandbox, ids) == {"cancelled": 4}


def test_campaigns_are_named_share_a_folder_and_each_retry_takes_up_its_own(
    example: Callable[[str], DAG], sandbox: SandboxServer, in_doubt: Seed, seed: Seed, tmp_path: Path
) -> None:
    spring, summer, doubtful = seed(3), seed(2), in_doubt(1)
    conf = {"campaigns": {"spring": spring, "summer": [*summer, *doubtful]}, "reports": str(tmp_path)}
    ran = ran_as(example("campaigns"), conf)
    assert ran.states == {"campaigns": "success", "cancel[0]": "success", "cancel[1]": "failed"}
    assert ran.shown_as == {"cancel[0]": "spring", "cancel[1]": "summer"}
    assert ran.summaries["cancel[1]"]["total"] == 3
    record = truth(sandbox)
    assert {record[message_id]["stop_requests"] for message_id in [*spring, *summer]} == {1}
    tries = sorted(path.name.split("-")[2] for path in tmp_path.glob("part-*"))
    assert tries == ["1", "1", "2", "3", "4"]  # the other one had nothing left to do


def test_lists_are_cancelled_each_by_a_task_of_its_own(
    example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed, tmp_path: Path
) -> None:
    one, two = seed(2), seed(3)
    summaries, ended = run(example("lists"), {"lists": [one, two], "reports": str(tmp_path)})
    assert ended == {"lists": "success", "cancel[0]": "success", "cancel[1]": "success"}
    assert [summaries[f"cancel[{index}]"]["total"] for index in (0, 1)] == [2, 3]
    assert states(sandbox, [*one, *two]) == {"cancelled": 5}


def test_templates_give_way_to_what_the_form_says(
    example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed, tmp_path: Path
) -> None:
    ids = seed(2)
    summaries, _ = run(example("templates"), {"ids": ids, "dry": True})
    assert summaries["cancel"]["states"]["pending"] == 2
    summaries, _ = run(example("templates"), {"ids": ids, "most": 1})
    assert summaries == {}
    summaries, _ = run(example("templates"), {"ids": ids})
    assert summaries["cancel"]["campaign"] == "spring of stop_from_a_form"
    assert states(sandbox, ids) == {"cancelled": 2}
    more = seed(1)
    (tmp_path / "spring.csv").write_text(f"message_id\n{more[0]}\n")
    summaries, _ = run(example("templates"), {"manifest": str(tmp_path / "spring.csv")})
    assert states(sandbox, more) == {"cancelled": 1}


def test_native_rendering_keeps_the_ids_of_a_list(
    example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    digits, exponent = "1234567890" * 3 + "12", "78e90"
    (plain,) = seed(1)
    messages = [{"message_id": plain, "scheduled_at": "2030-01-01T09:00:00+01:00"}, digits, exponent]
    summaries, ended = run(example("native"), {"messages": messages})
    assert ended["cancel"] == "failed"
    outcomes = {name: count for name, count in summaries["cancel"]["outcomes"].items() if count}
    assert outcomes == {"cancelled": 1, "not_found": 2}
    assert summaries["cancel"]["undated"] == 2
    (surveyed,) = seed(1)
    summaries, _ = run(example("native"), {"messages": [surveyed], "dry": True, "most": 1})
    assert summaries["cancel"]["states"]["pending"] == 1
    assert states(sandbox, [surveyed]) == {"scheduled": 1}


@pytest.mark.parametrize("ids", ["12345678901234567890123456789012", "78e90", "0x1f", "1_000"])
def test_native_rendering_that_made_a_number_of_an_id_sends_nothing(
    ids: str, example: Callable[[str], DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    dag = example("native")
    (good,) = seed(1)
    dag.get_task("cancel").message_ids = [ids, good]
    summaries, ended = run(dag)
    assert ended["cancel"] == "failed"
    outcomes = {name: count for name, count in summaries["cancel"]["outcomes"].items() if count}
    assert outcomes == {"cancelled": 1, "rejected": 1}
    dag.get_task("cancel").message_ids = ids
    summaries, ended = run(dag)
    assert ended["cancel"] == "failed"
    assert summaries == {}


def test_what_comes_after_runs_as_the_page_says(example: Callable[[str], DAG], seed: Seed) -> None:
    _, ended = run(example("after"), {"ids": seed(2)})
    assert ended == {"cancel": "success", "stopped": "success", "tell": "success"}
    _, ended = run(example("after"), {"ids": [*seed(1), *seed(1, state="sent")]})
    assert ended == {"cancel": "failed", "stopped": "upstream_failed", "tell": "failed"}
    _, ended = run(example("after"), {"ids": []})
    assert ended == {"cancel": "failed", "stopped": "upstream_failed", "tell": "failed"}
