"""Answers of gateways, fed to every reader: no verdict `cancelled` that a second opinion does not share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from airflow_provider_smscancel.gateways.base import Answer, Finding, Gateway, IdType, Verdict
from torture.fuzzing import corpus, oracle
from torture.fuzzing.target import Target, insist

STATUSES = (200, 200, 200, 202, 207, 204, 302, 400, 401, 404, 407, 429, 500, 503)
HEADERS = ({}, {"Retry-After": "1"}, {"Content-Type": "text/html"}, {"Content-Type": "application/json"})


@dataclass(frozen=True)
class Reader:
    """One way to read an answer.

    :param says_cancelled: a second opinion on what it says of the message.
    """

    read: Callable[[Answer], object]
    message_id: str = ""
    id_type: IdType = IdType.MESSAGE_ID
    says_cancelled: oracle.Judge | None = None


def _readers(gateway: Gateway, message_id: str, stop: oracle.Judge, status: oracle.Judge) -> list[Reader]:
    found = []
    for id_type in sorted(gateway.id_types):
        name = message_id if id_type is IdType.MESSAGE_ID else corpus.CLIENT_ID
        found.append(Reader(partial(gateway.read_stop, name, id_type), name, id_type, stop))
        found.append(Reader(partial(gateway.read_status, name, id_type), name, id_type, status))
    found.append(Reader(gateway.read_account_check))
    found += [Reader(partial(gateway.read_send, to)) for to in (corpus.TO, corpus.TO[:1])]
    if gateway.uses_session:
        found += [Reader(gateway.read_login), Reader(gateway.read_ping)]
    if hasattr(gateway, "read_cancel_all"):
        found.append(Reader(gateway.read_cancel_all))
    return found


def _feed(readers: Sequence[Reader], data: bytes) -> None:
    """Read an answer: the first three bytes say by which call, and with which HTTP status and headers."""
    how, status, headers, body = *data[:3].ljust(3, b"\0"), data[3:]
    reader = readers[how % len(readers)]
    answer = Answer(STATUSES[status % len(STATUSES)], HEADERS[headers % len(HEADERS)], body)
    verdict = reader.read(answer)
    if not isinstance(verdict, Verdict):
        return
    insist(verdict.detail.isprintable(), "a detail that is no line of text")
    if verdict.finding is Finding.CANCELLED:
        judge = reader.says_cancelled
        said = judge is not None and judge(answer.status, body, reader.message_id, reader.id_type)
        insist(said, "cancelled, though the gateway does not say so of this message")


def _answers(readers: Sequence[Reader], bodies: Iterable[bytes]) -> Iterator[bytes]:
    for body in bodies:
        for how in range(len(readers)):
            yield bytes((how, 0, 0)) + body


def _answer_target(
    about: str, share: float, judges: tuple[oracle.Judge, oracle.Judge], *from_: Gateway
) -> Target:
    message_id = corpus.ESENDEX_ID if from_[0].name == "esendex" else corpus.CLICKATELL_ID
    readers = _readers(from_[0], message_id, *judges)

    def seeds() -> Iterator[bytes]:
        said = dict.fromkeys(body for gateway in from_ for body in corpus.bodies_of(gateway, message_id))
        return _answers(readers, [*said, *corpus.BITES, *corpus.samples()])

    return Target(about, share, 1024, seeds, partial(_feed, readers))


_REST = (oracle.rest_says_cancelled, oracle.rest_says_cancelled)
_HTTP = (oracle.http_says_cancelled, oracle.http_says_cancelled)
_ESENDEX = (oracle.esendex_says_it_stopped, oracle.esendex_says_cancelled)
TARGETS = {
    "clickatell_rest": _answer_target(
        "answers of Clickatell's REST API", 0.22, _REST, corpus.REST, corpus.REST_XML
    ),
    "clickatell_http": _answer_target("answers of Clickatell's HTTP API", 0.15, _HTTP, corpus.HTTP),
    "esendex": _answer_target("answers of Esendex", 0.28, _ESENDEX, *corpus.ESENDEX.values()),
}
