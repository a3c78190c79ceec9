"""What must never be seen: secrets, session ids, phone numbers and texts, whatever a gateway does."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.sandboxed import (
    ESENDEX_JSON,
    HTTP_API,
    LICENCE_KEY,
    PASSWORD,
    REST_JSON,
    REST_XML,
    TOKEN,
    WRONG_KEY,
    Neighbour,
    Said,
    Service,
    World,
    closed_port,
)
from support.versions import serialize

from airflow_provider_smscancel.transport.redaction import secret_forms

TEXT = "Your code word is heliotrope"
PHONES = {"clickatell": "27821234567", "esendex": "7575550147"}
A_WORD_OF_IT = "heliotrope"

SERVICES = (REST_JSON, REST_XML, HTTP_API, ESENDEX_JSON)
FAULTS = ("html-200", "500", "truncated", "act-then-drop", "429")


@dataclass
class Everything:
    """All that a person could get to see of a call."""

    caplog: pytest.LogCaptureFixture
    capfd: pytest.CaptureFixture[str]
    seen: list[str] = field(default_factory=list)

    def call(self, way: Callable[[], Any]) -> None:
        try:
            found = way()
            self.seen += [repr(found), str(found)]
        except Exception as error:
            self.seen += ["".join(traceback.format_exception(error)), repr(error)]
            self.seen.append(with_local_variables(error))
            self.seen.append(repr(vars(error)))
            self.seen.append(repr(vars(pickle.loads(pickle.dumps(error)))))

    def text(self) -> str:
        out, err = self.capfd.readouterr()
        records = [f"{record.getMessage()} {record.args!r}" for record in self.caplog.records]
        return "\n".join([*self.seen, *records, self.caplog.text, out, err])


def with_local_variables(error: BaseException) -> str:
    """A traceback as error trackers show it, without the frames of the tests themselves."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in found.stack if "/tests/" not in frame.filename]
    found.stack = traceback.StackSummary.from_list(frames)
    return "".join(found.format())


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Everything:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "aiohttp", "asyncio", "airflow_provider_smscancel"):
        caplog.set_level(logging.DEBUG, logger=name)
    return Everything(caplog, capfd)


def use_every_method(everything: Everything, hook: Any, service: Service, message_id: str) -> None:
    everything.seen.append(repr(hook))
    with contextlib.suppress(ValueError):
        hook._log = logging.getLogger("hook under test")
        everything.seen += [
            repr(hook.settings),
            repr(hook.gateway),
            repr(hook._caller),
            repr(hook._transport),
        ]
        everything.seen += [repr(hook.service()), repr(hook.gateway.stop(message_id, "message_id"))]
    phone = PHONES[service.gateway]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    everything.call(lambda: hook.cancel_message(message_id))
    everything.call(lambda: list(hook.cancel_messages([message_id, f"+{phone}"], deadline=0.15)))
    everything.call(lambda: hook.get_message_status(message_id))
    everything.call(lambda: hook.send_message(phone, TEXT, scheduled_at=tomorrow))
    everything.call(lambda: hook.send_message([phone, "123" + phone[3:] * 2], TEXT))
    everything.call(lambda: hook.send_message(phone + "x", TEXT))
    everything.call(hook.test_connection)
    everything.call(hook.get_conn)
    everything.call(lambda: hook.cancel_message(f"+{phone}"))
    if service.gateway == "clickatell":
        everything.call(hook.get_balance)
    else:
        everything.call(lambda: hook.cancel_all_messages(confirm_last_four="none"))
        everything.call(lambda: hook.cancel_all_messages(confirm_last_four=LICENCE_KEY[-4:]))


def check(text: str, *secrets: str) -> None:
    assert len(text) > 200
    for secret in secrets:
        for form in secret_forms(secret):
            assert form not in text
    assert A_WORD_OF_IT not in text
    for phone in PHONES.values():
        assert phone not in text


@pytest.mark.parametrize("fault", [None, *FAULTS])
@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_no_method_gives_anything_away_whatever_goes_wrong(
    world: World, everything: Everything, service: Service, fault: str | None
) -> None:
    message_id = world.put_in(service.gateway, to=PHONES[service.gateway])
    if fault is not None:
        world.break_things(fault)
    use_every_method(everything, world.hook(service), service, message_id)
    sessions = list(world.server.state._sessions)
    if service is HTTP_API and fault is None:
        assert sessions
    check(everything.text(), TOKEN, PASSWORD, LICENCE_KEY, *sessions)


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_wrong_credentials_are_not_given_away_either(
    world: World, everything: Everything, service: Service
) -> None:
    message_id = world.put_in(service.gateway, to=PHONES[service.gateway])
    hook = world.connected(service.gateway, {"host": world.url, **service.wrong})
    use_every_method(everything, hook, service, message_id)
    check(everything.text(), "wrong-password", WRONG_KEY)


