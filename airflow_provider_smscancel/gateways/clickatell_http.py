"""Clickatell's archived HTTP API, as requests and answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, Request, SentMessage, Verdict
from airflow_provider_smscancel.gateways.clickatell_codes import (
    GATEWAY,
    HTTP_FINDINGS,
    error_text,
    error_verdict,
    names_no_message,
    read_code,
    status_verdict,
)
from airflow_provider_smscancel.gateways.clickatell_common import (
    DEFAULT_BASE_URL,
    ID_PATTERN,
    ClickatellGateway,
    Entry,
    checked_text,
    is_encodable,
    matched,
    read_amount,
    same_message,
    utc_of,
    wire_numbers,
)
from airflow_provider_smscancel.gateways.reading import not_an_answer, verdict_on

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

_HEADERS: Mapping[str, str] = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "text/plain, */*;q=0.1",
}

_ID_PARAMETER: Mapping[IdType, str] = {
    IdType.MESSAGE_ID: "apimsgid",
    IdType.CLIENT_MESSAGE_ID: "climsgid",
}

# Bytes, because an error's text may be in any encoding, and only ASCII parts of a line are ever used. No two
# neighbouring parts can match the same characters, so no line takes more than linear time.
_ID_LINE = re.compile(
    rb"ID:[ \t]*(?P<id>[!-9;-~]{1,200})"
    rb"(?:[ \t]+To:[ \t]*(?P<to>\+?[0-9]{1,20}))?"
    rb"(?:[ \t]+Status:[ \t]*(?P<status>[0-9]{1,6}))?",
    re.IGNORECASE,
)
_ERR_LINE = re.compile(rb"ERR:[ \t]*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_ERR_CODE = re.compile(rb"([0-9]{1,6})[ \t]*(?:$|[,:]|To:)", re.IGNORECASE)
_ERR_TO = re.compile(rb"(?:^|[\s,:])To:[ \t]*(\+?[0-9]{1,20})$", re.IGNORECASE)
_OK_LINE = re.compile(rb"OK:[ \t]*(?P<session>[A-Za-z0-9_-]{0,128})", re.IGNORECASE)
_CREDIT_LINE = re.compile(rb"Credits?:[ \t]*(?P<amount>[-0-9.]{1,32})", re.IGNORECASE)

# What may be left of a code in an answer that was cut behind its first or second digit: 01 of 011 (scheduled) must not pass for
# 001 (unknown). Statuses begin with 00 or 01; an error's code may be followed by a text, and is whole then.
_PART_OF_A_STATUS = re.compile(rb"0[01]?")
_PART_OF_AN_ERROR = re.compile(rb"[0-9]{1,2}")

# The documented id has 32 hexadecimal characters. A shorter one is what is left of it in an answer that was cut: nothing in
# these lines tells where they end, and the message could never be stopped by it.
_PART_OF_AN_ID = re.compile(r"[0-9A-Fa-f]{1,31}")

_BOM = b"\xef\xbb\xbf"
_MAX_IDS_NAMED = 5
_LIKE_A_NUMBER = re.compile(r"[0-9]{7,20}")


@dataclass(frozen=True, slots=True)
class _IdLine:
    """A line about one message: the id that the gateway gave it, and what else the line tells."""

    message_id: str
    number: str | None
    status: str | None


@dataclass(frozen=True, slots=True)
class _ErrLine:
    """A line that tells an error. Its text is not kept: it may hold anything."""

    code: str | None
    number: str | None


class ClickatellHttp(ClickatellGateway):
    """Clickatell's HTTP API: form parameters in, lines of text out, and every error with an HTTP 200.

    Source: "Delete message" (delmsg), "Authentication" and their neighbours in Clickatell's archived HTTP API
    documentation. Every call is a POST, so that no credential ever is in a URL.

    :param base_url: scheme, host and port.
    :param user: the API user name.
    :param password: the API password.
    :param api_id: the API id: any string, since newer accounts have a long key there.
    :raises ValueError: when one of the three is missing, or can't be encoded.
    """

    id_types: frozenset[IdType] = frozenset(IdType)
    uses_session: bool = True

    def __init__(self, *, base_url: str = DEFAULT_BASE_URL, user: str, password: str, api_id: str) -> None:
        super().__init__(base_url=base_url)
        credentials = {"user": user, "password": password, "api_id": api_id}
        fields = {"user": "login", "password": "password", "api_id": "extra field api_id"}
        missing = [fields[parameter] for parameter, value in credentials.items() if not value]
        if missing:
            raise ValueError(f"the HTTP API needs the connection's {' and '.join(missing)}")
        for parameter, value in credentials.items():
            if not is_encodable(value):
                raise ValueError(f"the connection's {fields[parameter]} can't be encoded")
        self._password = password
        # Non-ASCII credentials as UTF-8: inferred, the documentation names no encoding.
        self._credentials = urlencode(credentials)

    def __repr__(self) -> str:
        return f"ClickatellHttp(base_url={self._base_url!r})"

    @property
    def secrets(self) -> Sequence[str]:
        """The API password."""
        return (self._password,)

    def _post(self, command: str, credentials: str, parameters: str = "") -> Request:
        form = f"{credentials}&{parameters}" if parameters else credentials
        return Request("POST", f"{self._base_url}/http/{command}", _HEADERS, form.encode("ascii"))

    def _about(self, command: str, message_id: str, id_type: IdType, session: str | None) -> Request:
        credentials = self._credentials if session is None else _session_form(session)
        parameter = f"{_ID_PARAMETER[id_type]}={quote_plus(message_id, errors='replace')}"
        return self._post(command, credentials, parameter)

    def stop(self, message_id: str, id_type: IdType, session: str | None = None) -> Request:
        """Build ``delmsg``, by ``apimsgid`` or ``climsgid``.

        :param session: an open session, used in place of the credentials.
        """
        return self._about("delmsg", message_id, id_type, session)

    def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`stop`. Only status 006 about this very message is ``CANCELLED``.

        By message id, the answer has to be one line that names that id. By client id, every line names an id
        of the gateway's own (which goes into the detail), and all of them have to agree.
        """
        lines = _read_lines(answer)
        if isinstance(lines, Verdict):
            return lines
        found = [line for line in lines if isinstance(line, _IdLine)]
        if len(found) != len(lines):
            return verdict_on(answer, Finding.UNREADABLE, detail="an answer with several lines that disagree")
        if id_type is IdType.CLIENT_MESSAGE_ID:
            return _verdict_by_client_id(found, answer, secret=self._password)
        if len(found) != 1:
            return verdict_on(answer, Finding.UNREADABLE, detail="an answer about more than one message")
        if not same_message(found[0].message_id, message_id):
            return verdict_on(answer, Finding.UNREADABLE, detail="the answer names another message")
        return status_verdict(found[0].status, answer)

    def status(
        self, message_id: str, id_type: IdType, session: str | None = None, *, full: bool = False
    ) -> Request:
        """Build ``querymsg``. The parameters are those of :meth:`stop`; ``full`` changes nothing."""
        return self._about("querymsg", message_id, id_type, session)

    def read_status(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`status`: it has the same shape as that to a stop."""
        return self.read_stop(message_id, id_type, answer)

    def login(self) -> Request:
        """Build ``auth``, which opens a session. It lasts 15 minutes from its last use."""
        return self._post("auth", self._credentials)

    def read_login(self, answer: Answer) -> str | Verdict:
        """Read its answer: the session id, or why there is none."""
        session = _read_session(answer)
        if session:
            return session
        verdict = _verdict_of_call(answer)
        if verdict.finding is Finding.SESSION:
            # No session was used, so a new one is no remedy.
            return verdict_on(answer, Finding.FAULT, verdict.code, verdict.detail)
        return verdict

    def ping(self, session: str) -> Request:
        """Build ``ping``, which keeps a session alive for another 15 minutes."""
        return self._post("ping", _session_form(session))

    def read_ping(self, answer: Answer) -> bool:
        """Read its answer, ``OK: <session id>`` or a bare ``OK:``: whether the session is alive."""
        return _read_session(answer) is not None

    def balance(self) -> Request:
        """Build ``getbalance``, which changes nothing."""
        return self._post("getbalance", self._credentials)

    def read_balance(self, answer: Answer) -> Decimal | Verdict:
        """Read its answer, ``Credit: 123.0`` or ``Credits: 123.00``, or why it can't be told."""
        line = _only_line(answer, _CREDIT_LINE)
        amount = read_amount(line["amount"].decode("ascii")) if line else None
        return _verdict_of_call(answer) if amount is None else amount

    def send(
        self, to: Sequence[str], text: str, *, scheduled_at: datetime | None, client_message_id: str | None
    ) -> Request:
        """Build ``sendmsg``.

        Text beyond ASCII goes as hexadecimal UTF-16 with ``unicode=1``, as the vendor's specification of the
        HTTP API asks for. (Some of it could go in the phones' own alphabet, at less cost. This call does not
        try.)

        :param to: numbers of digits, each with or without a leading ``+``.
        :param scheduled_at: when to send, with a time zone; at most seven days ahead, by the vendor's
            documentation (not checked here, for want of a clock). ``None`` sends at once.
        :param client_message_id: an id of the sender's own: at most 32 letters and digits. All recipients
            share it.
        :raises ValueError: for anything that the gateway would not take. The text holds no number and no
            text.
        """
        parameters = {"to": ",".join(wire_numbers(to)), "text": checked_text(text)}
        if not text.isascii():
            parameters |= {"text": text.encode("utf-16-be").hex(), "unicode": "1"}
        if scheduled_at is not None:
            parameters["scheduled_time"] = str(int(utc_of(scheduled_at).timestamp()))
        if client_message_id is not None:
            if not re.fullmatch(r"[A-Za-z0-9]{1,32}", client_message_id):
                raise ValueError(
                    "a client message id has 1 to 32 letters and digits on Clickatell's HTTP API"
                )
            parameters["climsgid"] = client_message_id
        return self._post("sendmsg", self._credentials, urlencode(parameters))

    def read_send(self, to: Sequence[str], answer: Answer) -> list[SentMessage] | Verdict:
        """Read its answer: one entry per recipient in the order given, or why the whole request failed."""
        lines = _read_lines(answer, by_recipient=True)
        if isinstance(lines, Verdict):
            return names_no_message(lines)
        entries = [_entry(line) for line in lines]
        known = [entry for entry in entries if entry is not None]
        if len(known) != len(entries):
            detail = "an answer with recipients that can't be read: it may have been sent"
            return verdict_on(answer, Finding.UNREADABLE, detail=detail)
        return matched(to, known, answer)


def _session_form(session: str) -> str:
    return f"session_id={quote_plus(session, errors='replace')}"


def _split(answer: Answer) -> list[bytes]:
    """Split an answer into its lines, without blank ones and blanks around them."""
    stripped = (line.strip() for line in answer.body.removeprefix(_BOM).split(b"\n"))
    return [line for line in stripped if line]


def _only_line(answer: Answer, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    lines = _split(answer)
    if len(lines) != 1 or not 200 <= answer.status <= 299:
        return None
    return pattern.fullmatch(lines[0])


def _read_session(answer: Answer) -> str | None:
    """Return the session of an ``OK:`` line, an empty string when it names none, otherwise ``None``."""
    line = _only_line(answer, _OK_LINE)
    return line["session"].decode("ascii") if line else None


def _read_line(line: bytes) -> _IdLine | _ErrLine | None:
    found = _ID_LINE.fullmatch(line)
    if found:
        status = found["status"]
        if status and _PART_OF_A_STATUS.fullmatch(status):
            return None
        return _IdLine(
            found["id"].decode("ascii"), _number(found["to"]), status.decode("ascii") if status else None
        )
    error = _ERR_LINE.fullmatch(line)
    if error:
        code, to = _ERR_CODE.match(error["rest"]), _ERR_TO.search(error["rest"])
        if _PART_OF_AN_ERROR.fullmatch(error["rest"]):
            code = None
        return _ErrLine(read_code(code[1].decode("ascii")) if code else None, _number(to[1] if to else None))
    return None


def _number(raw: bytes | None) -> str | None:
    return raw.decode("ascii").removeprefix("+") if raw else None


def _read_lines(answer: Answer, *, by_recipient: bool = False) -> list[_IdLine | _ErrLine] | Verdict:
    """Read an answer line by line.

    :param by_recipient: whether a line stands for one recipient, as after a send.
    :returns: the lines, at least one of them; or a verdict on the whole request, when the answer is not the
        gateway's, has a status other than 2xx, or tells nothing but one error.
    """
    lines = [_read_line(line) for line in _split(answer)]
    known = [line for line in lines if line is not None]
    if not known or len(known) != len(lines) or 300 <= answer.status <= 399:
        return not_an_answer(answer, gateway=GATEWAY)
    error = _error_of_all(known, by_recipient)
    if error is not None:
        return error_verdict(error.code, answer, HTTP_FINDINGS)
    if not 200 <= answer.status <= 299:
        return not_an_answer(answer, gateway=GATEWAY)
    return known


def _error_of_all(lines: Sequence[_IdLine | _ErrLine], by_recipient: bool) -> _ErrLine | None:
    """Return the error that a whole answer tells, if it does."""
    errors = [line for line in lines if isinstance(line, _ErrLine)]
    if len(errors) != len(lines) or len({line.code for line in errors}) != 1:
        return None
    if by_recipient and (len(errors) > 1 or errors[0].number is not None):
        return None
    return errors[0]


def _verdict_of_call(answer: Answer) -> Verdict:
    """Judge an answer to a call that is about no message, once it is not the success that was looked for."""
    lines = _read_lines(answer)
    verdict = lines if isinstance(lines, Verdict) else not_an_answer(answer, gateway=GATEWAY)
    return names_no_message(verdict)


def _verdict_by_client_id(lines: Sequence[_IdLine], answer: Answer, *, secret: str) -> Verdict:
    """Judge lines that name the gateway's own ids: what they agree on, if they do.

    :param secret: what an answer may repeat in place of an id, and a report must not hold.
    """
    verdicts = [status_verdict(line.status, answer) for line in lines]
    if len({verdict.finding for verdict in verdicts}) != 1:
        detail = "the messages under this client id have different statuses"
        return verdict_on(answer, Finding.UNREADABLE, detail=detail)
    first = verdicts[0]
    same_code = len({verdict.code for verdict in verdicts}) == 1
    parts = [first.detail if same_code else "; ".join(dict.fromkeys(verdict.detail for verdict in verdicts))]
    # An id of another shape is not repeated: there is no telling what it is. It may be a phone number.
    ids = [
        line.message_id
        for line in lines
        if ID_PATTERN.fullmatch(line.message_id)
        and not _LIKE_A_NUMBER.fullmatch(line.message_id)
        and secret.lower() not in line.message_id.lower()
    ]
    if ids:
        more = f" and {len(ids) - _MAX_IDS_NAMED} more" if len(ids) > _MAX_IDS_NAMED else ""
        parts.append(f"gateway's id: {', '.join(ids[:_MAX_IDS_NAMED])}{more}")
    return verdict_on(answer, first.finding, first.code if same_code else None, "; ".join(parts))


def _entry(line: _IdLine | _ErrLine) -> Entry | None:
    """Read what became of one recipient, or ``None`` when that is in doubt."""
    if isinstance(line, _ErrLine):
        return Entry(None, error_text(line.code), line.number)
    if line.status is not None or not ID_PATTERN.fullmatch(line.message_id):
        return None
    if _PART_OF_AN_ID.fullmatch(line.message_id):
        return None
    return Entry(line.message_id, None, line.number)
