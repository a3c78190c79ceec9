"""The kill switch in a real browser: from its form through the approval to the summary."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect
from support.airflow_stack import AirflowStack
from support.browsing import (
    fill,
    open_task,
    open_trigger_form,
    press,
    press_trigger,
    run_page,
    switch_on,
    trigger_button,
)
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.system
DAG = "cancel_campaign"
NOTHING = "NOTHING WAS CANCELLED."


def trigger(page: Page, **fields: str) -> str:
    """Fill the form, press Trigger, and return the id of the run."""
    form = open_trigger_form(page, DAG)
    fill(form, connection="sandbox_clickatell", **fields)
    return press_trigger(page, form)


def answer(page: Page, airflow: AirflowStack, run_id: str, button: str, *says: str) -> None:
    """Open what the run asks for, check what it says, and press a button."""
    page.goto(run_page(DAG, run_id))
    page.get_by_role("button", name="Required Actions").or_(
        page.get_by_role("link", name="Required Actions")
    ).first.click()
    asked = page.get_by_role("dialog")
    for text in says:
        expect(asked).to_contain_text(text)
    airflow.wait_until_left_alone(DAG, run_id, "approve")  # nobody reads that fast
    press(page, asked.get_by_role("button", name=button, exact=True), "/hitlDetails")


def check_summary(page: Page, run_id: str, *says: str) -> None:
    """Read the summary, one click from the run's page."""
    open_task(page, DAG, run_id, "summary")
    for text in says:
        expect(page.get_by_text(text).first).to_be_visible()


def states(sandbox: SandboxProcess, ids: list[str]) -> set[str]:
    record = sandbox.truth()
    return {record[message_id]["state"] for message_id in ids}


@pytest.fixture(scope="module")
def unanswered(
    browser: Browser,
    airflow: AirflowStack,
    sandbox: SandboxProcess,  # without a browser, nothing is begun
) -> tuple[str, list[str]]:
    """A run whose approval nobody gives. It is begun first, and looked at last: its time limit is a minute."""
    ids = sandbox.seed("clickatell", 5)
    conf = {
        "connection": "sandbox_clickatell",
        "message_ids": "\n".join(ids),
        "approve_within_minutes": 1,
    }
    return airflow.trigger(DAG, conf), ids


@pytest.mark.usefixtures("unanswered")
def test_a_campaign_is_approved_and_cancelled(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    ids = sandbox.seed("clickatell", 250)
    run_id = trigger(page, message_ids="\n".join(ids), campaign="wrong price")
    answer(
        page,
        airflow,
        run_id,
        "Approve",
        "Cancel campaign wrong price?",
        "250 messages at Clickatell",
        "200 waiting: can be stopped",
        "within 15 min",
    )
    assert airflow.wait_for_run(DAG, run_id) == "success"
    assert states(sandbox, ids) == {"cancelled"}
    check_summary(page, run_id, "250 of 250 messages stopped", "No list of all messages was kept")


def test_one_message_too_late_makes_a_failed_run(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    ids, late = sandbox.seed("clickatell", 9), sandbox.seed("clickatell", 1, state="sent")
    form = open_trigger_form(page, DAG)
    # As people paste them: from a list in Python, with a comma and blanks at the end.
    fill(
        form,
        connection="sandbox_clickatell",
        message_ids=", ".join(f"'{each}'" for each in [*ids, *late]) + ",  \n",
    )
    switch_on(form, "cancel_at_once")
    run_id = press_trigger(page, form)
    assert airflow.wait_for_run(DAG, run_id) == "failed"
    assert states(sandbox, ids) == {"cancelled"}
    check_summary(page, run_id, "9 of 10 messages stopped, 1 NOT stopped", f"{late[0]} (too_late)")


def test_a_rejection_is_a_failed_run_that_says_that_nothing_was_cancelled(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    ids = sandbox.seed("clickatell", 3)
    run_id = trigger(page, message_ids="\n".join(ids))
    answer(page, airflow, run_id, "Reject", "3 messages at Clickatell")
    assert airflow.wait_for_run(DAG, run_id) == "failed"
    assert states(sandbox, ids) == {"scheduled"}
    check_summary(page, run_id, NOTHING, "Task approve failed")


def test_a_mistake_in_the_form_is_told_in_the_summary(page: Page, airflow: AirflowStack) -> None:
    run_id = trigger(page, message_ids="")
    assert airflow.wait_for_run(DAG, run_id) == "failed"
    check_summary(page, run_id, NOTHING, "No messages to cancel: give one of message_ids, manifest")


def test_the_form_itself_refuses_a_run_without_a_connection(page: Page) -> None:
    form = open_trigger_form(page, DAG)
    fill(form, connection="")
    expect(trigger_button(form)).to_be_disabled()


def test_an_approval_that_nobody_gives_is_a_failed_run(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess, unanswered: tuple[str, list[str]]
) -> None:
    run_id, ids = unanswered
    assert airflow.wait_for_run(DAG, run_id, within_s=120) == "failed"
    assert states(sandbox, ids) == {"scheduled"}
    check_summary(page, run_id, NOTHING, "timeout")