@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_where_nobody_listens_nothing_is_given_away(
    world: World, everything: Everything, service: Service
) -> None:
    hook = world.hook(service, url=f"http://127.0.0.1:{closed_port()}")
    message_id = "1627aea5-8e0a-4371-9022-9b504344e724" if service is ESENDEX_JSON else "a" * 32
    use_every_method(everything, hook, service, message_id)
    check(everything.text(), TOKEN, PASSWORD, LICENCE_KEY)


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_a_gateway_that_echoes_everything_is_not_repeated(
    world: World,
    everything: Everything,
    service: Service,
    status: int,
    neighbour: Callable[..., Neighbour],
) -> None:
    """As services in debug mode do: with the request, the number and the text in the answer."""
    echo = f"{TOKEN} {PASSWORD} {LICENCE_KEY} {TEXT} {' '.join(PHONES.values())}"
    bodies = {
        "rest": f'{{"error":{{"code":"101","description":"{echo}"}}}}',
        "http": f"ERR: 101, {echo}",
        "esendex": f"<html><body>{echo}</body></html>",
    }
    body = bodies[service.name.split()[0]].encode()
    started = neighbour(Said(status, body, {"X-Echo": echo}))
    message_id = "1627aea5-8e0a-4371-9022-9b504344e724" if service is ESENDEX_JSON else "a" * 32
    use_every_method(everything, world.hook(service, url=started.url), service, message_id)
    check(everything.text(), TOKEN, PASSWORD, LICENCE_KEY)


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "http://gateway.invalid"},
        {"extra": {"no such key": 1}},
        {"extra": {"timeout": "never"}},
        {"port": 99999, "host": "gateway.invalid"},
    ],
)
@pytest.mark.parametrize("service", SERVICES, ids=str)
def test_a_connection_that_is_wrong_gives_nothing_away(
    world: World, everything: Everything, service: Service, fields: dict[str, Any]
) -> None:
    use_every_method(everything, world.hook(service, **fields), service, "a" * 32)
    check(everything.text(), TOKEN, PASSWORD, LICENCE_KEY)


def test_a_secret_in_the_wrong_field_is_not_given_away(world: World, everything: Everything) -> None:
    wrong = [
        {"host": f"https://user:{TOKEN}@gateway.invalid"},
        {"host": f"https://gateway.invalid/?token={TOKEN}"},
        {"extra": {"timeout": TOKEN * 2}},
        {"extra": {"api": TOKEN}},
    ]
    for fields in wrong:
        everything.call(lambda fields=fields: world.hook(REST_JSON, **fields).get_balance())
    assert TOKEN not in everything.text()


@pytest.mark.parametrize("pasted", [TOKEN, "27821234567", f"1{TOKEN}"])
def test_a_secret_or_a_number_in_place_of_a_number_of_seconds_is_not_repeated(
    world: World, everything: Everything, pasted: str
) -> None:
    with pytest.raises(ValueError, match="must be a number from"):
        _ = world.hook(REST_JSON, extra={"timeout": pasted}).settings
    everything.call(lambda: world.hook(REST_JSON, extra={"timeout": pasted}).settings)
    assert pasted not in everything.text()


def test_a_part_of_a_password_that_became_a_key_of_extra_is_not_repeated(
    world: World, everything: Everything
) -> None:
    """As in a URI whose password has a raw question mark: what is behind it is read as the extra."""
    hook = world.hook(REST_JSON, extra={"hunter2+/": "x", "no_such_key": 1})
    with pytest.raises(ValueError, match="unknown key in extra: one that is no name, 'no_such_key'"):
        _ = hook.settings
    everything.call(lambda: hook.settings)
    assert "hunter2" not in everything.text()


def test_the_number_of_a_sent_message_that_a_task_returns_is_not_in_its_xcom(world: World) -> None:
    (sent,) = world.hook(REST_JSON).send_message(PHONES["clickatell"], TEXT)
    assert sent.to == PHONES["clickatell"]
    stored = json.dumps(serialize([sent]))
    assert sent.message_id in stored
    assert PHONES["clickatell"] not in stored


@pytest.mark.parametrize(
    ("service", "secret"),
    [(REST_JSON, "a+token/with=signs"), (HTTP_API, 'pass "word" & ü/+'), (ESENDEX_JSON, LICENCE_KEY)],
    ids=str,
)
def test_every_form_of_a_secret_is_masked_before_anything_is_sent(
    world: World, service: Service, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw, quoted for URLs, in base64 and in JSON: whatever else logs it, Airflow hides it."""
    masked: set[str] = set()
    monkeypatch.setattr("airflow_provider_smscancel.hooks.connecting.mask_secret", masked.add)
    world.hook(service, password=secret).get_conn()
    assert set(secret_forms(secret)) <= masked
    assert world.calls() == {}


def test_a_secret_is_masked_also_when_the_connection_turns_out_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: set[str] = set()
    monkeypatch.setattr("airflow_provider_smscancel.hooks.connecting.mask_secret", masked.add)
    with pytest.raises(ValueError, match="timeout"):
        world.hook(REST_JSON, extra={"timeout": "never"}).get_conn()
    assert TOKEN in masked
