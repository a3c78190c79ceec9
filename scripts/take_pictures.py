"""Takes the pictures of the docs, from a real Airflow in a real browser, with the sandbox in the place of the gateway.

Needs Chromium (scripts/debian-packages.txt) and what the tests need. The campaign and its report lie in an imitation of S3, so
that no path of this machine is in a picture. Usage: ``take_pictures.py [FOLDER]``, by default docs/pictures.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402
from support.airflow_stack import AirflowStack  # noqa: E402
from support.browsing import (  # noqa: E402
    chromium,
    fill,
    open_connection_form,
    open_page,
    open_task,
    open_trigger_form,
    press_trigger,
    run_page,
)
from support.object_store import BUCKET, ObjectStore, s3_server  # noqa: E402
from support.sandbox_process import SandboxProcess  # noqa: E402

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN  # noqa: E402

DAG = "cancel_campaign"
MANIFEST = f"s3://aws_default@{BUCKET}/black-friday.csv"
MESSAGES, LEFT_ALREADY = 1200, 3
MARGIN = 16


def main() -> int:
    """Take them all."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    program = shutil.which("chromium")
    if program is None:
        print("Chromium is not on this machine: as root on Debian, scripts/debian_packages.py installs it.")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        s3_server() as url,
        contextlib.closing(ObjectStore(url)) as store,
        SandboxProcess("--latency", "0.05") as sandbox,
        chromium(program) as browser,
    ):
        store.put(MANIFEST.rpartition("/")[2], campaign(sandbox))
        gateway = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
        environment = {
            "AIRFLOW_CONN_CLICKATELL_DEFAULT": json.dumps(gateway),
            "AIRFLOW_CONN_AWS_DEFAULT": store.connection(),
            "AIRFLOW__SMSCANCEL__REPORT_FOLDER": f"s3://aws_default@{BUCKET}/reports",
        }
        dags = Path(home) / "dags"
        dags.mkdir()
        shutil.copy(ROOT / "dags" / f"{DAG}.py", dags)
        with AirflowStack(Path(home) / "airflow", dags, environment) as airflow:
            airflow.wait_for_dag(DAG)
            take(browser, airflow, folder)
    for picture in sorted(folder.glob("*.png")):
        print(
            f"{picture.relative_to(ROOT) if picture.is_relative_to(ROOT) else picture}: {picture.stat().st_size / 1000:.0f} kB"
        )
    return 0


def campaign(sandbox: SandboxProcess) -> bytes:
    """Schedule a campaign, of which some messages have left already, and return its manifest."""
    ids = sandbox.seed("clickatell", MESSAGES - LEFT_ALREADY)
    ids += sandbox.seed("clickatell", LEFT_ALREADY, state="sent")
    evening = (datetime.now(UTC) + timedelta(hours=6)).isoformat(timespec="minutes")
    text = io.StringIO()
    csv.writer(text).writerows([("message_id", "scheduled_at"), *((each, evening) for each in ids)])
    return text.getvalue().encode()


def take(browser: Browser, airflow: AirflowStack, folder: Path) -> None:
    """Walk through Airflow as a person does."""
    with open_page(browser, airflow.url, viewport={"width": 1100, "height": 1450}) as page:
        form = open_connection_form(page, "clickatell_default", "Clickatell")
        form.locator("input[name=password]").fill("an-auth-token-of-yours")
        form.locator("input[name=port]").fill("443")
        keep(page, form, folder / "connection.png")

        form = open_trigger_form(page, DAG)
        fill(form, manifest=MANIFEST, campaign="black friday")
        keep(page, form, folder / "trigger.png")
        run_id = press_trigger(page, form)

        page.set_viewport_size({"width": 1100, "height": 1000})
        page.goto(run_page(DAG, run_id))
        page.get_by_role("button", name="Required Actions").click()
        asked = page.get_by_role("dialog")
        approve = asked.get_by_role("button", name="Approve", exact=True)
        expect(approve).to_be_visible()
        keep(page, asked, folder / "approval.png")
        airflow.wait_until_left_alone(DAG, run_id, "approve")
        approve.click()
        airflow.wait_for_run(DAG, run_id, within_s=180)

        page.set_viewport_size({"width": 1280, "height": 1000})
        open_task(page, DAG, run_id, "summary")
        below = page.get_by_text("Task cancel failed").first
        expect(below).to_be_visible()
        box = below.bounding_box()
        assert box is not None
        page.screenshot(path=folder / "summary.png", clip={"x": 0, "y": 0, "width": 1280, "height": box["y"]})


def keep(page: Page, what: Locator, path: Path) -> None:
    """Take a picture of a part of the page, once it stands still."""
    what.evaluate("element => Promise.all(element.getAnimations({subtree: true}).map(each => each.finished))")
    box = what.bounding_box()
    assert box is not None
    size = page.viewport_size
    assert size is not None
    left, top = max(0, box["x"] - MARGIN), max(0, box["y"] - MARGIN)
    page.screenshot(
        path=path,
        clip={
            "x": left,
            "y": top,
            "width": min(box["width"] + 2 * MARGIN, size["width"] - left),
            "height": min(box["height"] + 2 * MARGIN, size["height"] - top),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
