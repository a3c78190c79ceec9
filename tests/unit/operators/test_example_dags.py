"""The example DAGs, each run as a team would run it. The kill switch and the rehearsal are run by the demo as well."""

from __future__ import annotations

import csv
import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sqlalchemy import create_engine, text
from support.in_airflow import is_mapped, run
from support.object_store import BUCKET, ObjectStore
from support.operating import Seed, requests_so_far, states, truth
from support.postgres import postgres
from support.versions import before, except_in, since

from airflow_provider_smscancel._airflow import AirflowFailException, ObjectStoragePath, XCom
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook
from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG

Checked = Callable[..., tuple[dict[str, str], Counter[str]]]
DAGS = Path(__file__).resolve().parents[3] / "dags"

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
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[..., DAG]:
    """Load an example as it stands, but for the waiting between tries."""

    def load(name: str, **retries: Any) -> DAG:
        spec = importlib.util.spec_from_file_location(name, DAGS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dag: DAG = module.dag
        for task in dag.tasks:
            if not is_mapped(task):
                task.retries = 0
        return dag

    return load


def write_manifest(path: Path, ids: list[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["message_id"], *([message_id] for message_id in ids)])
    return path


# -- cancel_campaign: what follows an approval is tested in tests/browser ------------------------------------------------


def kill_switch(example: Callable[..., DAG], **conf: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return run(example("cancel_campaign"), {"connection": "sms", **conf})


def test_the_kill_switch_cancels_at_once_without_looking_or_asking(
    example: Callable[..., DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(20)
    summaries, ended = kill_switch(example, message_ids="\n".join(ids), cancel_at_once=True)
    assert ended == {
        "how": "success",
        "look": "skipped",
        "cancel": "success",
        "summary": "success",
        **({} if before("3.1") else {"approve": "skipped"}),  # which has no approvals
    }
    assert summaries["cancel"]["outcomes"]["cancelled"] == 20
    assert states(sandbox, ids) == {"cancelled": 20}


def test_the_kill_switch_with_one_message_too_late_is_a_failed_run(
    example: Callable[..., DAG], seed: Seed
) -> None:
    ids = [*seed(3), *seed(1, state="sent")]
    summaries, ended = kill_switch(example, message_ids="\n".join(ids), cancel_at_once=True)
    assert (ended["cancel"], ended["summary"]) == ("failed", "failed")
    assert summaries["cancel"]["outcomes"]["too_late"] == 1


@pytest.mark.parametrize("cancel_at_once", [False, True])
@pytest.mark.parametrize(
    "conf",
    [
        pytest.param({}, id="nothing given"),
        pytest.param({"message_ids": " \n ", "manifest": " "}, id="blanks"),
        pytest.param({"message_ids": "a1", "manifest": "/campaign.csv"}, id="ids and a manifest"),
        pytest.param({"message_ids": "a1", "connection": "unheard_of"}, id="an unknown connection"),
        pytest.param({"message_ids": "a1", "connection": "of_a_database"}, id="a connection of another type"),
        pytest.param({"message_ids": "+447700900000\na.b"}, id="malformed ids"),
        pytest.param({"manifest": "campaign.csv"}, id="a relative path"),
        pytest.param({"manifest": "/not/there.csv"}, id="a file that is not there"),
    ],
)
def test_a_mistake_in_the_form_of_the_kill_switch_is_a_failed_run_that_sends_nothing(
    conf: dict[str, Any],
    cancel_at_once: bool,
    example: Callable[..., DAG],
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OF_A_DATABASE", "sqlite:///x")
    before = requests_so_far(sandbox)
    summaries, ended = kill_switch(example, **conf, cancel_at_once=cancel_at_once)
    assert ended["cancel" if cancel_at_once else "look"] == "failed"
    assert ended["cancel"] in ("failed", "upstream_failed")
    assert ended["summary"] == "failed"
    assert summaries == {}
    assert requests_so_far(sandbox) == before


Says = Callable[..., list[str]]


@pytest.fixture
def says(example: Callable[..., DAG], monkeypatch: pytest.MonkeyPatch) -> Says:
    """Run the kill switch with changes to its tasks, and return the lines of its summary."""

    def run_it(change: Callable[[DAG], None] = lambda dag: None, **conf: Any) -> list[str]:
        dag, lines = example("cancel_campaign"), []
        change(dag)
        log = dag.get_task("summary").python_callable.__globals__["log"]
        with monkeypatch.context() as patch:
            patch.setattr(log, "info", lines.append)
            _, ended = run(dag, {"connection": "sms", **conf})
        assert ended["summary"] == "failed"
        return lines

    return run_it


def fail(*_: Any, **__: Any) -> None:
    raise AirflowFailException("a reason")


def lose(name: str) -> Callable[[DAG], None]:
    """Let a task end as one that was killed or marked failed by hand: failed, and no callback was called."""

    def change(dag: DAG) -> None:
        task = dag.get_task(name)
        task.execute, task.on_failure_callback = fail, []

    return change


@pytest.mark.parametrize("name", ["how", "look", pytest.param("approve", marks=since("3.1", "approvals"))])
def test_a_task_that_was_lost_before_the_cancelling_is_named_and_nothing_was_cancelled(
    name: str, says: Says, seed: Seed, sandbox: SandboxServer
) -> None:
    ids = seed(2)
    headline, named = says(lose(name), message_ids="\n".join(ids))
    assert headline == "NOTHING WAS CANCELLED."
    assert named.startswith(f"Task {name} did not succeed, and left no reason: it was killed")
    assert named.endswith("Trigger again.")
    assert states(sandbox, ids) == {"scheduled": 2}


def test_a_task_cancel_that_was_lost_is_not_said_to_have_cancelled_nothing(says: Says, seed: Seed) -> None:
    headline, named = says(lose("cancel"), message_ids="\n".join(seed(2)), cancel_at_once=True)
    assert headline == "NO COUNTS: task cancel did not get as far as that."
    assert named.startswith("Task cancel did not succeed, and left no reason")
    assert named.endswith("Open its log, then clear it.")


def test_a_cancelling_that_had_begun_is_remembered_when_an_earlier_task_is_cleared_and_fails(
    says: Says, seed: Seed
) -> None:
    def begun_before(dag: DAG) -> None:
        """Leave what a first pass of this run has left behind."""

        def begin_and_fail(context: Any) -> None:
            context["ti"].xcom_push(key="error", value="a reason")
            xcom = {"dag_id": dag.dag_id, "run_id": context["run_id"], "task_id": "cancel"}
            XCom.set(key="begun", value=True, **xcom)

        look = dag.get_task("look")
        look.execute, look.on_failure_callback = fail, [begin_and_fail]

    assert says(begun_before, message_ids="\n".join(seed(1))) == [
        "NO COUNTS: task cancel did not get as far as that.",
        "Task look failed: a reason",
    ]


def test_task_cancel_remembers_that_it_has_begun(example: Callable[..., DAG], seed: Seed) -> None:
    dag, found = example("cancel_campaign"), []
    summary = dag.get_task("summary")
    summary.pre_execute = lambda context: found.append(
        context["ti"].xcom_pull(task_ids="cancel", key="begun")
    )
    run(dag, {"connection": "sms", "message_ids": "\n".join(seed(1)), "cancel_at_once": True})
    assert found == [True]


@except_in("3.0", "3.1", "3.2", what="dag.test() tells no callback what its task failed with; a worker does")
@pytest.mark.parametrize("cancel_at_once", [False, True])
def test_the_summary_of_the_kill_switch_says_what_to_do_in_the_words_of_the_form(
    cancel_at_once: bool, says: Says
) -> None:
    form = "In the form, fill in one of the fields Message ids and Manifest, and only one."
    for conf in ({}, {"message_ids": " "}, {"message_ids": "a1", "manifest": "/campaign.csv"}):
        assert says(**conf, cancel_at_once=cancel_at_once)[-1] == form
    unknown = says(message_ids="a1", connection="unheard_of", cancel_at_once=cancel_at_once)[-1]
    assert "unheard_of" in unknown
    assert unknown.endswith(
        ". Nothing was sent in this try. The ids of all connections are under Admin, Connections."
    )


def test_the_kill_switch_understands_ids_as_people_paste_them(
    example: Callable[..., DAG], sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(4)
    pasted = f"  '{ids[0]}', \"{ids[1]}\",\r\n{ids[2]}  ,\n\n{ids[3]},  \n"
    summaries, _ = kill_switch(example, message_ids=pasted, cancel_at_once=True)
    assert summaries["cancel"]["outcomes"]["cancelled"] == summaries["cancel"]["total"] == 4
    assert states(sandbox, ids) == {"cancelled": 4}


def test_where_airflow_has_no_approvals_the_kill_switch_cancels_after_looking(
    example: Callable[..., DAG], sandbox: SandboxServer, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)
    ids = seed(3)
    summaries, ended = kill_switch(example, message_ids="\n".join(ids))
    assert set(ended) == {"how", "look", "cancel", "summary"}
    assert set(ended.values()) == {"success"}
    assert summaries["look"]["states"]["pending"] == 3
    assert states(sandbox, ids) == {"cancelled": 3}


# -- cancel_large_campaign ----------------------------------------------------------------------------------------------


SHARDS = except_in("3.0", what="a run of mapped tasks by dag.test() takes half a minute")


def large(
    example: Callable[..., DAG], tmp_path: Path, ids: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    manifest = write_manifest(tmp_path / "campaign.csv", ids)
    conf = {"connection": "sms", "manifest": str(manifest), "folder": str(tmp_path / "out")}
    return run(example("cancel_large_campaign"), conf)


@SHARDS
def test_a_large_campaign_is_cancelled_over_shards_and_summed_up(
    example: Callable[..., DAG], tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(60)
    summaries, ended = large(example, tmp_path, [*ids, ids[0].upper()])
    assert set(ended.values()) == {"success"}, ended
    assert summaries["merge"]["total"] == 60
    assert summaries["merge"]["outcomes"]["cancelled"] == 60
    assert {task: summary["campaign"] for task, summary in summaries.items() if task != "merge"} == {
        f"cancel[{index}]": f"shard {index + 1} of 4" for index in range(4)
    }
    shards = [summary for task, summary in summaries.items() if task.startswith("cancel")]
    assert len(shards) == 4
    assert all(0 < summary["total"] < 60 for summary in shards)
    assert states(sandbox, ids) == {"cancelled": 60}


@SHARDS
def test_a_large_campaign_with_one_message_too_late_is_a_failed_run(
    example: Callable[..., DAG], tmp_path: Path, seed: Seed
) -> None:
    summaries, ended = large(example, tmp_path, [*seed(8), *seed(1, state="sent")])
    assert ended["merge"] == "failed"
    assert summaries["merge"]["outcomes"] | {"cancelled": 8, "too_late": 1} == summaries["merge"]["outcomes"]


@SHARDS
def test_a_small_campaign_leaves_shards_empty_and_succeeds(
    example: Callable[..., DAG], tmp_path: Path, seed: Seed
) -> None:
    summaries, ended = large(example, tmp_path, seed(1))
    assert set(ended.values()) == {"success"}, ended
    assert summaries["merge"] == {
        "shards": 4,
        "total": 1,
        "outcomes": summaries["merge"]["outcomes"] | {"cancelled": 1},
    }


@SHARDS
def test_deferred_shards_are_summed_up_too(
    example: Callable[..., DAG], tmp_path: Path, sandbox: SandboxServer, seed: Seed
) -> None:
    ids = seed(20)
    manifest = write_manifest(tmp_path / "campaign.csv", ids)
    dag = example("cancel_large_campaign")
    dag.get_task("cancel").partial_kwargs["deferrable"] = True
    summaries, ended = run(
        dag, {"connection": "sms", "manifest": str(manifest), "folder": str(tmp_path / "out")}
    )
    assert set(ended.values()) == {"success"}, ended
    assert summaries["merge"]["outcomes"]["cancelled"] == 20
    assert len(list((tmp_path / "out" / "report").glob("begun-*"))) == 4
    assert states(sandbox, ids) == {"cancelled": 20}


@SHARDS
def test_an_empty_manifest_is_a_failed_run(example: Callable[..., DAG], tmp_path: Path, seed: Seed) -> None:
    _, ended = large(example, tmp_path, [])
    assert ended == {"split": "success", **{f"cancel[{n}]": "success" for n in range(4)}, "merge": "failed"}


@SHARDS
def test_a_shard_without_a_summary_is_a_failed_run(
    example: Callable[..., DAG], tmp_path: Path, seed: Seed
) -> None:
    """All that the first shard holds is rows that name no message: it ends before it sends anything."""
    ids = seed(1)
    summaries, ended = large(example, tmp_path, [*ids, "not an id!"])
    assert ended["merge"] == "failed"
    assert summaries["merge"]["total"] <= 2


@pytest.mark.parametrize("run_id", ["../../elsewhere", "a/b?c#d e%2F", ".."])
@SHARDS
def test_a_run_with_an_odd_name_keeps_its_shards_in_its_folder(
    run_id: str, example: Callable[..., DAG], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "campaign.csv", ["a" * 32])
    split = example("cancel_large_campaign").get_task("split").python_callable
    shards = split(params={"manifest": str(manifest), "folder": str(tmp_path / "out")}, run_id=run_id)
    assert [Path(shard).resolve().parents[1] for shard in shards] == [tmp_path / "out" / "shards"] * 4
    assert sum(Path(shard).read_text().count("a" * 32) for shard in shards) == 1


@SHARDS
def test_a_large_campaign_whose_files_are_all_in_an_object_store(
    example: Callable[..., DAG],
    store: ObjectStore,
    sandbox: SandboxServer,
    seed: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = seed(20)
    folder = f"s3://{store.connect(monkeypatch)}@{BUCKET}/large"
    store.put("large/campaign.csv", "\n".join(["message_id", *ids]).encode())
    conf = {"connection": "sms", "manifest": f"{folder}/campaign.csv", "folder": f"{folder}/"}
    summaries, ended = run(example("cancel_large_campaign"), conf)
    assert set(ended.values()) == {"success"}, ended
    assert summaries["merge"]["outcomes"]["cancelled"] == 20
    assert states(sandbox, ids) == {"cancelled": 20}
    assert {row["message_id"] for row in store.report("large/report/")} == set(ids)


# -- cancel_opted_out ---------------------------------------------------------------------------------------------------

TABLES = """
create table scheduled_messages (message_id text primary key, phone text, scheduled_at timestamptz,
                                 cancel_outcome text, cancel_checked_at timestamptz);
create table opt_outs (phone text);
"""


@pytest.mark.parametrize(("database_kind", "reports"), [("sqlite", "s3"), ("postgres", "file")])
def test_people_who_opted_out_get_nothing_and_the_outcome_is_written_back(
    database_kind: str,
    reports: str,
    store: ObjectStore,
    example: Callable[..., DAG],
    tmp_path: Path,
    sandbox: SandboxServer,
    seed: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = str(tmp_path) if reports == "file" else f"s3://{store.connect(monkeypatch)}@{BUCKET}/opted-out"
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", folder)
    monkeypatch.setenv("AIRFLOW_CONN_CLICKATELL_DEFAULT", os.environ["AIRFLOW_CONN_SMS"])
    if database_kind == "sqlite":
        check_opted_out(
            f"sqlite:///{tmp_path}/db", f"sqlite:///{tmp_path}/db", example, sandbox, seed, monkeypatch
        )
    else:
        with postgres() as uri:
            # SQLAlchemy 1.4, which Airflow has before 3.1, does not know the newer one.
            driver = "psycopg2" if before("3.1") else "psycopg"
            url = uri.replace("postgres://", f"postgresql+{driver}://")
            check_opted_out(uri, url, example, sandbox, seed, monkeypatch)


def check_opted_out(
    uri: str,
    url: str,
    example: Callable[..., DAG],
    sandbox: SandboxServer,
    seed: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", uri)
    out, stay = [each.upper() for each in seed(3)], seed(2)
    when = datetime(2030, 1, 1, tzinfo=UTC).isoformat()
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in TABLES.split(";")[:2]:
            connection.execute(text(statement))
        for number, message_id in enumerate([*out, *stay]):
            row = {"id": message_id, "phone": f"44{number}", "at": when}
            connection.execute(
                text(
                    "insert into scheduled_messages (message_id, phone, scheduled_at) values (:id, :phone, :at)"
                ),
                row,
            )
            if message_id in out:
                connection.execute(text("insert into opt_outs values (:phone)"), {"phone": row["phone"]})

    summaries, ended = run(example("cancel_opted_out"))
    assert set(ended.values()) == {"success"}, ended
    first = summaries["cancel"]
    assert first["outcomes"]["cancelled"] == 3
    assert states(sandbox, list(map(str.lower, out))) == {"cancelled": 3}
    assert states(sandbox, stay) == {"scheduled": 2}
    with engine.begin() as connection:
        rows = connection.execute(text("select message_id, cancel_outcome from scheduled_messages")).all()
    assert dict(map(tuple, rows)) == {**dict.fromkeys(out, "cancelled"), **dict.fromkeys(stay)}

    # An hour later there is nobody new: nothing is asked, and the run is green.
    before = requests.get(f"{sandbox.url}/_sandbox/requests", timeout=10).json()
    summaries, ended = run(example("cancel_opted_out"))
    assert set(ended.values()) == {"success"}, ended
    assert summaries["cancel"]["total"] == 0
    assert requests.get(f"{sandbox.url}/_sandbox/requests", timeout=10).json() == before

    # Somebody clears the first run's last task after a newer outcome was written: that one stays.
    newer = {"id": out[0], "at": datetime(2031, 1, 1, tzinfo=UTC).isoformat()}
    with engine.begin() as connection:
        connection.execute(
            text(
                "update scheduled_messages set cancel_outcome = 'too_late', cancel_checked_at = :at where message_id = :id"
            ),
            newer,
        )
    write_back = example("cancel_opted_out").get_task("write_back").python_callable
    assert write_back(ti=Pulled(first)) == 3
    with engine.begin() as connection:
        rows = connection.execute(text("select message_id, cancel_outcome from scheduled_messages")).all()
    assert dict(map(tuple, rows)) == {
        out[0]: "too_late",
        out[1]: "cancelled",
        out[2]: "cancelled",
        **dict.fromkeys(stay),
    }

    # The same with a line that a kill has cut off, and a report that is not complete.
    folder = ObjectStoragePath(first["report"])
    (folder / "part-00000000-9-0000-000001.jsonl").write_text('{"message_id": "cut o')
    with pytest.raises(ValueError, match="Not all outcomes could be written back: the store refused"):
        write_back(ti=Pulled(first | {"report_error": "the store refused"}))
    engine.dispose()


class Pulled:
    """Stands for a task that finds one summary."""

    def __init__(self, summary: dict[str, Any]) -> None:
        self._summary = summary

    def xcom_pull(self, **_: str) -> dict[str, Any]:
        return self._summary


def test_a_query_that_fails_makes_the_hourly_run_fail(
    example: Callable[..., DAG], tmp_path: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", str(tmp_path / "reports"))
    monkeypatch.setenv("AIRFLOW_CONN_CLICKATELL_DEFAULT", os.environ["AIRFLOW_CONN_SMS"])
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", f"sqlite:///{tmp_path}/db")
    _, ended = run(example("cancel_opted_out"))
    assert ended["cancel"] == "failed"
    assert ended["write_back"] == "failed"


# -- cancel_unless_checks_pass ------------------------------------------------------------------------------------------


@pytest.fixture
def checked(
    example: Callable[..., DAG], tmp_path: Path, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> Checked:
    """Run the example, and return the tasks' states and where the messages are by the sandbox's record."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_CLICKATELL_DEFAULT", os.environ["AIRFLOW_CONN_SMS"])

    def run_it(change: Callable[[DAG], None] = lambda dag: None, **conf: Any) -> Any:
        dag = example("cancel_unless_checks_pass")
        # dag.test() of 3.3.2 breaks at the end of a green run of any DAG that has a deadline; a real Airflow does not.
        dag.deadline = None
        change(dag)
        _, ended = run(dag, {"count": 120, **conf})
        return ended, Counter(row["state"] for row in truth(sandbox).values())

    return run_it


def test_a_campaign_whose_checks_pass_goes_out_and_its_run_is_green(
    checked: Checked,
) -> None:
    ended, where = checked(checks="pass")
    assert ended.pop("cancel") == "skipped"
    assert set(ended.values()) == {"success"}, ended
    assert where == {"scheduled": 120}


def check_it_is_cancelled(ended: dict[str, str], where: Counter[str], total: int = 120) -> None:
    assert ended["cancel"] == "success"
    assert ended["goes_out"] == "upstream_failed"  # a last task, so the run is red
    assert where == {"cancelled": total}


def test_a_campaign_whose_checks_fail_is_cancelled_and_its_run_is_red(
    checked: Checked,
) -> None:
    ended, where = checked(checks="fail")
    check_it_is_cancelled(ended, where)
    assert ended["all_known"] == "success"


@since("3", "dag.test() that outlives a task's time limit")
def test_checks_that_hang_are_ended_by_their_time_limit_and_the_campaign_is_cancelled(
    checked: Checked,
) -> None:
    def hurry(dag: DAG) -> None:
        dag.get_task("check").execution_timeout = timedelta(seconds=1)

    check_it_is_cancelled(*checked(hurry, checks="hang"))


def test_what_was_scheduled_before_scheduling_failed_is_cancelled(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = ClickatellHook.send_message, []

    def fail_half_way(*arguments: Any, **parameters: Any) -> Any:
        if len(sent) == 100:
            raise ValueError
        sent.extend(found := send(*arguments, **parameters))
        return found

    monkeypatch.setattr(ClickatellHook, "send_message", fail_half_way)
    ended, where = checked()
    assert ended["schedule"] == "failed"
    check_it_is_cancelled(ended, where, total=100)


KILLED_BEFORE_THE_THIRD_ANSWER_IS_WRITTEN_DOWN = """
import os, runpy, signal, sys
from airflow_provider_smscancel.hooks.clickatell import ClickatellHook

send, calls = ClickatellHook.send_message, []

def send_and_die(*arguments, **parameters):
    sent = send(*arguments, **parameters)
    calls.append(sent)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return sent

ClickatellHook.send_message = send_and_die
dag = runpy.run_path(sys.argv[1])["dag"]
dag.get_task("schedule").python_callable(params={"count": 120}, run_id=sys.argv[2])
"""


def test_of_a_scheduling_that_is_killed_all_that_was_answered_is_cancelled_and_the_rest_is_told(
    checked: Checked, tmp_path: Path
) -> None:
    def kill_it(dag: DAG) -> None:
        def is_killed(run_id: str) -> None:
            script = KILLED_BEFORE_THE_THIRD_ANSWER_IS_WRITTEN_DOWN
            subprocess.run(
                [sys.executable, "-c", script, str(DAGS / "cancel_unless_checks_pass.py"), run_id],
                check=True,
                capture_output=True,
                env={**os.environ, "TMPDIR": str(tmp_path)},
            )

        dag.get_task("schedule").python_callable = is_killed

    ended, where = checked(kill_it)
    assert where == {"cancelled": 100, "scheduled": 20}
    assert (ended["schedule"], ended["cancel"], ended["all_known"]) == ("failed", "success", "failed")


def test_messages_whose_answer_was_lost_make_a_red_task_that_tells_of_them(
    checked: Checked, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, calls = ClickatellHook.send_message, []

    def lose_the_second(*arguments: Any, **parameters: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            sandbox.state.faults.configure(share=1, kinds=["act-then-drop"], times=1)
        return send(*arguments, **parameters)

    monkeypatch.setattr(ClickatellHook, "send_message", lose_the_second)
    ended, where = checked()
    assert where == {"cancelled": 50, "scheduled": 50}
    assert (ended["schedule"], ended["cancel"], ended["all_known"]) == ("failed", "success", "failed")
    assert ended["goes_out"] == "upstream_failed"


def test_a_scheduling_that_is_cleared_sends_nothing_and_keeps_the_ids(
    checked: Checked, sandbox: SandboxServer
) -> None:
    def clear_it(dag: DAG) -> None:
        schedule = dag.get_task("schedule")
        once = schedule.python_callable

        @functools.wraps(once)
        def twice(**context: Any) -> None:
            once(**context)
            once(**context)

        schedule.python_callable = twice

    ended, where = checked(clear_it)
    assert ended["schedule"] == "failed"
    check_it_is_cancelled(ended, where)


def test_a_campaign_can_be_written_down_in_an_object_store(
    example: Callable[..., DAG], checked: Checked, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = f"s3://{store.connect(monkeypatch)}@{BUCKET}/checked"

    def move_it(dag: DAG) -> None:
        dag.get_task("schedule").python_callable.__globals__["FOLDER"] = folder
        for task in (dag.get_task("look"), dag.get_task("cancel")):
            task.manifest = folder + "/{{ run_id }}/manifest.csv"

    check_it_is_cancelled(*checked(move_it, checks="fail"))


def test_checks_that_pass_after_the_campaign_was_cancelled_make_no_green_run(
    checked: Checked,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when somebody clears the check of a run that has cancelled the campaign already."""

    def cancel_one(dag: DAG) -> None:
        check = dag.get_task("check")

        def passes(*_: Any, **__: Any) -> None:
            ClickatellHook("sms").cancel_message(next(iter(truth(sandbox))))

        check.python_callable = passes

    ended, where = checked(cancel_one)
    assert ended["confirm"] == "failed"
    check_it_is_cancelled(ended, where)


@since("3.1", "deadline alerts")
def test_checks_that_pass_too_late_make_no_green_run(
    checked: Checked,
) -> None:
    def hurry(dag: DAG) -> None:
        dag.get_task("confirm").python_callable.__globals__["CANCELLED_AFTER"] = timedelta(seconds=30)

    ended, where = checked(hurry)
    assert ended["confirm"] == "failed"
    check_it_is_cancelled(ended, where)


@since("3.1", "deadline alerts")
def test_a_last_task_that_waits_for_a_slot_until_the_deadline_makes_no_green_run(checked: Checked) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=30)

    def wait(dag: DAG) -> None:
        goes_out = dag.get_task("goes_out")
        at_once = goes_out.python_callable

        @functools.wraps(at_once)
        def after_a_while(**context: Any) -> None:
            at_once.__globals__["datetime"] = Later
            at_once(**context)

        goes_out.python_callable = after_a_while

    ended, _ = checked(wait)
    assert (ended["confirm"], ended["cancel"], ended["goes_out"]) == ("success", "skipped", "failed")


@since("3.1", "deadline alerts")
def test_the_deadline_alert_knows_the_parameters_that_the_operator_has(example: Callable[..., DAG]) -> None:
    dag = example("cancel_unless_checks_pass")
    alert = dag.deadline[0] if isinstance(dag.deadline, list) else dag.deadline
    assert alert.callback.path.endswith("notifications.cancel_message.CancelMessageNotifier")
    notifier = CancelMessageNotifier(**alert.callback.kwargs)
    cancel = dag.get_task("cancel")
    for field in CancelMessageNotifier.template_fields:
        assert getattr(notifier, field) == getattr(cancel, field), field
