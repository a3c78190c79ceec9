"""Each kind of fault does what its description says, and none of them lies beyond detection."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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


@pytest.mark.parametrize(
    "kind", ["act-then-drop", "act-then-reset", "act-then-error", "truncated", "cut-head", "cut-body"]
)
def test_some_faults_strike_after_the_deed(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth, kind: str
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=[kind])
    if kind in ("act-then-drop", "act-then-reset", "cut-head", "cut-body"):
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


def test_a_message_whose_stop_came_in_an_expired_session_was_asked_for(
    seed: Seed, truth: Truth, http_stop: Callable[..., str]
) -> None:
    asked, never_asked = seed("clickatell"), seed("clickatell")
    assert http_stop(asked, {"session_id": "0" * 32}) == "ERR: 003, Session ID expired"
    rows = truth()
    assert rows[asked]["first_stop_at"] is not None
    assert (rows[asked]["state"], rows[asked]["stop_requests"]) == ("scheduled", 0)
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


# -- faults of the wire itself -----------------------------------------------------------------------------------------


class Wire:
    """A connection to the sandbox without any library's help."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)

    def stop(self, message_id: str) -> None:
        """Ask for a stop, and wait for nothing."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        request = f"DELETE /rest/message/{message_id} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n"
        self._socket.sendall(request.encode())

    def read(self) -> bytes:
        """Return what comes in one go; nothing when the connection is at its end."""
        return self._socket.recv(1 << 16)

    def read_until(self, wanted: bytes) -> bytes:
        """Return what comes, in as many pieces as it likes, until that was among it; less when the connection ends before."""
        came = b""
        while wanted not in came and (piece := self.read()):
            came += piece
        return came

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(sandbox: SandboxServer) -> Iterator[Wire]:
    opened = Wire(sandbox.url)
    yield opened
    opened.close()


def test_half_a_head_ends_in_the_middle_of_the_headers(set_faults: SetFaults, wire: Wire, seed: Seed) -> None:
    set_faults(share=1, kinds=["cut-head"])
    wire.stop(seed("clickatell"))
    came = wire.read()
    assert came.startswith(b"HTTP/1.1 200")
    assert b"\r\n\r\n" not in came
    assert wire.read() == b""


def test_a_dripping_answer_is_right_in_the_end_and_never_silent_for_long(
    set_faults: SetFaults, wire: Wire, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["drip"], slow_seconds=0.4)
    wire.stop(message_id)
    pieces = [wire.read()]
    while not pieces[-1].endswith(b"}}"):
        pieces.append(wire.read())
    assert len(pieces) > 3
    assert b'"006"' in b"".join(pieces)
    assert truth()[message_id]["state"] == "cancelled"


def test_two_answers_come_in_one_go_before_anything_else_can_be_asked(
    set_faults: SetFaults, wire: Wire, seed: Seed, truth: Truth
) -> None:
    one, other = seed("clickatell"), seed("clickatell")
    set_faults(share=1, kinds=["answer-twice"], times=1)
    wire.stop(one)
    came = wire.read()
    half = len(came) // 2
    assert came[:half] == came[half:]
    assert came.count(b"HTTP/1.1 200") == came.count(one.encode()) == 2
    wire.stop(other)  # the connection is still good
    assert other.encode() in wire.read_until(other.encode())
    assert truth()[one]["state"] == truth()[other]["state"] == "cancelled"


def test_a_promised_connection_can_be_closed_behind_an_answer(
    set_faults: SetFaults, wire: Wire, seed: Seed
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["close-after"])
    wire.stop(message_id)
    came = wire.read()
    assert b'"006"' in came
    assert b"connection: close" not in came.lower()
    assert wire.read() == b""


def test_a_reset_is_not_an_orderly_end(set_faults: SetFaults, wire: Wire, seed: Seed) -> None:
    set_faults(share=1, kinds=["act-then-reset"])
    wire.stop(seed("clickatell"))
    with pytest.raises(ConnectionResetError):
        wire.read()


# -- faults of what is said ---------------------------------------------------------------------------------------------


def test_a_redirect_leads_to_another_host_where_whoever_follows_is_counted(
    set_faults: SetFaults, sandbox: SandboxServer, session: requests.Session, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["redirect"])
    url = f"{sandbox.url}/rest/message/{message_id}"
    answer = session.delete(url, headers=HEADERS, timeout=10, allow_redirects=False)
    assert answer.status_code == 307
    assert answer.json()["data"]["messageStatus"] == "006"
    assert urlsplit(answer.headers["Location"]).hostname != urlsplit(url).hostname
    assert sandbox.state.traffic.count("clickatell", "elsewhere") == 0
    set_faults(share=1, kinds=["redirect"], times=1)
    session.delete(url, headers=HEADERS, timeout=10)
    assert sandbox.state.traffic.count("clickatell", "elsewhere") == 1
    assert truth()[message_id]["state"] == "scheduled"


def test_a_success_that_is_none_comes_with_an_errors_status(
    set_faults: SetFaults, rest_stop: Stop, seed: Seed, truth: Truth
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["error-on-success"])
    answers = [rest_stop(message_id) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {403, 404, 500, 502}
    assert {answer.json()["data"]["messageStatus"] for answer in answers} == {"006"}
    assert truth()[message_id]["state"] == "scheduled"


@pytest.mark.parametrize(
    ("kind", "spoilt"),
    [("truncated-end", b"tru"), ("body-twice", b"truetrue"), ("wrong-charset", "true".encode("utf-16"))],
)
def test_a_body_can_be_spoilt_after_the_deed(
    set_faults: SetFaults, esendex_stop: Stop, seed: Seed, truth: Truth, kind: str, spoilt: bytes
) -> None:
    message_id = seed("esendex")
    set_faults(share=1, kinds=[kind])
    assert esendex_stop(message_id).content == spoilt
    assert truth()[message_id]["state"] == "cancelled"


def test_a_bomb_is_small_until_it_is_unpacked(
    set_faults: SetFaults, sandbox: SandboxServer, session: requests.Session, seed: Seed, truth: Truth
) -> None:
    ids = [seed("clickatell") for _ in range(20)]
    set_faults(share=1, kinds=["gzip-bomb"])
    for message_id in ids:
        url = f"{sandbox.url}/rest/message/{message_id}"
        answer = session.delete(url, headers=HEADERS, timeout=10, stream=True)
        packed = answer.raw.read(decode_content=False)
        assert len(packed) < 64 << 10
    assert len(gzip.decompress(packed)) == 32 << 20
    assert {row["state"] for row in truth().values()} == {"scheduled", "cancelled"}


def test_a_date_can_be_of_any_kind(
    set_faults: SetFaults, sandbox: SandboxServer, rest_stop: Stop, seed: Seed
) -> None:
    message_id = seed("clickatell")
    set_faults(share=1, kinds=["odd-date"])
    dates = {rest_stop(message_id).headers.get("Date") for _ in range(60)}
    assert {None, "yesterday"} < dates
    years = {int(date.split()[3]) for date in dates if date and date.split()[3:4]}
    assert {1, 9999, datetime.now(UTC).year + 1, datetime.now(UTC).year - 1} <= years


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
    set_faults(share=1, kinds=[kind for kind in KINDS if kind not in ("slow", "drip")])
    confirmed = []
    for message_id in ids:
        try:
            answer = rest_stop(message_id)
            answer.raise_for_status()
            data = json.loads(answer.content)["data"]
        except (requests.RequestException, ValueError, KeyError):
            continue
        if data["apiMessageId"] == message_id and data["messageStatus"] == "006":
            confirmed.append(message_id)
    rows = truth()
    assert all(rows[message_id]["state"] == "cancelled" for message_id in confirmed)
