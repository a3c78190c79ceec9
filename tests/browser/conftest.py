"""A browser for all tests here, and a picture of what it showed when a test fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.airflow_stack import AirflowStack
from support.browsing import chromium, open_page
from support.require import require_program


# Not for the whole session: as long as it is open, its event loop counts as running in the thread of all tests.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(require_program("chromium")) as running:
        yield running


@pytest.fixture
def page(browser: Browser, airflow: AirflowStack, tmp_path: Path) -> Iterator[Page]:  # its picture goes there
    with open_page(browser, airflow.url, viewport={"width": 1280, "height": 1000}) as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a picture of the page while it is still open."""
    report = yield
    page = item.funcargs.get("page")
    if report.failed and report.when == "call" and isinstance(page, Page):
        picture = item.funcargs["tmp_path"] / "browser.png"
        page.screenshot(path=picture, full_page=True)
        report.sections.append(("browser", f"It showed {page.url}; a picture of it is {picture}"))
    return report
