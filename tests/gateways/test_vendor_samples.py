"""The vendors' own sample programs, pointed at the sandbox, get the answers that their pages show.

Only the host and the placeholders are replaced; ``samples/README.md`` tells where the samples come from.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
import xmltodict
from support.require import lacking, require_library, require_program

from airflow_provider_smscancel import sandbox as credentials
from airflow_provider_smscancel.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).with_name("samples")
VENDOR_HOSTS = ("https://api.clickatell.com", "https://messaging.esendex.us")

REST_ID = "360586640fe9846954897dffe6c13dfc"
HTTP_ID = "f6b9af2a2c9e5b18ee2d257e3def5d66"
ESENDEX_ID = "1627aea5-8e0a-4371-9022-9b504344e724"
TRUE_XML = '<boolean xmlns="http://schemas.microsoft.com/2003/10/Serialization/">true</boolean>'
ZERO_GUID = "00000000-0000-0000-0000-000000000000"

# The first id that Esendex gives out with these seeds begins with a digit and with a letter.
SEED_OF_A_DIGIT, SEED_OF_A_LETTER = 0, 5

RUNNERS = {
    "sh": ("bash", "sample.sh"),
    "py": (sys.executable, "sample.py"),
    "php": ("php", "sample.php"),
    "js": ("node", "sample.mjs"),
    "rb": ("ruby", "sample.rb"),
    "java": ("java", "CancelMessage.java"),
}

REST_PAGE = {
    "data": {
        "messageStatus": "006",
        "description": "User cancelled message delivery",
        "apiMessageId": REST_ID,
    }
}


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(seed=SEED_OF_A_DIGIT) as running:
        yield running


def schedule(sandbox: SandboxServer, gateway: str, message_id: str) -> None:
    leaves_at = datetime.now(UTC) + timedelta(days=1)
    sandbox.state.add(gateway, "27999000001", message_id=message_id, scheduled_at=leaves_at.timestamp())


def state_of(sandbox: SandboxServer, gateway: str, message_id: str) -> str:
    message = sandbox.state.find(gateway, message_id)
    assert message is not None
    return message.phase(sandbox.state.now()).value


def skip_without(language: str, needs: str) -> None:
    """Skip when the interpreter, or what the sample needs beside it, is not on this machine."""
    program = RUNNERS[language][0]
    require_program(program)
    if language == "py" and needs:
        require_library(needs)
    if language == "sh":
        require_program(needs)
    if language == "php" and needs:
        modules = subprocess.run(["php", "-m"], capture_output=True, text=True, timeout=60).stdout.split()
        if needs not in modules:
            lacking(f"the module {needs!r} of the interpreter 'php'")


def run(
    name: str, sandbox: SandboxServer, folder: Path, replacements: dict[str, str], needs: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a sample with the host and the placeholders replaced."""
    language = name.rpartition(".")[2]
    skip_without(language, needs)
    text = (SAMPLES / f"{name}.sample").read_text()
    for placeholder, value in replacements.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    for host in VENDOR_HOSTS:
        text = text.replace(host, sandbox.url)
    assert "https://" not in text
    program, file_name = RUNNERS[language]
    (folder / file_name).write_text(text)
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return subprocess.run(
        [program, file_name], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "replacements", "needs"),
    [
        (
            "clickatell_rest_stop.sh",
            {'msgId=""': f'msgId="{REST_ID}"', 'authToken=""': f'authToken="{credentials.CLICKATELL_TOKEN}"'},
            "curl",
        ),
        (
            "clickatell_rest_stop.py",
            {
                'msgId = ""': f'msgId = "{REST_ID}"',
                'authToken = ""': f'authToken = "{credentials.CLICKATELL_TOKEN}"',
            },
            "httplib2",
        ),
        (
            "clickatell_rest_stop.php",
            {"<api message ID>": REST_ID, "<place auth token here>": credentials.CLICKATELL_TOKEN},
            "curl",
        ),
    ],
)
def test_clickatells_rest_samples_stop_a_message(
    sandbox: SandboxServer, tmp_path: Path, name: str, replacements: dict[str, str], needs: str
) -> None:
    schedule(sandbox, credentials.CLICKATELL, REST_ID)
    assert json.loads(output_of(run(name, sandbox, tmp_path, replacements, needs))) == REST_PAGE
    assert state_of(sandbox, credentials.CLICKATELL, REST_ID) == "cancelled"


