"""Every way through the operator, the notifier and the hooks in a real Airflow, with planted credentials, numbers and texts."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import DAG, Asset, BaseHook, task

from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator
from torture.planted_values import DEBUG_LINE, LICENCE_KEY, TEXT, number_at

log = logging.getLogger(__name__)

ANY_TIME: dict[str, Any] = {
    "schedule": None,
    "start_date": datetime(2024, 1, 1, tzinfo=UTC),
    "params": {"manifests": {}, "campaign": "", "report": ""},
}
GOOD = ("planted_rest", "planted_http", "planted_soap")
BAD = ("wrong_http", "closed_rest", "silent_http", "echo_rest", "echo_http", "echo_esendex")


def campaign(conn_id: str, name: str) -> dict[str, Any]:
    """Describe a campaign through a connection."""
    gateway = "esendex" if conn_id.endswith(("esendex", "soap")) else "clickatell"
    return {
        "sms_conn_id": conn_id,
        "manifest": f"{{{{ params.manifests['{gateway}'] }}}}",
        "campaign": "{{ params.campaign }}",
        "report_path": f"{{{{ params.report }}}}/{name}-{conn_id}",
    }


def cancel(conn_id: str, name: str = "plain", **options: Any) -> None:
    """Add a task that cancels one."""
    CancelMessageOperator(
        task_id=f"{name}_{conn_id}",
        **{"give_up_after": timedelta(seconds=1), **campaign(conn_id, name), **options},
    )


with DAG("planted_operators", **ANY_TIME) as operators:
    for conn_id in GOOD:
        cancel(conn_id, outlets=[Asset("planted", uri="campaign://planted")])
    for conn_id in BAD:
        cancel(conn_id)
    for conn_id in ("planted_http", "echo_http"):
        cancel(conn_id, "deferred", deferrable=True)
    for conn_id in ("planted_esendex", "wrong_esendex", "echo_esendex"):
        cancel(conn_id, "dry", dry_run=True)
    cancel("echo_rest", "cut_off", execution_timeout=timedelta(seconds=3), give_up_after=timedelta(minutes=1))
    cancel("malformed")
    cancel("saved_in_the_form")
    cancel("planted_rest", "queried", manifest=None, sql="SELECT 1", sql_conn_id="database")
planted_operators = enable_lineage(operators)

with DAG("planted_killed", **ANY_TIME):
    cancel("planted_http", "killed", requests_per_second=0.2)

with DAG("planted_hooks", **ANY_TIME):

    @task(on_failure_callback=CancelMessageNotifier(**campaign("planted_http", "notified"), deadline_s=3))
    def send(conn_id: str) -> Any:
        """Send, and return what came of it, as people do: or fail with what the hook says."""
        log.debug(DEBUG_LINE)
        hook: Any = BaseHook.get_hook(conn_id)
        return hook.send_message(
            [number_at(conn_id)], TEXT, scheduled_at=datetime.now(UTC) + timedelta(days=1)
        )

    @task
    def use_every_method(conn_id: str) -> list[str]:
        """Use what else there is, and log what goes wrong."""
        hook: Any = BaseHook.get_hook(conn_id)
        number = number_at(conn_id)
        ways = {
            "balance": lambda: hook.get_balance(),
            "all": lambda: hook.cancel_all_messages(confirm_last_four=LICENCE_KEY[-4:]),
            "status": lambda: hook.get_message_status("a" * 32),
            "stop": lambda: hook.cancel_message(f"+{number}"),
            "stop many": lambda: list(hook.cancel_messages([f"+{number}", "a" * 32], deadline=0.5)),
            "test": hook.test_connection,
            "bad number": lambda: hook.send_message(f"{number}x", TEXT),
            "naive": lambda: hook.send_message(number, TEXT, scheduled_at=datetime.now()),  # noqa: DTZ005 - a mistake
        }
        found = []
        for name, way in ways.items():
            try:
                found.append(f"{name}: {way()!r}")
            except Exception:
                log.exception("%s failed", name)
        return found

    for conn_id in ("planted_esendex", "wrong_http", "echo_esendex"):
        send.override(task_id=f"send_{conn_id}")(conn_id)
        use_every_method.override(task_id=f"use_{conn_id}")(conn_id)
