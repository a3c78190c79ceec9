"""Clickatell's HTTP API is served as strictly as its pages say: plain text, and 200 for every error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import requests

    from airflow_provider_smscancel.sandbox.server import SandboxServer

CREDENTIALS = {"user": "sandbox", "password": "sandbox-password", "api_id": "sandbox-api"}
UNKNOWN = "0123456789abcdef0123456789abcdef"

Run = Callable[..., str]
Seed = Callable[..., str]
Truth = Callable[[], dict[str, dict[str, Any]]]
MoveClock = Callable[[timedelta], datetime]


@pytest.fixture(params=["GET", "POST"])
def run(request: pytest.FixtureRequest, sandbox: SandboxServer, session: requests.Session) -> Run:
    """Run a command with valid credentials, or with those given, and return the text of the answer."""

    def command(name: str, credentials: dict[str, str] | None = None, **parameters: str) -> str:
        given = {**(CREDENTIALS if credentials is None else credentials), **parameters}
        url = f"{sandbox.url}/http/{name}"
        if request.param == "GET":
            answer = session.get(url, params=given, timeout=10)
        else:
            answer = session.post(url, data=given, timeout=10)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        return answer.text

    return command


def test_delmsg_stops_a_message_in_the_vendors_own_words(run: Run, seed: Seed, truth: Truth) -> None:
    message_id = seed("clickatell")
    assert run("delmsg", apimsgid=message_id) == f"ID: {message_id} Status: 006"
    assert truth()[message_id]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"user": ""}, "001"),
        ({"password": ""}, "001"),
        ({"user": "somebody"}, "002"),
        ({"password": "wrong"}, "001"),
        ({"api_id": "wrong"}, "108"),
        ({"api_id": ""}, "108"),
    ],
)
def test_each_credential_is_checked(
    run: Run, seed: Seed, truth: Truth, change: dict[str, str], code: str
) -> None:
    message_id = seed("clickatell")
    for name in ("auth", "delmsg", "querymsg", "getbalance", "sendmsg"):
        answer = run(name, {**CREDENTIALS, **change}, apimsgid=message_id)
        assert answer.startswith(f"ERR: {code}, ")
    assert truth()[message_id]["state"] == "scheduled"


def test_a_command_without_credentials_is_001(run: Run, seed: Seed) -> None:
    assert run("delmsg", {}, apimsgid=seed("clickatell")) == "ERR: 001, Authentication failed"


def test_a_session_stands_for_the_credentials(run: Run, seed: Seed) -> None:
    message_id = seed("clickatell")
    opened = run("auth")
    assert opened.startswith("OK: ")
    session_id = opened.removeprefix("OK: ")
    assert run("delmsg", {"session_id": session_id}, apimsgid=message_id).endswith("Status: 006")
    assert run("ping", {"session_id": session_id}) == opened


def test_a_session_ends_after_15_idle_minutes(run: Run, seed: Seed, move_clock: MoveClock) -> None:
    message_id = seed("clickatell")
    credentials = {"session_id": run("auth").removeprefix("OK: ")}
    for _ in range(2):
        move_clock(timedelta(minutes=14))
        assert run("querymsg", credentials, apimsgid=message_id).startswith("ID: ")
    move_clock(timedelta(minutes=15, seconds=1))
    assert run("querymsg", credentials, apimsgid=message_id).startswith("ERR: 003, ")


def test_an_unknown_session_is_003_and_none_005(run: Run) -> None:
    assert run("ping", {"session_id": UNKNOWN}).startswith("ERR: 003, ")
    assert run("ping", {"session_id": ""}).startswith("ERR: 005, ")
    assert run("ping", {}).startswith("ERR: 005, ")
    assert run("delmsg", {"session_id": ""}, apimsgid=UNKNOWN).startswith("ERR: 005, ")


def test_a_status_query_stops_nothing(run: Run, seed: Seed, truth: Truth) -> None:
    message_id = seed("clickatell", client_message_id="mine")
    assert run("querymsg", apimsgid=message_id) == f"ID: {message_id} Status: 011"
    assert run("querymsg", climsgid="mine") == f"ID: {message_id} Status: 011"
    assert truth()[message_id]["state"] == "scheduled"


def test_unknown_ids_are_told_apart(run: Run) -> None:
    assert run("delmsg", apimsgid=UNKNOWN).startswith("ERR: 103, ")
    assert run("delmsg", climsgid="nobody").startswith("ERR: 104, ")
    assert run("delmsg").startswith("ERR: 109, ")
    assert run("querymsg", apimsgid=UNKNOWN) == f"ID: {UNKNOWN} Status: 001"
    assert run("querymsg", climsgid="nobody").startswith("ERR: 104, ")
    assert run("querymsg").startswith("ERR: 109, ")


def test_a_client_id_is_compared_exactly_and_answered_with_the_gateways_own(run: Run, seed: Seed) -> None:
    message_id = seed("clickatell", client_message_id="Mine1")
    assert run("delmsg", climsgid="mine1").startswith("ERR: 104, ")
    assert run("delmsg", climsgid="Mine1") == f"ID: {message_id} Status: 006"


def test_a_shared_client_id_gets_a_line_for_each_message(run: Run, seed: Seed) -> None:
    first = seed("clickatell", client_message_id="twice")
    second = seed("clickatell", client_message_id="twice", state="sent", code="004")
    assert run("delmsg", climsgid="twice").splitlines() == [
        f"ID: {first} Status: 006",
        f"ID: {second} Status: 004",
    ]


@pytest.mark.parametrize(("state", "code"), [("sent", "003"), ("failed", "005"), ("cancelled", "006")])
def test_a_stop_that_comes_too_late_looks_like_a_success(
    run: Run, seed: Seed, truth: Truth, state: str, code: str
) -> None:
    message_id = seed("clickatell", state=state)
    assert run("delmsg", apimsgid=message_id) == f"ID: {message_id} Status: {code}"
    assert truth()[message_id]["state"] == state


def test_the_balance_is_a_line(run: Run) -> None:
    assert run("getbalance") == "Credit: 300.50"


def test_a_send_names_its_message(run: Run, truth: Truth) -> None:
    answer = run("sendmsg", to="27999000001", text="Hello", deliv_time="60", climsgid="c1")
    row = truth()[answer.removeprefix("ID: ")]
    assert (row["state"], row["to"], row["client_message_id"]) == ("scheduled", "27999000001", "c1")


def test_a_send_to_several_answers_a_line_for_each(run: Run) -> None:
    lines = run("sendmsg", to="27999000001,0799,0799000001", text="Hello").splitlines()
    assert lines[0].startswith("ID: ")
    assert lines[0].endswith(" To: 27999000001")
    assert lines[1] == "ERR: 105, Invalid destination address To: 0799"
    assert lines[2] == "ERR: 114, Cannot route message To: 0799000001"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"deliv_time": "10081"}, "120"),
        ({"deliv_time": "-1"}, "120"),
        ({"deliv_time": "soon"}, "120"),
        ({"scheduled_time": "32503680000"}, "120"),
        ({"climsgid": "with-hyphen"}, "101"),
        ({"climsgid": "a" * 33}, "101"),
        ({"to": ""}, "101"),
        ({"text": ""}, "101"),
    ],
)
def test_a_send_that_makes_no_sense_is_refused(
    run: Run, truth: Truth, parameters: dict[str, str], code: str
) -> None:
    assert run("sendmsg", **{"to": "27999000001", "text": "Hello", **parameters}).startswith(f"ERR: {code}, ")
    assert truth() == {}


def test_a_send_at_a_unix_time_schedules(run: Run, sandbox: SandboxServer, truth: Truth) -> None:
    moment = int(sandbox.state.now()) + 3600
    answer = run("sendmsg", to="27999000001", text="Hello", scheduled_time=str(moment))
    assert truth()[answer.removeprefix("ID: ")]["state"] == "scheduled"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
def test_another_method_is_405(sandbox: SandboxServer, session: requests.Session, method: str) -> None:
    assert session.request(method, sandbox.url + "/http/delmsg", timeout=10).status_code == 405


def test_an_unknown_command_is_404(sandbox: SandboxServer, session: requests.Session) -> None:
    assert session.get(sandbox.url + "/http/delmessage", timeout=10).status_code == 404


def test_a_form_without_its_content_type_is_not_read(
    sandbox: SandboxServer, session: requests.Session, seed: Seed
) -> None:
    body = "&".join(f"{name}={value}" for name, value in CREDENTIALS.items())
    answer = session.post(
        sandbox.url + "/http/getbalance", data=body, headers={"Content-Type": "text/plain"}, timeout=10
    )
    assert answer.text.startswith("ERR: 001, ")
