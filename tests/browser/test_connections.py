"""The connection forms and their Test buttons, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from support.airflow_stack import AirflowStack
from support.browsing import fill, open_choice, open_connection_form, press_test, save, shown_error
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel.provider_info import CONNECTION_TYPES, ConnectionType
from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN, ESENDEX_LICENSE_KEY

pytestmark = pytest.mark.system
SECRETS = {"clickatell": CLICKATELL_TOKEN, "esendex": ESENDEX_LICENSE_KEY}
WRONG = {"clickatell": "another-token", "esendex": "00000000-0000-4000-8000-000000000000"}
every_type = pytest.mark.parametrize("kind", CONNECTION_TYPES.values(), ids=lambda kind: kind.name)


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


def add(page: Page, conn_id: str, kind: ConnectionType, **fields: str) -> None:
    """Add a connection through the form, as a person does."""
    form = open_connection_form(page, conn_id, kind.label)
    for name, value in fields.items():
        form.locator(f"input[name={name}]").fill(value)
    save(page, form)


@every_type
def test_the_form_asks_for_what_the_type_needs_and_for_nothing_else(page: Page, kind: ConnectionType) -> None:
    form = open_connection_form(page, "not_saved", kind.label)
    for name in ("host", "login", "password", "port", "schema"):
        field = form.locator(f"input[name={name}]")
        if name in kind.hidden_fields:
            expect(field).to_have_count(0)
        else:
            expect(field).to_have_attribute("placeholder", kind.placeholders[name])
    expect(form.locator("input[name=password]")).to_have_attribute("type", "password")
    for label in kind.relabeling.values():
        expect(form.get_by_text(label, exact=True)).to_be_visible()

    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for extra in kind.extra_fields:
        expect(form.get_by_text(extra.label, exact=True)).to_be_visible()
        expect(form.get_by_text(extra.help)).to_be_visible()
        field = form.locator(f"[name=element_{extra.name}]")
        if extra.kind in ("number", "integer"):
            expect(field).to_have_value(f"{extra.default:g}")
            expect(form.get_by_role("spinbutton").and_(field)).to_be_visible()
        elif extra.kind == "choice":
            open_choice(form, extra.label)
            for choice in extra.choices:
                expect(page.get_by_role("option", name=choice, exact=True)).to_be_visible()
            page.get_by_role("option", name=str(extra.default), exact=True).click()


@every_type
def test_a_connection_that_is_saved_in_the_form_passes_its_test_and_stops_a_campaign(
    page: Page, airflow: AirflowStack, sandbox: SandboxProcess, kind: ConnectionType
) -> None:
    add(
        page,
        f"form_{kind.name}",
        kind,
        host=sandbox.url,
        port=port_of(sandbox.url),
        password=SECRETS[kind.name],
    )
    assert press_test(page, f"form_{kind.name}") == (True, f"{kind.label} accepts the credentials.")

    ids = sandbox.seed(kind.name, 3)
    conf = {"connection": f"form_{kind.name}", "message_ids": "\n".join(ids), "cancel_at_once": True}
    run_id = airflow.trigger("cancel_campaign", conf)
    assert airflow.wait_for_run("cancel_campaign", run_id) == "success"
    record = sandbox.truth()
    assert {record[message_id]["state"] for message_id in ids} == {"cancelled"}


def test_clickatells_http_api_is_set_up_in_the_form(page: Page, sandbox: SandboxProcess) -> None:
    form = open_connection_form(page, "form_http", "Clickatell")
    entries = {
        "host": sandbox.url,
        "port": port_of(sandbox.url),
        "login": "sandbox",
        "password": "sandbox-password",
    }
    for name, value in entries.items():
        form.locator(f"input[name={name}]").fill(value)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    open_choice(form, "API")
    page.get_by_role("option", name="http", exact=True).click()
    fill(form, api_id="sandbox-api", requests_per_second="", timeout="")
    save(page, form)
    assert press_test(page, "form_http") == (True, "Clickatell accepts the credentials.")


@every_type
def test_wrong_credentials_are_told_in_words(
    page: Page, sandbox: SandboxProcess, kind: ConnectionType
) -> None:
    add(
        page,
        f"wrong_{kind.name}",
        kind,
        host=sandbox.url,
        port=port_of(sandbox.url),
        password=WRONG[kind.name],
    )
    assert not press_test(page, f"wrong_{kind.name}")[0]
    expect(shown_error(page)).to_contain_text(f"{kind.label} refuses the account")


@every_type
def test_a_host_that_is_not_there_is_told_in_words(page: Page, kind: ConnectionType) -> None:
    add(page, f"gone_{kind.name}", kind, host="http://127.0.0.1:9", port="9", password=SECRETS[kind.name])
    assert not press_test(page, f"gone_{kind.name}")[0]
    expect(shown_error(page)).to_contain_text("check host, port and firewall")


def test_esendex_without_a_licence_key_says_that_cancelling_works(
    page: Page, sandbox: SandboxProcess
) -> None:
    add(page, "keyless", CONNECTION_TYPES["esendex"], host=sandbox.url, port=port_of(sandbox.url))
    assert not press_test(page, "keyless")[0]
    expect(shown_error(page)).to_contain_text("Cancelling works without one")


def test_airflow_itself_refuses_to_test_a_connection_without_a_port(
    page: Page, sandbox: SandboxProcess
) -> None:
    """A defect of 3.3.1 and 3.3.2. Once this fails, it is mended: then the placeholder of the port and the docs may go as well."""
    add(page, "portless", CONNECTION_TYPES["clickatell"], host=sandbox.url, password=CLICKATELL_TOKEN)
    works, said = press_test(page, "portless")
    assert not works
    assert re.search("host or port to test differs", said)
    expect(shown_error(page)).to_contain_text("Bad Request")
