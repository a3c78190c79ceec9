"""An answer that was cut says what the whole one says, or nothing: wherever it was cut, and whatever the HTTP status claims."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import virtual_time
from support.ground_truth import FORMATS
from support.virtual_sandbox import BASE_URL, VirtualSandbox

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, IdType, Request, Verdict

PROVES_NOTHING = {Finding.FAULT, Finding.UNREADABLE}
CODES = ["002", "005", "007", "008", "009", "010", "011", "012", "013", "014"]

Read = Callable[[Answer], Verdict]


def answered(sandbox: VirtualSandbox, request: Request) -> Answer:
    return virtual_time.run(sandbox.send(request))


def parts(answer: Answer) -> list[Answer]:
    return [Answer(answer.status, answer.headers, answer.body[:end]) for end in range(len(answer.body))]


def calls_about(gateway: Gateway, message_id: str) -> list[tuple[Request, Read]]:
    """Every call about one message; the stop comes last, as it changes what the others say."""

    def stop(answer: Answer) -> Verdict:
        return gateway.read_stop(message_id, IdType.MESSAGE_ID, answer)

    def status(answer: Answer) -> Verdict:
        return gateway.read_status(message_id, IdType.MESSAGE_ID, answer)

    return [
        (gateway.status(message_id, IdType.MESSAGE_ID), status),
        (gateway.status(message_id, IdType.MESSAGE_ID, full=True), status),
        (gateway.stop(message_id, IdType.MESSAGE_ID), stop),
    ]


def orders(gateway: str) -> list[dict[str, str]]:
    states = ["scheduled", "queued", "sent", "cancelled", "failed"]
    with_codes = [{"gateway": gateway, "state": "failed", "code": code} for code in CODES]
    return [{"gateway": gateway, "state": state} for state in states] + (
        with_codes if gateway == "clickatell" else []
    )


@pytest.mark.parametrize("name", FORMATS)
def test_no_part_of_an_answer_says_more_than_the_whole(name: str) -> None:
    gateway = FORMATS[name](BASE_URL)
    sandbox = VirtualSandbox(1_800_000_000.0)
    known = sandbox.put_in(orders(gateway.name))
    wrong, seen = [], set()
    for message_id in [*known, f"{known[0][:-6]}abcdef"]:
        for request, read in calls_about(gateway, message_id):
            whole = answered(sandbox, request)
            found = read(whole)
            seen.add(found.finding)
            for part in parts(whole):
                verdict = read(part)
                if verdict.finding not in PROVES_NOTHING | {found.finding}:
                    wrong.append((found.finding, found.code, verdict.finding, verdict.code, part.body[-20:]))
    assert wrong == []
    assert {Finding.CANCELLED, Finding.SENT, Finding.PENDING} <= seen


@pytest.mark.parametrize("name", FORMATS)
def test_no_part_of_an_answer_accepts_or_refuses_an_account(name: str) -> None:
    gateway = FORMATS[name](BASE_URL)
    sandbox = VirtualSandbox(1_800_000_000.0)
    request = gateway.account_check()
    assert request
    for expected in (Finding.ACCEPTED, Finding.ACCOUNT):
        whole = answered(sandbox, request)
        assert gateway.read_account_check(whole).finding is expected
        told = {gateway.read_account_check(part).finding for part in parts(whole)}
        assert told <= PROVES_NOTHING | {expected}
        sandbox.state.revoke_credentials()


@pytest.mark.parametrize("name", FORMATS)
def test_no_part_of_an_answer_to_a_send_gives_an_id_that_no_message_has(name: str) -> None:
    gateway = FORMATS[name](BASE_URL)
    sandbox = VirtualSandbox(1_800_000_000.0)
    to = ["27831234567", "27830000001"]
    request = gateway.send(to, "An offer", scheduled_at=None, client_message_id=None)
    whole = answered(sandbox, request)
    ids = {message.id for message in sandbox.state.messages()}
    assert len(ids) == 2
    for part in [*parts(whole), whole]:
        sent = gateway.read_send(to, part)
        if not isinstance(sent, Verdict):
            assert {each.message_id for each in sent} <= ids | {None}
            assert all(each.message_id or "may have been sent" in (each.error or "") for each in sent)
