"""What the sandbox answers to what a gateway asks is read as what the sandbox meant; what is left of it is not."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, IdType, SentMessage, Verdict
from torture.fuzzing import corpus, oracle
from torture.fuzzing.mutations import rearrange

GATEWAYS: dict[str, Gateway] = {
    "REST in JSON": corpus.REST,
    "REST in XML": corpus.REST_XML,
    "HTTP": corpus.HTTP,
    **{f"Esendex {name}": gateway for name, gateway in corpus.ESENDEX.items()},
}
EACH = pytest.mark.parametrize("gateway", GATEWAYS.values(), ids=GATEWAYS)
MEANT = {
    "scheduled": Finding.PENDING,
    "queued": Finding.PENDING,
    "sent": Finding.SENT,
    "cancelled": Finding.CANCELLED,
    "failed": Finding.DEAD,
}
HEX = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
ANY_ID = HEX.filter(lambda text: set(text) != {"0"})


def spelled(gateway: Gateway, digits: str) -> str:
    if gateway.name == "clickatell":
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def stopped(gateway: Gateway, message_id: str, state: str) -> Verdict:
    sandbox = corpus.with_message(gateway, message_id, state)
    answer = corpus.ask(sandbox, gateway.stop(message_id, IdType.MESSAGE_ID))
    return gateway.read_stop(message_id, IdType.MESSAGE_ID, answer)


@EACH
@settings(max_examples=25)
@given(ANY_ID, st.sampled_from(sorted(MEANT)), st.booleans())
def test_a_status_is_read_as_it_was_meant(gateway: Gateway, digits: str, state: str, full: bool) -> None:
    message_id = spelled(gateway, digits)
    sandbox = corpus.with_message(gateway, message_id, state)
    answer = corpus.ask(sandbox, gateway.status(message_id, IdType.MESSAGE_ID, full=full))
    found = gateway.read_status(message_id, IdType.MESSAGE_ID, answer).finding
    meant = Finding.SENT if (gateway.name, state) == ("esendex", "queued") else MEANT[state]
    assert found is meant


@EACH
@settings(max_examples=25)
@given(ANY_ID, st.sampled_from(sorted(MEANT)))
def test_a_stop_is_confirmed_exactly_when_it_stopped_the_message(
    gateway: Gateway, digits: str, state: str
) -> None:
    confirms = {"scheduled", "queued", "cancelled"} if gateway.name == "clickatell" else {"scheduled"}
    found = stopped(gateway, spelled(gateway, digits), state).finding
    assert (found is Finding.CANCELLED) == (state in confirms)


@EACH
@settings(max_examples=25)
@given(st.lists(st.from_regex(r"1555[0-9]{7}", fullmatch=True), min_size=1, max_size=4, unique=True))
def test_whoever_was_sent_to_gets_the_id_of_the_message_that_is_theirs(
    gateway: Gateway, to: list[str]
) -> None:
    sandbox = corpus.with_message(gateway, "", "unknown")
    answer = corpus.ask(sandbox, gateway.send(to, "a text", scheduled_at=None, client_message_id=None))
    sent = gateway.read_send(to, answer)
    assert isinstance(sent, list)
    known = {message.to: message.id for message in sandbox.messages()}
    assert sent == [SentMessage(known[number], None, number) for number in to]


def judge_of(gateway: Gateway, verb: str) -> oracle.Judge:
    if gateway.name == "esendex":
        return oracle.esendex_says_it_stopped if verb == "stop" else oracle.esendex_says_cancelled
    return oracle.http_says_cancelled if gateway is corpus.HTTP else oracle.rest_says_cancelled


def check(gateway: Gateway, body: bytes, status: int = 200) -> None:
    """Read a body as the answer to a stop and to a status query, by each kind of id: no claim without its ground."""
    message_id = corpus.ESENDEX_ID if gateway.name == "esendex" else corpus.CLICKATELL_ID
    for id_type in gateway.id_types:
        name = message_id if id_type is IdType.MESSAGE_ID else corpus.CLIENT_ID
        for verb, read in (("stop", gateway.read_stop), ("status", gateway.read_status)):
            finding = read(name, id_type, Answer(status, {}, body)).finding
            said = judge_of(gateway, verb)(status, body, name, id_type)
            assert said or finding is not Finding.CANCELLED, body


def bodies_of(gateway: Gateway) -> list[bytes]:
    message_id = corpus.ESENDEX_ID if gateway.name == "esendex" else corpus.CLICKATELL_ID
    return list(dict.fromkeys((*corpus.bodies_of(gateway, message_id), *corpus.BITES)))


@EACH
def test_an_answer_that_breaks_off_anywhere_confirms_nothing(gateway: Gateway) -> None:
    for body in bodies_of(gateway):
        for end in range(len(body)):
            check(gateway, body[:end])


@EACH
def test_an_answer_with_something_behind_it_confirms_nothing_that_it_does_not_say(gateway: Gateway) -> None:
    for body in bodies_of(gateway):
        for more in (
            b"\0",
            b"x",
            b"}",
            b"<a/>",
            b" false",
            b"\nERR: 901",
            b"\n" + body,
            body,
            b"\xef\xbb\xbf",
        ):
            check(gateway, body + more)
            check(gateway, more + body)


@EACH
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "utf-8-sig", "cp037"]
)
def test_an_answer_in_another_encoding_confirms_nothing_that_it_does_not_say(
    gateway: Gateway, encoding: str
) -> None:
    for body in bodies_of(gateway):
        check(gateway, body.decode("latin-1").encode(encoding, "replace"))


@EACH
@settings(max_examples=150)
@given(st.data())
def test_an_answer_whose_pieces_were_dropped_repeated_or_moved_confirms_nothing_that_it_does_not_say(
    gateway: Gateway, data: st.DataObject
) -> None:
    body = data.draw(st.sampled_from(bodies_of(gateway)))
    for seed in data.draw(st.lists(st.integers(0, 2**32), min_size=1, max_size=4)):
        body = rearrange(body, 4096, seed)
    if body and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + data.draw(st.binary(max_size=2)) + body[at + 1 :]
    check(gateway, body, data.draw(st.sampled_from([200, 200, 202, 404, 500])))


@given(
    st.sampled_from(["true", "false", "1", "TRUE", "true ", ""]),
    st.sampled_from(["", "<a/>", "<!-- -->", "&#116;"]),
)
@example("true", "<!-- -->")
def test_a_boolean_in_xml_is_what_stands_there_and_nothing_else(text: str, inside: str) -> None:
    check(corpus.ESENDEX["xml"], f"<boolean>{text}{inside}</boolean>".encode())
    check(corpus.ESENDEX["xml"], f"<boolean>{inside}{text}</boolean>".encode())
