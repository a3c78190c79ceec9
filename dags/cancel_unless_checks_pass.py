"""Schedules a campaign ahead of time, checks the data behind it, and cancels it unless the checks pass in time.

Messages that are scheduled at a gateway leave by themselves: to do nothing is to send. So everything that can go wrong between
here and the send time has to end in a cancellation.

- **The first line** is the task ``cancel``. It runs as soon as one of the tasks before it has failed, scheduling and checks alike.
  A check that takes too long is ended by its ``execution_timeout``, which makes it fail.
- **The second line** is the run's deadline alert (Airflow 3.1 and newer): if the run is not over by then, whatever it waits for, a
  worker that is gone or a slot that never comes, the triggerer cancels the campaign. Older versions have the first line only.

What the colours say:

| run | ``goes_out`` | ``cancel`` | ``all_known`` | |
| --- | --- | --- | --- | --- |
| green | green | pink (skipped) | green | the checks passed in time: the campaign goes out |
| red | orange (upstream failed) | green | green | the campaign does not go out: every message is stopped. See why a task failed |
| red | orange | green | red | **messages may be scheduled whose ids nobody knows**: read the log of ``all_known`` |
| red | orange | red or running | any | **the campaign is not all stopped**: read the log of ``cancel`` |
| red | red | pink | green | the checks passed too late: the deadline alert stops the campaign. Read its report |

An id that nobody knows is that of a message whose request was sent, while its answer was lost or not written down: the gateway
did not answer, or the task was killed. So ``schedule`` leaves a mark before each request and takes it away when the ids are
written down. ``all_known`` fails when it finds the mark.

So a run is green only when the campaign goes out. One that was cancelled in time is red as well: people wait for messages that will
not come, and somebody has to look. (A run in which only ``cancel`` came last would be green: Airflow goes by the last tasks.)

Trigger it with "Checks" set to fail, or to hang, to see it. To make it yours, put your own checks in place of the task
``check``: tasks that fail, and do not skip, when the campaign must not go out. The numbers are made of a range that reaches
nobody, which the United Kingdom reserves for drama.
"""

from __future__ import annotations

import csv
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, BaseHook, ObjectStoragePath, Param, task

from airflow_provider_smscancel.notifications.cancel_message import CancelMessageNotifier
from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

try:
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference
except ImportError:  # Airflow before 3.1 has no deadlines
    DeadlineAlert = None

# [START howto_operator_cancel_unless_checks_pass]
SMS_CONN_ID = "clickatell_default"
# To try it with, on one machine: a team names its bucket. Workers and the triggerer must reach it.
FOLDER = str(Path(tempfile.gettempdir()) / "smscancel-checked")

SENT_AFTER = timedelta(hours=2)
CHECKED_WITHIN = timedelta(minutes=20)
# From when the run is queued. What is left until the messages leave must be enough to stop them all.
CANCELLED_AFTER = timedelta(minutes=30)
MARGIN = timedelta(minutes=1)
RECIPIENTS_PER_REQUEST = 50

# The same for the operator and for the notifier. A deadline alert has no task to ask: paths are made of the run's id.
CAMPAIGN = {
    "sms_conn_id": SMS_CONN_ID,
    "manifest": FOLDER + "/{{ run_id }}/manifest.csv",
    "campaign": "checked {{ run_id }}",
    "report_path": FOLDER + "/{{ run_id }}/report",
}

deadline = {}
if DeadlineAlert is not None:
    # Made once here as well: a parameter that is misspelled is then found when the DAG is parsed, not when the alert is due.
    CancelMessageNotifier(**CAMPAIGN)
    deadline["deadline"] = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=CANCELLED_AFTER,
        # In the triggerer nothing ends a callback, so it gets all the time that it needs.
        callback=AsyncCallback(CancelMessageNotifier, kwargs={**CAMPAIGN, "deadline_s": None}),
    )


def write_down(rows: list[list[str]], folder: ObjectStoragePath) -> None:
    """Put a manifest of these rows in place of the one before. A kill leaves the one or the other, whole."""
    written = folder / "manifest.csv.new"
    with written.open("w") as file:
        csv.writer(file).writerows(rows)
    written.move(folder / "manifest.csv")


