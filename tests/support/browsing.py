"""Airflow's pages in a real browser: what a person does there, in a person's words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, Locator, Page, Response, expect, sync_playwright

WAIT_MS = 30_000
PRESS_AT_MOST = 5
# Chromium would look up its maker's hosts otherwise; as root it needs --no-sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """Run Chromium without a screen.

    :param program: where it is.
    """
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def open_page(browser: Browser, url: str, **options: object) -> Iterator[Page]:
    """Open a window of its own.

    :param url: of Airflow; pages are then named by their paths.
    :param options: of the window, such as its size.
    """
    context = browser.new_context(base_url=url, locale="en-GB", timezone_id="UTC", **options)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def open_connection_form(page: Page, conn_id: str, label: str) -> Locator:
    """Open the form for a new connection, and choose its type.

    :param label: the type's name in the form.
    :return: the form.
    """
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill(conn_id)
    form.get_by_role("combobox").first.click()
    page.keyboard.type(label)
    page.keyboard.press("Enter")
    expect(form.get_by_text("Base URL")).to_be_visible()
    return form


def press(page: Page, button: Locator, path: str) -> Response:
    """Press a button that sends something to Airflow.

    Its SQLite at times refuses to write while others do (Airflow then answers 500, and the form stays open): pressed again, as a
    person would.

    :param path: how the path that it is sent to ends.
    :return: the answer.
    """

    def is_it(answer: Response) -> bool:
        return answer.request.method != "GET" and answer.url.endswith(path)

    for _ in range(PRESS_AT_MOST):
        with page.expect_response(is_it) as answer:
            button.click()
        if answer.value.status != 500:
            break
    return answer.value


def save(page: Page, form: Locator) -> None:
    """Press Save, and wait until the form is gone."""
    press(page, form.get_by_role("button", name="Save"), "/connections")
    expect(form).to_be_hidden()


def press_test(page: Page, conn_id: str) -> tuple[bool, str]:
    """Press the Test button of a connection in the list.

    :return: whether the connection works, and what Airflow was told.
    """
    row = page.get_by_role("row").filter(has_text=conn_id)
    said = press(page, row.get_by_role("button", name="Test Connection"), "/connections/test").json()
    return bool(said.get("status")), str(said.get("message", said.get("detail")))


def shown_error(page: Page) -> Locator:
    """Find the notice of an error that Airflow shows for some seconds, such as why a test has failed."""
    return page.locator("[data-scope=toast][data-part=root][data-type=error]")


def open_trigger_form(page: Page, dag_id: str) -> Locator:
    """Open the form that a run is started from."""
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger Dag", exact=True).click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("Run Parameters")).to_be_visible()
    return form


def fill(form: Locator, **fields: str) -> None:
    """Fill fields of a trigger form, or of a connection's extra, by their names."""
    for name, value in fields.items():
        form.locator(f"[name=element_{name}]").fill(value)


def trigger_button(form: Locator) -> Locator:
    """Find the button that starts the run."""
    return form.get_by_test_id("trigger-dag-submit")


def switch_on(form: Locator, name: str) -> None:
    """Turn on a switch of a trigger form."""
    form.locator(f"[id='switch:element_{name}']").click()


def open_choice(form: Locator, label: str) -> None:
    """Open a drop-down of a form."""
    form.get_by_role("combobox", name=label, exact=True).click()


def press_trigger(page: Page, form: Locator) -> str:
    """Press Trigger, and return the id of the run."""
    answer = press(page, trigger_button(form), "/dagRuns")
    assert answer.ok, answer.text()
    return str(answer.json()["dag_run_id"])


def run_page(dag_id: str, run_id: str) -> str:
    """Name the page of a run."""
    return f"/dags/{dag_id}/runs/{run_id}"


def open_task(page: Page, dag_id: str, run_id: str, task_id: str) -> None:
    """Open a task the way a person does: one click in the list on the run's page."""
    page.goto(run_page(dag_id, run_id))
    page.get_by_role("table").get_by_role("link", name=task_id, exact=True).click()
    expect(page.get_by_role("heading", name=task_id)).to_be_visible()
