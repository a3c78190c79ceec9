"""A transport that answers from a script, in the terms of the gateway's own calls, and remembers what was asked when."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from airflow_provider_smscancel.campaigns.engine import Engine
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import Limits, RunEnd, RunStats, SettledMessage
from airflow_provider_smscancel.campaigns.settlement import StatusCase, StopCase, Verb
from airflow_provider_smscancel.gateways.base import Answer, Gateway, IdType, Request
from airflow_provider_smscancel.gateways.clickatell import ClickatellHttp, ClickatellRest
from airflow_provider_smscancel.gateways.esendex import EsendexUs
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from support import virtual_time

T0 = 1_800_000_000.0
"""The wall clock, in seconds since 1970, when the loop's clock says 0."""
KEY = "5a9dbe5a-0000-4000-8000-5a9dbe5a0000"
NO_HEADERS: Mapping[str, str] = {}


def rest() -> ClickatellRest:
    return ClickatellRest(token="sandbox-token")


def http_api() -> ClickatellHttp:
    return ClickatellHttp(user="sandbox", password="sandbox-password", api_id="sandbox-api")


def esendex(licence_key: str = "") -> EsendexUs:
    return EsendexUs(base_url="https://messaging.esendex.us", licence_key=licence_key)


def hex_id(number: int) -> str:
    return f"{number:032x}"


def guid(number: int) -> str:
    return f"1627aea5-8e0a-4371-9022-{number:012x}"


class Call(NamedTuple):
    """One request, as the script sees it.

    :param at: seconds on the loop's clock.
    :param verb: ``stop``, ``status``, ``full status``, ``balance``, ``login`` or ``ping``.
    """

    at: float
    verb: str
    message_id: str = ""
    session: str | None = None


_REST = {"DELETE": "stop", "GET": "status"}
_HTTP_API = {
    "delmsg": "stop",
    "querymsg": "status",
    "getbalance": "balance",
    "auth": "login",
    "ping": "ping",
}
_ESENDEX = {
    "GetMessageStatus": "status",
    "ReadMessageStatus": "full status",
    "GetPostbackSettingsForLicenseKey": "balance",
}


def call_of(request: Request, at: float) -> Call:
    parts = urlsplit(request.url)
    last = parts.path.rpartition("/")[2]
    if "/http/" in parts.path:
        form = parse_qs((request.body or b"").decode())
        message_id = (form.get("apimsgid") or form.get("climsgid") or [""])[0]
        return Call(at, _HTTP_API[last], message_id, (form.get("session_id") or [None])[0])
    if "/rest/" in parts.path:
        return Call(at, "balance") if last == "balance" else Call(at, _REST[request.method], unquote(last))
    if last == "CancelMessage":
        return Call(at, "stop", json.loads(request.body or b""))
    query = {name.lower(): values[0] for name, values in parse_qs(parts.query).items()}
    return Call(at, _ESENDEX[last], query.get("messageid", ""))


# -- what a gateway may say --------------------------------------------------------------------------------


