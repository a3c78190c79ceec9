"""The notifier, called as Airflow calls it, against a sandbox over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG
from support.operating import (
    FakeTask,
    Play,
    Row,
    Seed,
    Told,
    final_outcomes,
    read_report,
    requests_so_far,
    states,
)
from support.versions import before, need, since

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.campaigns.running import BackgroundRun
from airflow_provider_smscancel.campaigns.sources import SourceUnavailable
from airflow_provider_smscancel.common import campaign_source
from airflow_provider_smscancel.notifications import starting
from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.sandbox import CLICKATELL_PASSWORD, CLICKATELL_TOKEN
from airflow_provider_smscancel.sandbox.server import SandboxServer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")

DEADLINES = since("3.2", "triggers and processes for callbacks")
PATH = "airflow_provider_smscancel.notifications.cancel_message.CancelMessageNotifier"


@pytest.fixture
def told(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the callback's log was told."""
    told = Told(sandbox)
    monkeypatch.setattr(CancelMessageNotifier, "log", told)
    return told


def of_task(**members: Any) -> Row:
    """The context of a task's callback."""
    ti = FakeTask(task_id="check", **members)
    return {"ti": ti, "run_id": ti.run_id, "dag": DAG(ti.dag_id, schedule=None)}


def of_deadline(number: int = 1) -> Row:
    """The context of a deadline's callback, as far as it matters here."""
    need("3.1", "deadline alerts")
    run = {"dag_id": "kill_switch", "dag_run_id": "run_1", "conf": {}}
    deadline = {"id": f"0000-{number}", "deadline_time": datetime(2030, 1, 1, tzinfo=UTC)}
    return {"dag_run": run, "deadline": deadline}


def call(context: Row, **parameters: Any) -> None:
    notifier = CancelMessageNotifier(**{"sms_conn_id": "sms", **parameters})
    if before("3.1"):  # whose own way would log what is raised here
        notifier.render_template_fields(notifier._update_context(context))
        notifier.notify(context)
    else:
        notifier(context)


def await_it(context: Row, **parameters: Any) -> None:
    async def run() -> None:
        await CancelMessageNotifier(**{"sms_conn_id": "sms", "context": context, **parameters})

    asyncio.run(run())


@dataclass(frozen=True)
class Way:
    """One way in which Airflow calls a notifier."""

    name: str
    context: Callable[[], Row]
    call: Callable[..., None]


WAYS = [Way("task", of_task, call), Way("deadline", of_deadline, await_it)]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


# -- what it does, and says ---------------------------------------------------------------------------------------------


