"""Cancels through a gateway that this checkout does not have, in a process whose package is a copy with it.

Run as a program: reads an order as JSON from standard input, and writes what came of it to standard output.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import airflow_provider_smscancel
from airflow_provider_smscancel.__main__ import main as command_line
from airflow_provider_smscancel._airflow import AirflowException
from airflow_provider_smscancel.hooks.by_connection import hook_of
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from support.deferring import through_the_triggerer
from support.operating import FakeTask, final_outcomes

Row = dict[str, Any]


def cancelled(ids: list[str], folder: Path, *, deferrable: bool) -> Row:
    """Run one try of the operator, on the worker or through its trigger."""
    operator = CancelMessageOperator(
        task_id="cancel",
        sms_conn_id="acme_default",
        message_ids=ids,
        report_path=str(folder),
        deferrable=deferrable,
    )
    ti, error = FakeTask(task_id=folder.name), ""
    try:
        if deferrable:
            through_the_triggerer(operator, {"ti": ti})
        else:
            operator.execute({"ti": ti})
    except AirflowException as raised:
        error = str(raised)
    return {"summary": ti.xcoms["summary"], "error": error, "outcomes": final_outcomes(folder)}


def main() -> None:
    """Do what the order says."""
    order = json.load(sys.stdin)
    folder = Path(order["folder"])
    with contextlib.redirect_stdout(sys.stderr):  # what Airflow writes is no part of the answer
        hook = hook_of("acme_default")
        sent = hook.send_message(["15550100", "15550101"], "Hello")
        report: Row = {
            "package": airflow_provider_smscancel.__file__,
            "provider": airflow_provider_smscancel.get_provider_info(),
            "test": hook.test_connection(),
            "wrong key": hook_of("acme_wrong").test_connection(),
            "sent": [each.message_id for each in sent],
            "operator": cancelled(order["operator"], folder / "operator", deferrable=False),
            "trigger": cancelled(order["trigger"], folder / "trigger", deferrable=True),
        }
        try:
            command_line(["cancel", "--conn-id", "acme_default", "--yes", "--id", *order["command line"]])
        except SystemExit as ended:
            report["command line"] = ended.code
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