def rest_says(message_id: str, status: str, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
    data = {"apiMessageId": message_id, "messageStatus": status, "description": "x"}
    return Answer(200, headers, json.dumps({"data": data}).encode())


def rest_error(http_status: int, code: str | None, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
    body = b"" if code is None else json.dumps({"error": {"code": code, "description": "x"}}).encode()
    return Answer(http_status, headers, body)


def rest_balance() -> Answer:
    return Answer(200, {}, b'{"data":{"balance":"300.50"}}')


def line(text: str) -> Answer:
    return Answer(200, {}, text.encode())


def page(http_status: int, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
    return Answer(http_status, headers, b"<html><body>Request Error</body></html>")


def esendex_says(stopped: bool) -> Answer:
    return Answer(200, {}, b"true" if stopped else b"false")


def keyless_status(
    message_id: str, *, error: int = 0, sent: bool = False, queued: bool = False, cancelled: bool = False
) -> Answer:
    record = {
        "Cancelled": cancelled,
        "MessageID": message_id,
        "Queued": queued,
        "ReferenceID": "",
        "SMSError": error,
        "Sent": sent,
        "SentDateTime": "/Date(-62135578800000-0500)/",
    }
    return Answer(200, {}, json.dumps(record).encode())


def full_status(message_id: str, status: int) -> Answer:
    record = {"MessageID": message_id, "MessageStatus": status, "To": "", "From": "", "Attachments": []}
    return Answer(200, {}, json.dumps(record).encode())


def licence_key_answer(return_code: int) -> Answer:
    return Answer(200, {}, json.dumps([{"ReturnCode": return_code}]).encode())


def lost() -> TransportFailure:
    return TransportFailure(FailureKind.TIMEOUT)


def never_left() -> TransportFailure:
    return TransportFailure(FailureKind.REFUSED)


Script = Callable[[Call], Answer | BaseException]


@dataclass
class ScriptedTransport:
    """Answers from a script.

    :param script: what the gateway says to a call; an exception is raised.
    :param latency_s: how long every answer takes, in seconds of the loop.
    """

    script: Script
    latency_s: float | Callable[[Call], float] = 0.05
    calls: list[Call] = field(default_factory=list)

    async def send(self, request: Request) -> Answer:
        call = call_of(request, asyncio.get_running_loop().time())
        self.calls.append(call)
        latency = self.latency_s(call) if callable(self.latency_s) else self.latency_s
        await asyncio.sleep(latency)
        answer = self.script(call)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def of(self, verb: str) -> list[Call]:
        return [call for call in self.calls if call.verb == verb]


@dataclass
class Played:
    """What came of a run."""

    end: RunEnd | None
    error: BaseException | None
    results: list[SettledMessage]
    stats: RunStats
    transport: ScriptedTransport
    took_s: float

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(str(result.settled.outcome) for result in self.results)

    def outcome_of(self, index: int) -> str:
        (found,) = (result for result in self.results if result.index == index)
        return str(found.settled.outcome)

    @property
    def calls(self) -> list[Call]:
        return self.transport.calls


def campaign_of(
    gateway: Gateway, count: int, *, due: list[float] | None = None, id_type: IdType = IdType.MESSAGE_ID
) -> Campaign:
    """Messages 0, 1, 2, …

    :param due: when each leaves, in seconds of the loop's clock; undated without.
    """
    campaign = Campaign(gateway, id_type)
    make = guid if gateway.name == "esendex" else hex_id
    for number in range(count):
        campaign.add(make(number + 1), None, f"item {number}")
    if due is not None:
        campaign.due = array("d", (T0 + at for at in due))
    return campaign


def play(
    gateway: Gateway,
    campaign: Campaign | int,
    script: Script,
    *,
    rate: float = 1000,
    concurrency: int = 8,
    give_up_after_s: float = 600,
    deadline_s: float | None = None,
    latency_s: float | Callable[[Call], float] = 0.05,
    first: Verb = Verb.STOP,
    first_try: bool = True,
    stop_at: float | None = None,
    todo: list[int] | None = None,
) -> Played:
    """Run the engine over a campaign in virtual time, with the wall clock in step.

    Holds for every run, so it is checked in each: every message gets exactly one result.

    :param stop_at: when the run is told to stop, in seconds of the loop.
    """
    if isinstance(campaign, int):
        campaign = campaign_of(gateway, campaign)
    todo = list(range(len(campaign))) if todo is None else todo
    transport = ScriptedTransport(script, latency_s)
    results: list[SettledMessage] = []
    stats = RunStats()

    async def main() -> tuple[RunEnd | None, BaseException | None, float]:
        loop = asyncio.get_running_loop()
        engine = Engine(
            gateway,
            campaign,
            todo,
            limits=Limits(rate, concurrency, give_up_after_s, deadline_s),
            make_case=lambda _: (
                StopCase(lambda: 0.5, first_try=first_try) if first is Verb.STOP else StatusCase(lambda: 0.5)
            ),
            deliver=results.extend,
            stats=stats,
            first=first,
            wall=lambda: T0 + loop.time(),
        )
        if stop_at is not None:
            loop.call_later(stop_at, engine.end, RunEnd.STOPPED)
        try:
            return await engine.run(transport), None, loop.time()
        except Exception as error:
            return None, error, loop.time()

    end, error, took_s = virtual_time.run(main())
    assert sorted(result.index for result in results) == sorted(todo)
    assert all(isinstance(result.settled.outcome, Outcome) == (first is Verb.STOP) for result in results)
    return Played(end, error, results, stats, transport, took_s)