def fail_when_late(dag_run) -> None:
    """Fail when it is so late that the deadline alert may be cancelling the campaign by now."""
    if DeadlineAlert is not None and datetime.now(UTC) > dag_run.run_after + CANCELLED_AFTER - MARGIN:
        raise ValueError("The checks passed too late: the deadline alert cancels the campaign.")


with DAG(
    dag_id="cancel_unless_checks_pass",
    description="Schedule a campaign, and cancel it unless the checks of its data pass in time.",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["sms", "cancel"],
    params={
        "count": Param(100, type="integer", minimum=1, maximum=10_000, title="Messages"),
        "checks": Param("pass", enum=["pass", "fail", "hang"], title="Checks", description="What they do."),
    },
    **deadline,
) as dag:
    # A second try would schedule the campaign twice.
    @task(retries=0, execution_timeout=CHECKED_WITHIN)
    def schedule(params: dict | None = None, run_id: str | None = None) -> None:
        """Schedule the campaign, and write the ids down after each request: what fails half-way must be cancelled, too."""
        hook = BaseHook.get_hook(SMS_CONN_ID)
        scheduled_at = datetime.now(UTC) + SENT_AFTER
        numbers = [f"44770090{n:04d}" for n in range(params["count"])]
        folder = ObjectStoragePath(FOLDER) / run_id
        if (folder / "manifest.csv").exists():
            raise ValueError(
                "This run has scheduled messages before. To schedule the campaign anew, trigger a new run."
            )
        folder.mkdir(parents=True, exist_ok=True)
        rows = [["message_id", "scheduled_at"]]
        write_down(rows, folder)
        mark = folder / "unanswered"
        for start in range(0, len(numbers), RECIPIENTS_PER_REQUEST):
            mark.write_text("A request was sent whose ids are not in the manifest.")
            some = numbers[start : start + RECIPIENTS_PER_REQUEST]
            sent = hook.send_message(some, "Hello.", scheduled_at=scheduled_at)
            rows += [[one.message_id, scheduled_at.isoformat()] for one in sent if one.message_id]
            write_down(rows, folder)
            mark.unlink()

    @task(execution_timeout=CHECKED_WITHIN)
    def check(params: dict | None = None) -> None:
        """Stand for a team's own checks."""
        if params["checks"] == "hang":
            time.sleep(24 * 3600)
        if params["checks"] == "fail":
            raise ValueError("The data is wrong.")

    # Where the messages are is the gateway's to say: this run may have cancelled them before somebody cleared a task of it.
    look = CancelMessageOperator(task_id="look", dry_run=True, retries=2, **CAMPAIGN)

    @task(retries=0)
    def confirm(found: dict, dag_run=None) -> None:
        """Fail when a message is cancelled, or when it is too late."""
        if found["states"]["cancelled"]:
            raise ValueError(
                f"Messages are cancelled already: {found['states']}. Schedule the campaign anew."
            )
        fail_when_late(dag_run)

    @task(retries=0)
    def goes_out(dag_run=None) -> None:
        """Fail when this task got its slot too late. Else do nothing: the messages leave by themselves."""
        fail_when_late(dag_run)

    cancel = CancelMessageOperator(
        task_id="cancel",
        trigger_rule="one_failed",
        on_empty="succeed",  # nothing was scheduled
        retries=3,
        retry_delay=timedelta(seconds=10),
        priority_weight=10_000,
        weight_rule="absolute",
        **CAMPAIGN,
    )

    @task(trigger_rule="all_done", retries=0)
    def all_known(run_id: str | None = None) -> None:
        """Fail when messages may be scheduled whose ids were never written down: nothing here can cancel those."""
        mark = ObjectStoragePath(FOLDER) / run_id / "unanswered"
        if mark.exists():
            raise ValueError(
                f"Up to {RECIPIENTS_PER_REQUEST} messages may be scheduled whose ids nobody knows, unless the log of schedule says "
                "that nothing was sent: look for them at the gateway, and cancel them there or with cancel_campaign. "
                f"When that is done, delete {mark} and clear this task."
            )

    scheduled, checked, confirmed = schedule(), check(), confirm(look.output)
    scheduled >> checked >> look >> confirmed >> goes_out()
    [scheduled, checked, look, confirmed] >> cancel >> all_known()
# [END howto_operator_cancel_unless_checks_pass]
