"""Each kind of fault does what its description says, and none of them lies beyond detection."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_smscancel.sandbox.faults import KINDS, FaultError, Faults

if TYPE_CHECKING:
    from airflow_provider_smscancel.sandbox.server import SandboxServer

HEADERS = {"X-Version": "1", "Accept": "application/json", "Authorization": "Bearer sandbox-token"}
CREDENTIALS = {"user": "sandbox", "password": "sandbox-password", "api_id": "sandbox-api"}

Seed = Callable[..., str]
Truth = Callable[[], dict[str, dict[str, Any]]]
Stop = Callable[[str], requests.Response]
SetFaults = Callable[..., requests.Response]


@pytest.fixture
def set_faults(sandbox: SandboxServer, session: requests.Session) -> SetFaults:
    def configure(**settings: Any) -> requests.Response:
        return session.post(f"{sandbox.url}/_sandbox/faults", json=settings, timeout=10)

    return configure


@pytest.fixture
def rest_stop(sandbox: SandboxServer, session: requests.Session) -> Stop:
    def stop(message_id: str) -> requests.Response:
        return session.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=10)

    return stop


@pytest.fixture
def http_stop(sandbox: SandboxServer, session: requests.Session) -> Callable[..., str]:
    def stop(message_id: str, credentials: dict[str, str] = CREDENTIALS) -> str:
        return session.post(
            f"{sandbox.url}/http/delmsg", data={**credentials, "apimsgid": message_id}, timeout=10
        ).text

    return stop


@pytest.fixture
def esendex_stop(sandbox: SandboxServer, session: requests.Session) -> Stop:
    def stop(message_id: str) -> requests.Response:
        return session.post(
            f"{sandbox.url}/messaging.svc/CancelMessage",
            json=message_id,
            headers={"Accept": "application/json"},
            timeout=10,
        )

    return stop


@pytest.mark.parametrize(
    ("kind", "status"),
    [("429", 429), ("500", 500), ("502", 502), ("503", 503), ("bare-404", 404), ("empty-401", 401)],
)
def test_a_refusal_by_status_has_not_acted(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth, kind: str, status: int
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=[kind])
    assert rest_stop(message_id).status_code == status
    assert truth()[message_id]["state"] == "scheduled"


def test_retry_after_comes_in_every_shape(
    set_faults: SetFaults, sandbox: SandboxServer, rest_stop: Stop, seed: Seed
) -> None:
    message_id, shown = seed("clickatell"), {}
    for kind in ("429", "429-date", "429-garbage", "429-ten-years"):
        set_faults(share=1, kinds=[kind])
        shown[kind] = rest_stop(message_id).headers["Retry-After"]
    assert shown["429"] == "1"
    assert parsedate_to_datetime(shown["429-date"]).timestamp() == pytest.approx(sandbox.state.now(), abs=60)
    assert not shown["429-garbage"].isdigit()
    assert shown["429-ten-years"] == "315360000"


@pytest.mark.parametrize("kind", ["act-then-drop", "act-then-error", "truncated", "cut-body"])
def test_some_faults_strike_after_the_deed(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth, kind: str
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=[kind])
    if kind in ("act-then-drop", "cut-body"):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            rest_stop(message_id)
    else:
        answer = rest_stop(message_id)
        assert answer.status_code == (500 if kind == "act-then-error" else 200)
        assert "apiMessageId" not in answer.text
    assert truth()[message_id]["state"] == "cancelled"


def test_a_connection_can_be_dropped_before_the_deed(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["drop-before"])
    with pytest.raises(requests.ConnectionError):
        rest_stop(message_id)
    assert truth()[message_id]["state"] == "scheduled"


@pytest.mark.parametrize("kind", ["drop-before", "503", "act-then-drop"])
def test_the_record_tells_of_a_stop_that_arrived_whatever_became_of_it(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth, kind: str
) -> None:
    asked, never_asked = seed("clickatell"), seed("clickatell")
    set_faults(share=1, kinds=[kind])
    with contextlib.suppress(requests.ConnectionError):
        rest_stop(asked)
    rows = truth()
    assert rows[asked]["first_stop_at"] is not None
    assert rows[asked]["stop_requests"] == int(kind == "act-then-drop")
    assert rows[never_asked]["first_stop_at"] is None


@pytest.mark.parametrize(("kind", "word"), [("empty-200", ""), ("html-200", "<html>")])
def test_a_200_without_the_gateways_word_may_have_acted_or_not(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth, kind: str, word: str
) -> None:
    ids = [seed("clickatell") for _ in range(20)]
    set_faults(share=1, kinds=[kind])
    for message_id in ids:
        answer = rest_stop(message_id)
        assert answer.status_code == 200
        assert answer.text.startswith(word)
        assert "006" not in answer.text
    assert {row["state"] for row in truth().values()} == {"scheduled", "cancelled"}


def test_a_wrong_id_is_another_messages_and_leaves_that_one_alone(
    set_faults: SetFaults, rest_stop: Stop, http_stop: Callable[..., str], seed: Seed, truth: Truth
) -> None:
    ids = [seed("clickatell") for _ in range(20)]
    bystanders = [seed("clickatell") for _ in range(5)]
    set_faults(share=1, kinds=["wrong-id"])
    for number, message_id in enumerate(ids):
        text = rest_stop(message_id).text if number % 2 else http_stop(message_id)
        assert "006" in text
        assert message_id not in text
    rows = truth()
    assert {rows[message_id]["state"] for message_id in ids} == {"scheduled", "cancelled"}
    assert {rows[message_id]["state"] for message_id in bystanders} == {"scheduled"}


def test_an_answer_that_names_no_message_is_never_false(
    set_faults: SetFaults, esendex_stop: Stop, seed: Seed, truth: Truth
) -> None:
    ids = [seed("esendex") for _ in range(40)]
    set_faults(share=1, kinds=["wrong-id", "bom", "truncated", "empty-200", "act-then-error"])
    said = {message_id: esendex_stop(message_id) for message_id in ids}
    rows = truth()
    believed = [message_id for message_id in ids if said[message_id].text.lstrip("\ufeff") == "true"]
    assert believed
    assert {rows[message_id]["state"] for message_id in believed} == {"cancelled"}


def test_a_byte_order_mark_leads_an_answer_of_esendex(
    set_faults: SetFaults, esendex_stop: Stop, seed: Seed
) -> None:
    message_id = seed("esendex")
    set_faults(share=1, kinds=["bom"])
    assert esendex_stop(message_id).content == b"\xef\xbb\xbftrue"


def test_a_stray_refusal_comes_once(set_faults: SetFaults, rest_stop: Stop, seed: Seed) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["stray-401"])
    answers = [rest_stop(message_id) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 200, 200]
    assert answers[0].json()["error"]["code"] == "001"


def test_an_account_check_is_spared_stray_refusals(
    set_faults: SetFaults, sandbox: SandboxServer, session: requests.Session
) -> None:
    set_faults(share=1, kinds=["stray-401", "empty-401"])
    answer = session.get(f"{sandbox.url}/rest/account/balance", headers=HEADERS, timeout=10)
    assert answer.status_code == 200


def test_a_session_can_end_before_its_time(
    set_faults: SetFaults, sandbox: SandboxServer, http_stop: Callable[..., str], seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    session_id = sandbox.state.open_session()
    set_faults(share=1, kinds=["session-expiry"])
    assert http_stop(message_id, {"session_id": session_id}).startswith("ERR: 003")
    set_faults(profile="none")
    assert http_stop(message_id, {"session_id": session_id}).startswith("ERR: 003")
    assert truth()[message_id]["state"] == "scheduled"


def test_an_error_code_can_be_a_number(set_faults: SetFaults, rest_stop: Stop, seed: Seed) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["integer-code"])
    assert rest_stop(message_id).json()["error"]["code"] == 901


def test_a_slow_answer_is_late_but_right(
    set_faults: SetFaults, sandbox: SandboxServer, session: requests.Session, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["slow"], slow_seconds=3600)
    with pytest.raises(requests.ReadTimeout):
        session.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=0.3)
    assert truth()[message_id]["state"] == "cancelled"
    set_faults(share=1, kinds=["slow"], slow_seconds=0.01)
    answer = session.delete(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=10)
    assert answer.json()["data"]["messageStatus"] == "006"


def test_faults_can_be_confined_to_calls_and_to_a_number(
    set_faults: SetFaults, sandbox: SandboxServer, session: requests.Session, rest_stop: Stop, seed: Seed
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["500"], calls=["rest.stop"], times=2)
    status = session.get(f"{sandbox.url}/rest/message/{message_id}", headers=HEADERS, timeout=10)
    assert status.status_code == 200
    assert [rest_stop(message_id).status_code for _ in range(3)] == [500, 500, 200]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"profile": "gentle"}, "none, light, heavy"),
        ({"profile": "light", "kinds": ["earthquake"]}, "429, "),
        ({"kinds": ["500"]}, "share"),
        ({"share": 1.5}, "from 0 to 1"),
        ({"share": "all"}, "number"),
        ({"share": True}, "number"),
        ({"share": 1, "kinds": "500"}, "list"),
        ({"profile": "light", "colour": "red"}, "kinds"),
        ({"share": 1, "times": -1}, "times"),
    ],
)
def test_a_setting_that_makes_no_sense_names_what_is_valid(
    set_faults: SetFaults, sandbox: SandboxServer, settings: dict[str, Any], named: str
) -> None:
    answer = set_faults(**settings)
    assert answer.status_code == 400
    assert named in answer.json()["error"]
    assert sandbox.state.faults.share == 0


def draws(faults: Faults, number: int = 4000) -> Counter[str | None]:
    return Counter(faults.draw("clickatell", "rest.stop", has_session=False) for _ in range(number))


@pytest.mark.parametrize(("profile", "share"), [("none", 0.0), ("light", 0.05), ("heavy", 0.3)])
def test_a_profile_sets_the_share(profile: str, share: float) -> None:
    drawn = draws(Faults(seed=3, profile=profile))
    assert 1 - drawn[None] / 4000 == pytest.approx(share, abs=0.03)


def test_a_profile_draws_every_kind_that_applies_and_the_long_ones_once() -> None:
    drawn = draws(Faults(seed=3, profile="heavy"))
    elsewhere = {"session-expiry", "odd-error", "bom"}
    assert set(drawn) - {None} == set(KINDS) - elsewhere
    assert (drawn["stray-401"], drawn["429-ten-years"]) == (1, 1)


def test_the_same_seed_draws_the_same_faults() -> None:
    series = [
        [Faults(seed=seed, profile="heavy").draw("esendex", "CancelMessage", has_session=False)]
        for seed in (1, 1)
    ]
    assert series[0] == series[1]
    assert draws(Faults(seed=1, profile="heavy")) != draws(Faults(seed=2, profile="heavy"))


def test_an_unknown_profile_is_refused_at_the_start() -> None:
    with pytest.raises(FaultError, match="none, light, heavy"):
        Faults(seed=0, profile="gentle")


def test_the_gateways_word_about_a_message_is_true_under_every_fault(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth
) -> None:
    ids = [seed("clickatell") for _ in range(300)]
    set_faults(share=1, kinds=[kind for kind in KINDS if kind != "slow"])
    confirmed = []
    for message_id in ids:
        try:
            answer = rest_stop(message_id)
            data = json.loads(answer.content)["data"]
        except (requests.RequestException, ValueError, KeyError):
            continue
        if data["apiMessageId"] == message_id and data["messageStatus"] == "006":
            confirmed.append(message_id)
    rows = truth()
    assert all(rows[message_id]["state"] == "cancelled" for message_id in confirmed)
