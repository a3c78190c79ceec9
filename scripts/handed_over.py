"""Says what a run hands over: what commands, operators and the trigger tell, and with which status commands end.

Not read from the code: a small campaign is cancelled at the sandbox. ``public_api.py`` puts it into ``docs/api.md``.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer

PACKAGE = "airflow_provider_smscancel"
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def indented(texts: Iterator[str]) -> Iterator[str]:
    """Put texts below the one before."""
    return (f"    {text}" for text in texts)


class Task:
    """Stands for the running task instance, and keeps what is pushed."""

    try_number = 1
    map_index = -1
    dag_id = task_id = run_id = "one"

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom."""
        self.xcoms[key] = value


def results() -> Iterator[str]:
    """Say the keys of everything that comes of a run: cancel, look and dry-run at the sandbox."""
    server: type[SandboxServer] = import_module(f"{PACKAGE}.sandbox.server").SandboxServer
    with server() as sandbox, tempfile.TemporaryDirectory() as folder:
        token = import_module(f"{PACKAGE}.sandbox").CLICKATELL_TOKEN
        connection = {"conn_type": "clickatell", "host": sandbox.url, "password": token}
        os.environ["AIRFLOW_CONN_SANDBOX"] = json.dumps(connection)
        yield from told_by_commands(sandbox.url)
        control = import_module(f"{PACKAGE}.sandbox.control")
        for route in control.routes(sandbox.state):
            yield f"sandbox: {' '.join(sorted(route.methods - {'HEAD'}))} /_sandbox{route.path}"
        yield from told_by_sandbox(sandbox.url)
        yield from cancelled(Path(folder))
        for name, parameters in (
            ("operators.cancel_message.CancelMessageOperator", {"dry_run": True}),
            ("operators.look_at_campaign.LookAtCampaignOperator", {}),
        ):
            told, _ = run(name, **parameters)
            yield f"XComs of {name.rpartition('.')[2]} {'(dry_run)' if parameters else ''}".rstrip()
            yield from indented(keys(told))


def told_by_commands(url: str) -> Iterator[str]:
    """Say the keys of what each command writes with ``--output json``, and with which status it ends when all is well, or wrong."""
    order = json.dumps([{"gateway": "clickatell", "id": "a" * 32}]).encode()
    DIRECTLY.open(f"{url}/_sandbox/messages", order).close()
    connected = ("--conn-id", "sandbox")
    one = (*connected, "--id", "a" * 32)
    with tempfile.TemporaryDirectory() as folder:
        for arguments in (
            ("check", *connected),
            ("status", *one),
            ("cancel", *one, "--dry-run"),
            ("cancel", *one, "--yes"),
            ("files",),
            ("files", "--copy-dags-to", folder),
        ):
            status, told = command(*arguments, "--output", "json")
            flags = [each for each in arguments if each in ("--dry-run", "--copy-dags-to")]
            yield f"{' '.join([arguments[0], *flags])} --output json: {', '.join(json.loads(told))}; exit status {status}"
            if messages := json.loads(told).get("messages"):
                yield f"    messages: {', '.join(messages[0])}"
    another = ("cancel", *connected, "--yes", "--id", "b" * 32)
    yield f"cancel of a message that is not known: exit status {command(*another)[0]}"
    yield f"cancel of more messages than are allowed: exit status {command(*another, '--max-messages', '0')[0]}"


def command(*arguments: str) -> tuple[int, str]:
    """Run a command. Returns its exit status, and what it wrote to standard output."""
    said = io.StringIO()
    status: Any = None
    with contextlib.redirect_stdout(said):
        try:
            import_module(f"{PACKAGE}.__main__").main([*arguments])
        except SystemExit as ended:
            status = ended.code
    return int(status), said.getvalue()


def told_by_sandbox(url: str) -> Iterator[str]:
    """Say the keys of what the sandbox says of messages and of requests."""
    for path in ("messages", "requests"):
        with DIRECTLY.open(f"{url}/_sandbox/{path}") as answer:
            told = json.loads(answer.readline())
        yield f"sandbox: /_sandbox/{path}: {', '.join(told.get('clickatell', told))}"


def run(name: str, **parameters: Any) -> tuple[dict[str, Any], Any]:
    """Execute an operator over one id that the sandbox does not know. Returns its XComs, and its trigger if it has deferred."""
    module, _, kind = name.rpartition(".")
    operator = getattr(import_module(f"{PACKAGE}.{module}"), kind)
    task = Task()
    errors = import_module(f"{PACKAGE}._airflow").AirflowException
    try:
        operator(task_id="one", sms_conn_id="sandbox", message_ids=["f" * 32], **parameters).execute(
            {"ti": task}
        )
    except errors:
        pass
    except BaseException as ended:  # it moved between Airflow's versions
        if type(ended).__name__ != "TaskDeferred":
            raise
        return task.xcoms, vars(ended)["trigger"]
    return task.xcoms, None


def cancelled(folder: Path) -> Iterator[str]:
    """Say what comes of a run that cancels, on the worker and in the triggerer: XComs, files, and the trigger's event."""
    name = "operators.cancel_message.CancelMessageOperator"
    yield "XComs of CancelMessageOperator"
    yield from indented(keys(run(name, report_path=str(folder / "worker"))[0]))
    _, trigger = run(name, report_path=str(folder / "triggerer"), deferrable=True)

    async def first() -> Any:
        return await anext(trigger.run())

    event = asyncio.run(first()).payload
    told = {
        _named(file.name): json.loads(file.read_text(encoding="utf-8").splitlines()[0])
        for file in folder.glob("*/*")
    }
    yield from (f"report: {file}: {', '.join(told[file])}" for file in sorted(told))
    yield f"event of CancelMessagesTrigger: {', '.join(event)}"


def _named(file: str) -> str:
    """Write down a file's name without what is drawn anew each time."""
    file = re.sub(r"-[0-9a-f]{8}", "-<owner>", file)
    file = re.sub(r"\.[0-9a-f]{8}-", ".<random>-", file)
    file = re.sub(r"-1-[0-9a-f]{4}-\d+\.", "-<try>-<writer>-<n>.", file)
    return re.sub(r"-1\.", "-<try>.", file)


def keys(xcoms: dict[str, Any]) -> Iterator[str]:
    """Say the keys of XComs, and of what is in them."""
    for name, value in sorted(xcoms.items()):
        first = value[0] if isinstance(value, list) and value else value
        yield f"{name}: {', '.join(first)}" if isinstance(first, dict) else f"{name}: {type(value).__name__}"
