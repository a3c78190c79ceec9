"""Markup in whatever Airflow's pages show of a campaign, looked at in a real browser; and templates that came as data."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, Request, expect
from support.airflow_stack import AirflowStack
from support.browsing import chromium, open_connection_form, open_page, open_task, press_test, run_page, save
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from torture.plan import Plan, Row

DAG = "cancel_campaign"
CONNECTION = "sandbox_clickatell"
DAGS = Path(__file__).resolve().parent.parent / "tests" / "system" / "dags"
SHOWN = '<img src=x onerror="window.owned=1">'
MARKUP = (
    f"{SHOWN}<script>window.owned=1</script><svg onload=window.owned=1>"
    "[link](javascript:window.owned=1)![picture](http://127.0.0.1:9/seen.png)</textarea><b>bold</b>'\"&lt;"
)
TEMPLATE = "{{ conn.sandbox_clickatell.password }}"


def attack_pages(_plan: Plan) -> Row:
    """Start an Airflow and a browser, and look."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        return Row("markup in names, in a real browser", 0, "pages", 0, "there is no Chromium")
    with SandboxProcess("--latency", "0.01") as sandbox, tempfile.TemporaryDirectory() as home:
        connection = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
        environment = {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection)}
        with (
            AirflowStack(Path(home) / "airflow", DAGS, environment) as airflow,
            chromium(program) as browser,
            open_page(browser, airflow.url, viewport={"width": 1280, "height": 1000}) as page,
        ):
            return look(page, airflow, sandbox)


def look(page: Page, airflow: AirflowStack, sandbox: SandboxProcess) -> Row:
    """Name everything so that it would run, and look at every page that shows it."""
    found = _Found(page, airflow)
    first, *ids = sandbox.seed("clickatell", 4)
    common = {"connection": CONNECTION, "campaign": MARKUP}
    asked = airflow.trigger(DAG, {**common, "message_ids": "\n".join(ids)})
    missing = {"manifest": f"/tmp/{MARKUP.replace('/', '')}.csv", "cancel_at_once": True}  # noqa: S108 - it is not there
    failed = airflow.trigger(DAG, {**common, **missing})
    as_data = {"connection": CONNECTION, "message_ids": f"{first} {TEMPLATE}", "campaign": TEMPLATE}
    rendered = airflow.trigger(DAG, {**as_data, "cancel_at_once": True})

    for run_id in (failed, rendered):
        airflow.wait_for_run(DAG, run_id)
    open_task(page, DAG, failed, "summary")
    expect(page.get_by_text("NOTHING WAS CANCELLED").or_(page.get_by_text("NO COUNTS")).first).to_be_visible()
    found.note("summary of a failure", shows=SHOWN.replace("/", ""))
    for name in ("xcom", "rendered_templates", "details"):
        page.goto(f"{run_page(DAG, failed)}/tasks/cancel/{name}")
        expect(page.get_by_role("heading", name="cancel", exact=True)).to_be_visible()
        found.note(name, shows=SHOWN if name == "rendered_templates" else None)
    page.goto(f"{run_page(DAG, rendered)}/tasks/cancel/rendered_templates")
    expect(page.get_by_text(TEMPLATE).first).to_be_visible()
    found.note("rendered templates", shows=TEMPLATE)
    open_task(page, DAG, rendered, "summary")
    found.note("summary of one that named templates", shows=None)
    page.goto(run_page(DAG, asked))
    page.get_by_role("button", name="Required Actions").or_(
        page.get_by_role("link", name="Required Actions")
    ).first.click()
    expect(page.get_by_text("3 messages at Clickatell").first).to_be_visible()
    found.note("approval", shows=SHOWN)
    form = open_connection_form(page, "hostile_form", "Clickatell")
    for name, value in (("host", f"https://127.0.0.1/{MARKUP}"), ("port", "9"), ("password", "word")):
        form.locator(f"input[name={name}]").fill(value)
    save(page, form)
    press_test(page, "hostile_form")
    found.note("connections", shows=SHOWN)
    for task in ("how", "cancel", "summary"):
        if CLICKATELL_TOKEN in airflow.log(DAG, rendered, task, 1):
            found.wrong.append(f"log of {task}: a template that came as data was rendered")
    if sandbox.truth()[first]["state"] != "cancelled":
        found.wrong.append("the real id beside a template was not cancelled")
    return Row(
        "markup, links, pictures and templates in names, in a real browser",
        found.pages, "pages", len(found.wrong), "; ".join(found.wrong[:3]) or "nothing ran, nothing was fetched, all shown as text",
    )  # fmt: skip


class _Found:
    def __init__(self, page: Page, airflow: AirflowStack) -> None:
        self.wrong: list[str] = []
        self.pages = 0
        self._page = page
        self._own = (airflow.url, f"blob:{airflow.url}", "data:")
        page.on("dialog", lambda dialog: (self.wrong.append("a dialog"), dialog.dismiss())[1])
        page.on("request", self._note_request)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self._own):
            self.wrong.append(f"fetched {request.url[:80]}")

    def note(self, name: str, *, shows: str | None) -> None:
        self.pages += 1
        if self._page.evaluate("window.owned") is not None:
            self.wrong.append(f"{name}: it ran")
        try:
            wait_for(lambda: _compact(shows or "") in self._text(), "it is shown", within_s=10, every_s=0.2)
        except AssertionError:
            self.wrong.append(f"{name}: not shown as text")
        if CLICKATELL_TOKEN in self._text():
            self.wrong.append(f"{name}: a template that came as data was rendered")

    def _text(self) -> str:
        return _compact(self._page.locator("body").inner_text())


def _compact(text: str) -> str:
    # The pages that show code break long lines, and write blanks as those that do not break.
    return "".join(text.split())