def test_clickatells_page_of_raw_requests_is_answered_as_shown(sandbox: SandboxServer) -> None:
    headers = {"X-Version": "1", "Authorization": f"Bearer {credentials.CLICKATELL_TOKEN}"}
    url = f"{sandbox.url}/rest/message/{REST_ID}"
    schedule(sandbox, credentials.CLICKATELL, REST_ID)
    in_json = requests.delete(url, headers={**headers, "Accept": "application/json"}, timeout=10)
    assert (in_json.status_code, in_json.headers["Content-Type"]) == (200, "application/json")
    assert in_json.json() == REST_PAGE
    in_xml = requests.delete(url, headers={**headers, "Accept": "application/xml"}, timeout=10)
    assert (in_xml.status_code, in_xml.headers["Content-Type"]) == (200, "application/xml")
    # The page shows another id in its XML answer than in its request: a slip, in every copy of it.
    assert xmltodict.parse(in_xml.content) == {"response": REST_PAGE}


def http_replacements(language: str, command: str, password: str) -> dict[str, str]:
    """Fill in the placeholders; most samples of the page ask for a password as the API id, too."""
    replacements = {"place username here": credentials.CLICKATELL_USER}
    if command == "delmsg":
        replacements["place message ID here"] = HTTP_ID
    api_id = credentials.CLICKATELL_API_ID
    if language == "php":
        api_id_placeholder = "place api_id here" if command == "delmsg" else "place password here"
        replacements[f'$api_id   = urlencode("{api_id_placeholder}")'] = f'$api_id = urlencode("{api_id}")'
    elif language == "py":
        replacements['"api_id": "place password here"'] = f'"api_id": "{api_id}"'
    else:
        replacements['api_id="place password here"'] = f'api_id="{api_id}"'
    return {**replacements, "place password here": password}


HTTP_LANGUAGES = [("sh", "curl"), ("py", ""), ("php", "")]


@pytest.mark.parametrize(("language", "needs"), HTTP_LANGUAGES)
def test_clickatells_delmsg_samples_stop_a_message(
    sandbox: SandboxServer, tmp_path: Path, language: str, needs: str
) -> None:
    schedule(sandbox, credentials.CLICKATELL, HTTP_ID)
    replacements = http_replacements(language, "delmsg", credentials.CLICKATELL_PASSWORD)
    done = run(f"clickatell_http_delmsg.{language}", sandbox, tmp_path, replacements, needs)
    assert output_of(done) == f"ID: {HTTP_ID} Status: 006"
    assert state_of(sandbox, credentials.CLICKATELL, HTTP_ID) == "cancelled"


@pytest.mark.parametrize(("language", "needs"), HTTP_LANGUAGES)
def test_clickatells_delmsg_samples_show_the_error_of_the_page(
    sandbox: SandboxServer, tmp_path: Path, language: str, needs: str
) -> None:
    schedule(sandbox, credentials.CLICKATELL, HTTP_ID)
    replacements = http_replacements(language, "delmsg", "wrong")
    done = run(f"clickatell_http_delmsg.{language}", sandbox, tmp_path, replacements, needs)
    assert output_of(done) == "ERR: 001, Authentication failed"
    assert state_of(sandbox, credentials.CLICKATELL, HTTP_ID) == "scheduled"


