"""What is planted, and the connections that it is planted in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_smscancel.sandbox import Credentials
from torture.needles import Needle

# Every one holds characters that look different in each form, and a run of letters and digits that looks the same in all.
# A header takes no more than ASCII.
TOKEN = "t\"+/%'\\<Kq7vTz93LmRw>&=?;p"  # noqa: S105 - opens nothing
PASSWORD = "ü\"+/%'\\<Wm4kZr81XtPn>&=? ß"  # noqa: S105 - opens nothing
LICENCE_KEY = "c3a9f17e-58d2-4b6c-9e04-7d1f8ab25c96"
WRONG_TOKEN = "w\"+/%'\\<Jd5hBn62VgQs>&=?"  # noqa: S105 - opens nothing
WRONG_PASSWORD = "ö\"+/%'\\<Fx8cYt37GbMk>&=? é"  # noqa: S105 - opens nothing
WRONG_KEY = "b84d06e2-91f7-4a3e-8c5d-e6027fb9d413"
PROXY_PASSWORD = "Pz6nCs94DhLv+/%<"  # noqa: S105 - opens nothing
DATABASE_PASSWORD = "d\"+/%'\\<Gx7mVc42WnTr>&=?"  # noqa: S105 - opens nothing
CLICKATELL_NUMBER = "27836194072"
ESENDEX_NUMBER = "17575503916"
TEXT = "Ihr Kennwort \"+/%'\\<Hb82LnzKd7ut> gilt für 5 & mehr"
USER = "planted-user"
API_ID = "planted-api"
FOUND = "found.json"
"""Where a process writes down what it has found."""
DEBUG_LINE = "planted-debug-line-2vR8kQ"
"""Not secret: it has to be found, as a proof that lines at debug level are written and searched."""

CREDENTIALS = Credentials(token=TOKEN, user=USER, password=PASSWORD, api_id=API_ID, licence_key=LICENCE_KEY)


def _guid(name: str, guid: str) -> Needle:
    return Needle(name, guid, (guid.replace("-", ""), guid.rpartition("-")[2]))


def _number(name: str, number: str, country: str) -> Needle:
    national = number.removeprefix(country)
    return Needle(name, number, (national, f"{national[:2]} {national[2:5]} {national[5:]}"))


NEEDLES = (
    Needle("the auth token", TOKEN),
    Needle("the API password", PASSWORD),
    _guid("the licence key", LICENCE_KEY),
    Needle("a wrong auth token", WRONG_TOKEN),
    Needle("a wrong API password", WRONG_PASSWORD),
    _guid("a wrong licence key", WRONG_KEY),
    Needle("the proxy's password", PROXY_PASSWORD),
    Needle("the database's password", DATABASE_PASSWORD),
    _number("a phone number at Clickatell", CLICKATELL_NUMBER, "27"),
    _number("a phone number at Esendex", ESENDEX_NUMBER, "1"),
    Needle("the text of a message", TEXT),
)


def session_needle(session: str) -> Needle:
    """Make a needle of a session id that the sandbox gave out."""
    return Needle("a session id", session)


@dataclass(frozen=True)
class Service:
    """One way to talk to a gateway, with planted credentials.

    :param name: for the table.
    :param fields: of the connection, without the host.
    :param wrong: what the gateway refuses in place of the password.
    """

    name: str
    fields: dict[str, Any]
    wrong: str

    @property
    def gateway(self) -> str:
        """The connection type."""
        return str(self.fields["conn_type"])

    @property
    def number(self) -> str:
        """The number that is planted there."""
        return CLICKATELL_NUMBER if self.gateway == "clickatell" else ESENDEX_NUMBER


def _rest(response_format: str) -> Service:
    extra = {"api": "rest", "response_format": response_format}
    fields = {"conn_type": "clickatell", "password": TOKEN, "extra": extra}
    return Service(f"Clickatell REST in {response_format.upper()}", fields, WRONG_TOKEN)


def _esendex(request_format: str) -> Service:
    fields = {
        "conn_type": "esendex",
        "password": LICENCE_KEY,
        "extra": {"request_format": request_format},
    }
    return Service(f"Esendex by {request_format.upper()}", fields, WRONG_KEY)


_HTTP_FIELDS = {
    "conn_type": "clickatell",
    "login": USER,
    "password": PASSWORD,
    "extra": {"api": "http", "api_id": API_ID},
}
SERVICES = (
    _rest("json"),
    _rest("xml"),
    Service("Clickatell HTTP", _HTTP_FIELDS, WRONG_PASSWORD),
    _esendex("json"),
    _esendex("get"),
    _esendex("soap"),
)


def number_at(conn_id: str) -> str:
    """Return the planted number of the gateway that a connection of the stack leads to."""
    return ESENDEX_NUMBER if conn_id.endswith(("esendex", "soap")) else CLICKATELL_NUMBER


def _extra(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**fields, "extra": {**fields.get("extra", {}), **more}}


def connections(sandbox: str, echo: str, silent: str, closed: str) -> dict[str, str]:
    """Make the variables of all connections."""
    rest = {"conn_type": "clickatell", "password": TOKEN}
    http_extra = {"api": "http", "api_id": API_ID}
    http = {"conn_type": "clickatell", "login": USER, "password": PASSWORD, "extra": http_extra}
    esendex = {"conn_type": "esendex", "password": LICENCE_KEY}
    described: dict[str, dict[str, Any]] = {
        "planted_rest": {**rest, "host": sandbox},
        "planted_http": {**http, "host": sandbox},
        "planted_esendex": {**esendex, "host": sandbox},
        "planted_soap": _extra({**esendex, "host": sandbox}, request_format="soap"),
        "wrong_rest": {**rest, "host": sandbox, "password": WRONG_TOKEN},
        "wrong_http": {**http, "host": sandbox, "password": WRONG_PASSWORD},
        "wrong_esendex": {**esendex, "host": sandbox, "password": WRONG_KEY},
        "closed_rest": {**rest, "host": closed},
        "silent_http": _extra({**http, "host": silent}, timeout=0.3),
        "echo_rest": {**rest, "host": echo},
        "echo_http": {**http, "host": echo},
        "echo_esendex": {**esendex, "host": echo},
        "database": {
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": int(closed.rpartition(":")[2]),
            "login": USER,
            "password": DATABASE_PASSWORD,
        },
        "malformed": {**rest, "host": f"https://{USER}:{TOKEN}@gateway.invalid"},
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in described.items()}
