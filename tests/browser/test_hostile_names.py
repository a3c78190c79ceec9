"""Names that hold markup, and templates that came as data, on the pages of a real Airflow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page
from support.airflow_stack import AirflowStack
from support.sandbox_process import SandboxProcess

from torture.hostile_pages import look

pytestmark = pytest.mark.system


def test_markup_in_names_is_shown_as_text_and_a_template_in_them_is_not_rendered(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess
) -> None:
    row = look(page, airflow, sandbox)
    assert row.held, row
