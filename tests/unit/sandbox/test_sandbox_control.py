"""What steers the sandbox, and what it says about itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import pytest
import requests

from airflow_provider_smscancel.hooks.by_connection import hook_of
from airflow_provider_smscancel.sandbox import Credentials
from airflow_provider_smscancel.sandbox.server import NotLoopbackError, SandboxServer, loopback_address

HEADERS = {"X-Version": "1", "Accept": "application/json", "Authorization": "Bearer sandbox-token"}

Post = Callable[..., requests.Response]
Truth = Callable[[], dict[str, dict[str, Any]]]


@pytest.fixture
def post(sandbox: SandboxServer, session: requests.Session) -> Post:
    def control(name: str, settings: Any = None, **more: Any) -> requests.Response:
        return session.post(f"{sandbox.url}/_sandbox/{name}", json=settings, timeout=10, **more)

    return control


@pytest.fixture
def stop(sandbox: SandboxServer, session: requests.Session) -> Callable[[str], requests.Response]:
    def delete(message_id: str) -> requests.Response:
        return session.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=10)

    return delete


def test_the_ground_truth_is_one_line_of_json_per_message(
    sandbox: SandboxServer, session: requests.Session, post: Post
) -> None:
    assert session.get(sandbox.url + "/_sandbox/messages").text == ""
    post("messages", {"gateway": "clickatell", "count": 2, "prefix": "c"})
    post("messages", {"gateway": "esendex", "count": 1200})
    lines = session.get(sandbox.url + "/_sandbox/messages").text.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 1202
    assert {"id", "gateway", "to", "state", "scheduled_at", "cancelled_at", "sent_at"} <= set(rows[0])
    assert [row["client_message_id"] for row in rows[:3]] == ["c0", "c1", None]
    assert {row["state"] for row in rows} == {"scheduled"}
    assert rows[0]["sent_at"] is None
    assert datetime.fromisoformat(rows[0]["scheduled_at"]).tzinfo is not None


def test_messages_can_be_put_in_in_any_state(post: Post, truth: Truth) -> None:
    states = ["scheduled", "queued", "sent", "cancelled", "failed"]
    items = [{"gateway": "esendex", "state": state, "to": f"757555000{n}"} for n, state in enumerate(states)]
    ids = post("messages", items).json()["ids"]
    rows = truth()
    assert [rows[message_id]["state"] for message_id in ids] == states
    assert [rows[message_id]["to"] for message_id in ids] == [item["to"] for item in items]


@pytest.mark.parametrize(
    "order",
    [
        5,
        [5],
        {"gateway": "clickatell"},
        {"gateway": "clickatell", "count": -1},
        {"gateway": "clickatell", "count": True},
        {"gateway": "other", "count": 1},
        {"gateway": "clickatell", "count": 1, "state": "lost"},
        {"gateway": "clickatell", "count": 1, "scheduled_at": "2030-01-01T00:00:00"},
        {"gateway": "clickatell", "count": 1, "colour": "red"},
        [{"gateway": "clickatell", "id": "a"}, {"gateway": "clickatell", "id": "A"}],
        [{"gateway": "clickatell"}, {"gateway": "clickatell", "code": "many"}],
    ],
)
def test_an_order_that_makes_no_sense_puts_nothing_in(post: Post, truth: Truth, order: Any) -> None:
    answer = post("messages", order)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert truth() == {}


def test_moving_the_clock_moves_the_date_header_too(
    post: Post, stop: Callable[[str], requests.Response]
) -> None:
    moment = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert post("clock", {"now": "2031-05-06T07:08:09Z"}).status_code == 200
    shown = parsedate_to_datetime(stop("a").headers["Date"])
    assert moment <= shown < moment + timedelta(minutes=5)


@pytest.mark.parametrize(
    "settings", [{}, {"now": "soon"}, {"now": "2031-05-06T07:08:09"}, {"now": 5}, {"then": "x"}, [], None]
)
def test_a_clock_setting_that_makes_no_sense_is_refused(post: Post, settings: Any) -> None:
    assert post("clock", settings).status_code == 400


def test_a_reset_forgets_messages_clock_faults_and_counts(
    sandbox: SandboxServer, session: requests.Session, post: Post, truth: Truth
) -> None:
    post("messages", {"gateway": "clickatell", "count": 3})
    post("clock", {"now": "2031-05-06T07:08:09Z"})
    post("faults", {"profile": "heavy"})
    session.get(sandbox.url + "/rest/account/balance", headers=HEADERS)
    assert post("reset").status_code == 200
    assert truth() == {}
    assert sandbox.state.now() == pytest.approx(time.time(), abs=60)
    assert sandbox.state.faults.share == 0
    assert sandbox.state.traffic.count("clickatell") == 0


def test_requests_are_counted_by_call_and_outcome(
    sandbox: SandboxServer, session: requests.Session, post: Post, stop: Callable[[str], requests.Response]
) -> None:
    message_id = post("messages", {"gateway": "clickatell", "count": 1}).json()["ids"][0]
    for known in (message_id, message_id, "unknown"):
        stop(known)
    session.get(f"{sandbox.url}/messaging.svc/CancelMessage")
    counts = session.get(f"{sandbox.url}/_sandbox/requests").json()
    assert counts["clickatell"]["calls"] == {"rest.stop": {"200": 2, "404": 1}}
    assert counts["clickatell"]["total"] == 3
    assert 1 <= counts["clickatell"]["max_per_second"] <= 3
    assert counts["esendex"]["calls"] == {"CancelMessage": {"200": 1}}


def test_beyond_the_rate_limit_each_gateway_answers_429(
    sandbox: SandboxServer, session: requests.Session, stop: Callable[[str], requests.Response]
) -> None:
    moments = iter([0.0, 0.1, 0.2, 0.3, 0.95, 1.05, 1.1])
    sandbox.state.traffic._monotonic = lambda: next(moments)
    sandbox.state.rate_limit = 3
    answers = [stop("unknown") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429, 404, 404]
    assert answers[3].headers["Retry-After"] == "1"
    sandbox.state.traffic._monotonic = lambda: 1.1
    assert session.get(f"{sandbox.url}/messaging.svc/CancelMessage").status_code == 200


def test_control_calls_know_no_limit_and_no_latency(sandbox: SandboxServer, post: Post, truth: Truth) -> None:
    sandbox.state.rate_limit = 1
    sandbox.state.latency = 3600.0
    for _ in range(5):
        assert post("messages", {"gateway": "clickatell", "count": 1}).status_code == 200
    assert len(truth()) == 5


def test_an_answer_is_late_by_the_latency_but_the_deed_is_not(
    sandbox: SandboxServer, session: requests.Session, post: Post, truth: Truth
) -> None:
    message_id = post("messages", {"gateway": "clickatell", "count": 1}).json()["ids"][0]
    sandbox.state.latency = 3600.0
    with pytest.raises(requests.ReadTimeout):
        session.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=0.3)
    assert truth()[message_id]["state"] == "cancelled"


def test_many_callers_are_served_at_once(sandbox: SandboxServer, post: Post, truth: Truth) -> None:
    ids = post("messages", {"gateway": "clickatell", "count": 200}).json()["ids"]
    sandbox.state.latency = 0.01

    def stop_some(part: list[str]) -> None:
        with requests.Session() as own:
            for message_id in part:
                own.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stop_some, [ids[start::8] for start in range(8)]))
    assert {row["state"] for row in truth().values()} == {"cancelled"}


def test_an_unknown_path_is_404(sandbox: SandboxServer, session: requests.Session) -> None:
    for path in ("/", "/other", "/_sandbox", "/_sandbox/other", "/rest", "/http"):
        assert session.get(sandbox.url + path, timeout=10).status_code == 404


def test_credentials_can_be_revoked_after_so_many_calls(
    sandbox: SandboxServer, session: requests.Session, post: Post, stop: Callable[[str], requests.Response]
) -> None:
    ids = post("messages", {"gateway": "clickatell", "count": 4}).json()["ids"]
    sms = sandbox.state.open_session()
    assert post("credentials", {"revoked_after": 2}).status_code == 200
    assert [stop(message_id).status_code for message_id in ids] == [200, 200, 401, 401]
    form = {"user": "sandbox", "password": "sandbox-password", "api_id": "sandbox-api"}
    assert session.post(f"{sandbox.url}/http/getbalance", data=form).text.startswith("ERR: 001")
    assert session.post(f"{sandbox.url}/http/getbalance", data={"session_id": sms}).text.startswith(
        "ERR: 001"
    )
    key = {"LicenseKey": "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"}
    settings = f"{sandbox.url}/messaging.svc/GetPostbackSettingsForLicenseKey"
    accept = {"Accept": "application/json"}
    assert session.get(settings, params=key, headers=accept).json()[0]["ReturnCode"] == 1
    post("reset")
    assert session.get(settings, params=key, headers=accept).json()[0]["ReturnCode"] == 0


@pytest.mark.parametrize("after", [-1, True, "soon", 1.5])
def test_a_number_of_calls_that_is_none_is_refused(post: Post, after: object) -> None:
    answer = post("credentials", {"revoked_after": after})
    assert answer.status_code == 400
    assert "revoked_after" in answer.json()["error"]


def test_a_body_beyond_a_mebibyte_is_refused(sandbox: SandboxServer, session: requests.Session) -> None:
    answer = session.post(sandbox.url + "/messaging.svc/CancelMessage", data=b"x" * 1_100_000, timeout=10)
    assert answer.status_code == 413


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1", "localhost"])
def test_loopback_addresses_may_be_bound(host: str) -> None:
    assert loopback_address(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "", "127.0.0.1.example.com"])
def test_nothing_but_loopback_may_be_bound(host: str) -> None:
    with pytest.raises(NotLoopbackError, match="loopback only"):
        SandboxServer(host=host)


def test_the_sandbox_shares_no_code_with_the_gateways() -> None:
    code = (
        "import sys, airflow_provider_smscancel.sandbox.server;"
        "sys.exit(any(name.startswith('airflow_provider_smscancel.gateways') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sandbox_that_can_not_start_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr("uvicorn.Server.run", fail)
    with pytest.raises(RuntimeError, match="did not start"), SandboxServer():
        pass


def test_a_test_may_have_the_sandbox_take_credentials_that_are_easily_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = Credentials(
        token='to"ken', user="somebody", password="ü&=", api_id="mine", licence_key=str(UUID(int=7))
    )
    rest = {"conn_type": "clickatell", "password": 'to"ken'}
    http = {"login": "somebody", "password": "ü&=", "extra": {"api": "http", "api_id": "mine"}}
    esendex = {"conn_type": "esendex", "password": str(UUID(int=7))}
    with SandboxServer(credentials=taken) as other:
        for works, fields in (
            (True, rest),
            (True, {**rest, **http}),
            (True, esendex),
            (False, {**rest, "password": "sandbox-token"}),
            (False, {**rest, **http, "login": "sandbox"}),
            (False, {**esendex, "password": "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"}),
        ):
            monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({**fields, "host": other.url}))
            assert hook_of("other").test_connection()[0] is works, fields
    assert 'to"ken' not in repr(taken)


def test_the_sandbox_remembers_the_sessions_that_it_gave_out(sandbox: SandboxServer) -> None:
    sessions = [sandbox.state.open_session() for _ in range(2)]
    sandbox.state.end_session(sessions[0])
    assert sandbox.state.sessions_so_far() == sessions
    sandbox.state.reset()
    assert sandbox.state.sessions_so_far() == []