@each_way
def test_a_campaign_is_stopped_and_the_last_line_says_so(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    ids = seed(150)
    way.call(way.context(), message_ids=ids, report_path=str(tmp_path), campaign="spring")
    assert states(sandbox, ids) == {"cancelled": 150}
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    level, text, _ = told[-1]
    assert level == "info"
    assert text.startswith("Campaign 'spring': all 150 messages are stopped")
    assert f"Outcomes: cancelled 150. The report is in {tmp_path}." in text
    assert told.said("error") == ""


@each_way
def test_what_there_is_no_time_for_is_named_in_the_last_line_and_in_the_report(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    ids = seed(600)
    begun = time.monotonic()
    way.call(
        way.context(), message_ids=ids, report_path=str(tmp_path), requests_per_second=100, deadline_s=1.0
    )
    assert time.monotonic() - begun < 5
    outcomes = final_outcomes(tmp_path)
    assert set(outcomes) == set(ids)
    stopped = [message_id for message_id in ids if outcomes[message_id] == "cancelled"]
    assert 0 < len(stopped) < 600
    assert states(sandbox, stopped) == {"cancelled": len(stopped)}
    not_asked = [message_id for message_id in ids if outcomes[message_id] == "not_attempted"]
    assert states(sandbox, not_asked) == {"scheduled": len(not_asked)}
    level, text, _ = told[-1]
    assert level == "error"
    assert (
        f"{600 - len(stopped)} of 600 messages were not stopped; {len(not_asked)} of them were not asked"
        in text
    )
    assert "deadline_s" in text
    assert "CancelMessageOperator" in text


@each_way
def test_messages_that_are_too_late_are_an_error_and_there_is_nothing_to_finish(
    way: Way, tmp_path: Path, seed: Seed, told: Told
) -> None:
    ids = [*seed(2), *seed(1, state="sent")]
    way.call(way.context(), message_ids=ids)
    level, text, _ = told[-1]
    assert level == "error"
    assert "1 of 3 messages were not stopped; 0 of them were not asked." in text
    assert "Outcomes: cancelled 2, too_late 1. There is no report." in text
    assert "To finish" not in text
    assert f"Not stopped: {ids[-1]}" in told.said("error")


@each_way
def test_a_refused_account_is_told(way: Way, seed: Seed, told: Told) -> None:
    way.call(way.context(), message_ids=seed(3), sms_conn_id="sms_wrong_token")
    level, text, _ = told[-1]
    assert level == "error"
    assert "3 of 3 messages were not stopped; 3 of them were not asked." in text
    assert "refuses the account of connection 'sms_wrong_token'" in text


@each_way
def test_a_gateway_that_is_down_costs_no_more_than_the_time_that_there_is(
    way: Way, seed: Seed, told: Told
) -> None:
    begun = time.monotonic()
    way.call(way.context(), message_ids=seed(3), sms_conn_id="sms_down", deadline_s=0.5)
    assert time.monotonic() - begun < 5
    assert told[-1][0] == "error"
    assert "3 of 3 messages were not stopped" in told[-1][1]


def test_a_run_that_breaks_down_is_told_and_does_not_raise(
    tmp_path: Path, seed: Seed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(BackgroundRun, "_run", broken)
    monkeypatch.setattr(Told, "exception", lambda self, msg: self.error(msg), raising=False)
    call(of_task(), message_ids=seed(3), report_path=str(tmp_path))
    assert "The run broke down." in told[-1][1]
    assert "3 of 3 messages were not stopped" in told[-1][1]


@each_way
def test_neither_secret_nor_malformed_id_is_told(way: Way, tmp_path: Path, seed: Seed, told: Told) -> None:
    ids = [*seed(2), "+44 7700 900123"]
    for connection in ("sms", "sms_http", "sms_wrong_token"):
        way.call(
            way.context(), message_ids=ids, sms_conn_id=connection, report_path=str(tmp_path / connection)
        )
    said = str(list(told)) + "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert "item 3" in said
    for secret in (CLICKATELL_TOKEN, CLICKATELL_PASSWORD, "wrong-token", "7700"):
        assert secret not in said


# -- what comes after ---------------------------------------------------------------------------------------------------


@each_way
def test_the_operator_finishes_what_there_was_no_time_for(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told, play: Play
) -> None:
    ids = seed(300)
    where = {"message_ids": ids, "report_path": str(tmp_path)}
    way.call(way.context(), requests_per_second=100, deadline_s=0.5, **where)
    assert states(sandbox, ids)["scheduled"] > 0
    finished = play(**where)
    assert finished.error is None
    assert finished.outcomes == {"cancelled": 300}
    assert states(sandbox, ids) == {"cancelled": 300}


def test_on_the_operators_own_task_it_takes_up_what_that_has_left_open(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told, play: Play
) -> None:
    ids = seed(300)
    where = {"message_ids": ids, "report_path": str(tmp_path)}
    ti = FakeTask(try_number=3)
    first = play(ti, requests_per_second=100, execute=_for_half_of_it, **where)
    stopped = first.outcomes["cancelled"]
    assert 0 < stopped < 300
    before = requests_so_far(sandbox)
    call({**of_task(), "ti": ti}, **where)
    assert requests_so_far(sandbox) - before == 300 - stopped
    assert told[-1][0] == "info"
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")


def _for_half_of_it(operator: Any, context: Row) -> Any:
    """Execute, and have the task killed in the middle."""
    threading.Timer(0.5, operator.on_kill).start()
    return operator.execute(context)


def test_a_callback_that_another_triggerer_takes_up_goes_on_from_the_report(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    ids = seed(300)
    sandbox.state.latency = 0.05
    parameters: Row = {"message_ids": ids, "report_path": str(tmp_path), "deadline_s": None}

    async def end_in_the_middle() -> None:
        notifier = CancelMessageNotifier(sms_conn_id="sms", context=of_deadline(), **parameters)
        running = asyncio.ensure_future(notifier.async_notify(notifier.context))
        while requests_so_far(sandbox) < 100:
            await asyncio.sleep(0.002)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(end_in_the_middle())
    settled = len(read_report(tmp_path))
    assert 0 < settled < 300
    before = requests_so_far(sandbox)
    await_it(of_deadline(), **parameters)
    assert requests_so_far(sandbox) - before == 300 - settled
    assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")
    assert told[-1][0] == "info"


def test_two_deadlines_of_one_run_do_not_take_each_others_report_for_theirs(
    tmp_path: Path, seed: Seed, told: Told
) -> None:
    await_it(of_deadline(1), message_ids=seed(2), report_path=str(tmp_path))
    others = seed(3, gateway="esendex")
    await_it(of_deadline(2), message_ids=others, report_path=str(tmp_path), sms_conn_id="sms_esendex")
    assert len(list(tmp_path.glob("run-*"))) == 2
    assert "left alone" not in told.said("warning")
    assert len(final_outcomes(tmp_path)) == 5


@each_way
def test_a_store_that_does_not_answer_does_not_take_the_time_that_there_is(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(Journal, "_list_parts", lambda self: never.wait(20) and [])
    ids = seed(3)
    try:
        way.call(way.context(), message_ids=ids, report_path=str(tmp_path), deadline_s=2)
    finally:
        never.set()
    assert states(sandbox, ids) == {"cancelled": 3}
    level, text, _ = told[-1]
    assert level == "error"
    assert "0 of 3 messages were not stopped" in text
    assert "The report is not complete" in text


# -- the report ---------------------------------------------------------------------------------------------------------


@each_way
def test_more_than_100_messages_need_a_report(
    way: Way, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    ids = seed(101)
    with pytest.raises(AirflowFailException, match=r"report_path.*Nothing was sent"):
        way.call(way.context(), message_ids=ids)
    assert requests_so_far(sandbox) == 0
    way.call(way.context(), message_ids=ids[:100])
    assert states(sandbox, ids) == {"cancelled": 100, "scheduled": 1}


@pytest.mark.parametrize(
    ("way", "folder"),
    [
        (WAYS[0], "kill_switch/run_1/check"),
        (WAYS[1], "kill_switch/run_1/deadline-0000-1"),
        (
            Way("dag", lambda: {"dag": FakeTask(), "run_id": "run_1", "reason": "x"}, call),
            "kill_switch/run_1/callback",
        ),
    ],
    ids=["task", "deadline", "dag without a task"],
)
def test_the_report_folder_of_airflows_configuration_is_one(
    way: Way, folder: str, tmp_path: Path, seed: Seed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__SMSCANCEL__REPORT_FOLDER", str(tmp_path))
    ids = seed(101)
    notifier = CancelMessageNotifier(sms_conn_id="sms", message_ids=ids)
    if way.call is call:
        notifier.notify(way.context())
    else:
        asyncio.run(notifier.async_notify(way.context()))
    assert final_outcomes(tmp_path / folder) == dict.fromkeys(ids, "cancelled")


def test_mapped_tasks_may_share_a_folder(tmp_path: Path, seed: Seed, told: Told) -> None:
    for index in range(2):
        call(of_task(map_index=index), message_ids=seed(2), report_path=str(tmp_path))
    assert len(list(tmp_path.glob("summary-*"))) == 2
    assert len(final_outcomes(tmp_path)) == 4


# -- parameters ---------------------------------------------------------------------------------------------------------


@each_way
def test_templates_are_rendered_and_the_runs_id_is_always_there(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    ids = seed(3)
    (tmp_path / "run_1.csv").write_text("\n".join(["message_id", *ids]))
    way.call(
        way.context(),
        sms_conn_id="{{ 'sms' }}",
        manifest=str(tmp_path) + "/{{ run_id }}.csv",
        report_path=str(tmp_path) + "/report of {{ run_id }}",
        campaign="of {{ run_id }}",
        max_messages="{{ 1 + 2 }}",
    )
    assert states(sandbox, ids) == {"cancelled": 3}
    assert len(final_outcomes(tmp_path / "report of run_1")) == 3
    assert told[-1][1].startswith("Campaign 'of run_1': all 3 ")


@each_way
def test_a_query_gives_the_messages(
    way: Way, tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = seed(3)
    with contextlib.closing(sqlite3.connect(tmp_path / "db")) as database, database:
        database.execute("create table messages (message_id text, run text)")
        database.executemany("insert into messages values (?, 'run_1')", [(each,) for each in ids])
    monkeypatch.setenv("AIRFLOW_CONN_CAMPAIGNS", f"sqlite:///{tmp_path}/db")
    way.call(
        way.context(),
        sql="select message_id from messages where run = ?",
        sql_conn_id="campaigns",
        parameters=["{{ run_id }}"],
    )
    assert states(sandbox, ids) == {"cancelled": 3}


@each_way
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        pytest.param({}, "give one of message_ids, manifest, sql", id="no source"),
        pytest.param({"message_ids": ["a1"], "manifest": "/a.csv"}, "only one of", id="two sources"),
        pytest.param({"message_ids": "{{ none }}"}, "'None'", id="a source that is None"),
        pytest.param({"message_ids": []}, "no message", id="no message"),
        pytest.param({"message_ids": ["a1", "b2"], "max_messages": 1}, "max_messages", id="too many"),
        pytest.param({"message_ids": ["a b"]}, "None of the 1 ids", id="nothing well-formed"),
        pytest.param({"message_ids": ["a1"], "sms_conn_id": " "}, "sms_conn_id is empty", id="no connection"),
        pytest.param(
            {"message_ids": ["a1"], "report_path": "r"}, "report_path must be", id="a relative path"
        ),
        pytest.param({"message_ids": ["a1"], "deadline_s": -1}, "deadline_s must be", id="negative time"),
        pytest.param({"message_ids": ["a1"], "requests_per_second": 0}, "requests_per_second", id="no rate"),
        pytest.param({"message_ids": ["a1"], "id_type": "x"}, "id_type must be", id="id_type"),
    ],
)
def test_wrong_input_is_an_error_before_anything_is_sent(
    way: Way, parameters: Row, said: str, sandbox: SandboxServer, told: Told
) -> None:
    with pytest.raises(AirflowFailException, match="Nothing was sent") as caught:
        way.call(way.context(), **parameters)
    assert said in str(caught.value)
    assert requests_so_far(sandbox) == 0


def test_a_list_that_can_not_be_read_now_is_an_error_before_anything_is_sent(
    sandbox: SandboxServer, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise SourceUnavailable("the store is away")

    monkeypatch.setattr(campaign_source, "read_manifest", unavailable)
    with pytest.raises(AirflowException, match=r"the store is away\. Nothing was sent"):
        call(of_task(), manifest="/campaign.csv")
    assert requests_so_far(sandbox) == 0


def test_a_parameter_that_does_not_exist_is_an_error_when_the_dag_is_parsed() -> None:
    with pytest.raises(TypeError, match="repport_path"):
        CancelMessageNotifier(sms_conn_id="sms", repport_path="/r")


# -- as Airflow runs the callback of a deadline -------------------------------------------------------------------------


@DEADLINES
def test_the_triggerers_own_trigger_runs_it(
    tmp_path: Path, sandbox: SandboxServer, seed: Seed, told: Told
) -> None:
    from airflow.triggers.callback import CallbackTrigger

    ids = seed(120)
    kwargs = {
        "sms_conn_id": "sms",
        "message_ids": ids,
        "report_path": f"{tmp_path}/{{{{ run_id }}}}",
        "deadline_s": None,
        "context": of_deadline(),
    }

    async def run() -> list[Row]:
        return [event.payload async for event in CallbackTrigger(PATH, kwargs).run()]

    assert [payload["state"] for payload in asyncio.run(run())] == ["running", "success"]
    assert final_outcomes(tmp_path / "run_1") == dict.fromkeys(ids, "cancelled")


@DEADLINES
def test_wrong_input_makes_the_deadlines_callback_a_failed_one(sandbox: SandboxServer) -> None:
    from airflow.triggers.callback import CallbackTrigger

    async def run() -> list[Row]:
        kwargs = {"sms_conn_id": "sms", "message_ids": [], "context": of_deadline()}
        return [event.payload async for event in CallbackTrigger(PATH, kwargs).run()]

    last = asyncio.run(run())[-1]
    assert last["state"] == "failed"
    assert "There is no message to cancel. Nothing was sent." in last["body"]


@since("3.3", "executors that run callbacks")
def test_an_executor_runs_it(tmp_path: Path, seed: Seed, told: Told) -> None:
    import structlog
    from airflow.sdk.execution_time.callback_supervisor import execute_callback

    ids = seed(3)
    kwargs = {
        "sms_conn_id": "sms",
        "message_ids": ids,
        "report_path": str(tmp_path) + "/{{ run_id }}",
        "context": of_deadline(),
    }
    assert execute_callback(PATH, kwargs, "dag.py", None, structlog.get_logger()) == (True, None)
    assert final_outcomes(tmp_path / "run_1") == dict.fromkeys(ids, "cancelled")


def test_the_triggerers_loop_goes_on_while_the_list_is_read(
    sandbox: SandboxServer, seed: Seed, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, go_on = starting.read_campaign, threading.Event()

    def slowly(*arguments: Any, **parameters: Any) -> Any:
        assert go_on.wait(20)
        return read(*arguments, **parameters)

    monkeypatch.setattr(starting, "read_campaign", slowly)
    ids = seed(2)

    async def run() -> None:
        notifier = CancelMessageNotifier(sms_conn_id="sms", message_ids=ids, context=of_deadline())
        running = asyncio.ensure_future(notifier.async_notify(notifier.context))
        await asyncio.sleep(0.01)  # comes back only if the loop is not held up by the reading
        go_on.set()
        await running

    asyncio.run(run())
    assert states(sandbox, ids) == {"cancelled": 2}


def test_what_the_triggerer_imports_in_its_loop_is_light() -> None:
    heavy = (
        "aiohttp",
        "airflow_provider_smscancel.campaigns.cancel_job",
        "airflow_provider_smscancel.operators.cancel_message",
    )
    code = (
        "import json, sys, airflow_provider_smscancel.notifications.cancel_message;"
        f"print(json.dumps(sorted(set({heavy!r}) & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