@pytest.mark.parametrize(("language", "needs"), HTTP_LANGUAGES)
def test_clickatells_auth_samples_open_a_session(
    sandbox: SandboxServer, tmp_path: Path, language: str, needs: str
) -> None:
    replacements = http_replacements(language, "auth", credentials.CLICKATELL_PASSWORD)
    done = run(f"clickatell_http_auth.{language}", sandbox, tmp_path, replacements, needs)
    match = re.fullmatch("OK: ([0-9a-f]{32})", output_of(done))
    assert match is not None
    assert sandbox.state.use_session(match[1])


@pytest.mark.parametrize(
    ("name", "placeholder", "needs", "shown"),
    [
        (
            "esendex_cancelmessage.java",
            "MESSAGEID OF MESSAGE YOU WANT TO CANCEL",
            "",
            f"**** Response ******\n{TRUE_XML}",
        ),
        # Unless asked to return the answer, curl prints it; print_r then prints that it succeeded: 1.
        ("esendex_cancelmessage.php", "(Message ID)", "curl", "true1"),
    ],
)
def test_esendexs_samples_that_cancel_by_get(
    sandbox: SandboxServer, tmp_path: Path, name: str, placeholder: str, needs: str, shown: str
) -> None:
    schedule(sandbox, credentials.ESENDEX, ESENDEX_ID)
    assert output_of(run(name, sandbox, tmp_path, {placeholder: ESENDEX_ID}, needs)) == shown
    assert state_of(sandbox, credentials.ESENDEX, ESENDEX_ID) == "cancelled"


@pytest.mark.parametrize(
    ("language", "needs", "shown"), [("js", "", "true"), ("py", "httpx", "True"), ("rb", "", "true")]
)
def test_esendexs_samples_that_schedule_a_message_and_cancel_it(
    sandbox: SandboxServer, tmp_path: Path, language: str, needs: str, shown: str
) -> None:
    # Elsewhere in these samples the all-zero GUID is no placeholder: a send that failed is recognised by it.
    member = '"LicenseKey": "' if language == "py" else "'LicenseKey': '"
    license_key = {member + ZERO_GUID: member + credentials.ESENDEX_LICENSE_KEY}
    done = run(f"esendex_cancelmessage.{language}", sandbox, tmp_path, license_key, needs)
    assert output_of(done) == shown
    (message,) = sandbox.state.messages()
    assert message.id[0].isdigit()
    assert message.phase(sandbox.state.now()).value == "cancelled"
    assert message.scheduled_at == 9999999999.999


def test_esendexs_javascript_sample_fails_on_an_id_that_begins_with_a_letter(tmp_path: Path) -> None:
    with SandboxServer(seed=SEED_OF_A_LETTER) as sandbox:
        replacements = {ZERO_GUID: credentials.ESENDEX_LICENSE_KEY}
        done = run("esendex_cancelmessage.js", sandbox, tmp_path, replacements)
        (message,) = sandbox.state.messages()
        assert message.id[0].isalpha()
        assert "SyntaxError" in done.stderr
        assert message.phase(sandbox.state.now()).value == "scheduled"


def test_esendexs_page_of_raw_requests_is_answered_as_shown(sandbox: SandboxServer) -> None:
    url = f"{sandbox.url}/messaging.svc/CancelMessage"
    schedule(sandbox, credentials.ESENDEX, ESENDEX_ID)
    in_json = requests.post(
        url,
        data=f'"{ESENDEX_ID}"',
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        timeout=10,
    )
    assert in_json.text == "true"
    sandbox.state.reset()
    schedule(sandbox, credentials.ESENDEX, ESENDEX_ID)
    in_xml = requests.post(
        url,
        data=f'<guid xmlns="http://schemas.microsoft.com/2003/10/Serialization/">{ESENDEX_ID}</guid>',
        headers={"Content-Type": "application/xml"},
        timeout=10,
    )
    assert (
        in_xml.text == '<boolean xmlns="http://schemas.microsoft.com/2003/10/Serialization/">true</boolean>'
    )
