"""Clickatell's archived REST API, as requests and answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType, Request, SentMessage, Verdict
from airflow_provider_smscancel.gateways.clickatell_codes import (
    GATEWAY,
    REST_FINDINGS,
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
    matched,
    read_amount,
    same_message,
    utc_of,
    wire_numbers,
)
from airflow_provider_smscancel.gateways.reading import (
    Unreadable,
    not_an_answer,
    read_document,
    verdict_on,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

_ACCEPT = {"json": "application/json", "xml": "application/xml"}

_ACCEPTED: Mapping[object, bool] = {"true": True, "false": False}


class ClickatellRest(ClickatellGateway):
    """Clickatell's REST API, version 1: one message a call, named by the gateway's own id.

    Source: "Stop message" and its neighbours in Clickatell's archived REST API documentation. Answers are
    read as JSON or XML, whichever comes.

    :param base_url: scheme, host and port.
    :param token: the auth token of the API.
    :param response_format: ``json`` or ``xml``: what the gateway is asked to answer in.
    :raises ValueError: for a token that is missing or can't travel in a header, or for another format.
    """

    def __init__(
        self, *, base_url: str = DEFAULT_BASE_URL, token: str, response_format: str = "json"
    ) -> None:
        super().__init__(base_url=base_url)
        if response_format not in _ACCEPT:
            raise ValueError("response_format must be 'json' or 'xml'")
        if not token:
            raise ValueError("the auth token is missing: fill in the connection's password")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise ValueError(
                "the auth token holds a blank, a line break or a character that no HTTP header can carry: "
                "paste it anew into the connection's password"
            )
        self._token = token
        self._response_format = response_format
        # One mapping for all requests: nobody changes it.
        self._headers = {
            "X-Version": "1",
            "Authorization": f"Bearer {token}",
            "Accept": _ACCEPT[response_format],
        }
        self._message_url = f"{self._base_url}/rest/message/"

    def __repr__(self) -> str:
        return f"ClickatellRest(base_url={self._base_url!r}, response_format={self._response_format!r})"

    @property
    def secrets(self) -> Sequence[str]:
        """The auth token."""
        return (self._token,)

    def stop(self, message_id: str, id_type: IdType, session: str | None = None) -> Request:
        """Build ``DELETE /rest/message/{id}``.

        :param session: ignored: this API has no sessions.
        :raises ValueError: for a client id. Stopping by one is not documented for this API.
        """
        return Request("DELETE", self._url_of(message_id, id_type), self._headers)

    def status(
        self, message_id: str, id_type: IdType, session: str | None = None, *, full: bool = False
    ) -> Request:
        """Build ``GET /rest/message/{id}``. Parameters as for :meth:`stop`; ``full`` changes nothing."""
        return Request("GET", self._url_of(message_id, id_type), self._headers)

    def _url_of(self, message_id: str, id_type: IdType) -> str:
        if id_type is not IdType.MESSAGE_ID:
            raise ValueError("Clickatell's REST API knows messages by its own ids only: use its HTTP API")
        if message_id.isascii() and message_id.isalnum():  # the usual id: there is nothing to quote
            return self._message_url + message_id
        return self._message_url + quote(message_id, safe="", errors="replace")

    def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`stop`. Only status 006 about this very id is ``CANCELLED``."""
        data, error = _parts(answer.body)
        if not isinstance(data, dict) or error is not None or not 200 <= answer.status <= 299:
            return self._not_data(data, error, answer)
        named = data.get("apiMessageId")
        if not isinstance(named, str) or not same_message(named, message_id):
            detail = "the answer names no message" if named is None else "the answer names another message"
            return verdict_on(answer, Finding.UNREADABLE, detail=detail)
        if data.get("error") is not None:
            return verdict_on(answer, Finding.UNREADABLE, detail="an answer with both data and an error")
        return status_verdict(data.get("messageStatus"), answer)

    def read_status(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`status`: it has the same shape as that to a stop."""
        return self.read_stop(message_id, id_type, answer)

    def _not_data(self, data: object, error: object, answer: Answer) -> Verdict:
        """Judge an answer that is not plain data with a 2xx status."""
        code = read_code(error.get("code")) if isinstance(error, dict) else None
        if answer.status == 401:
            # Documented for authentication and for IP lockdown, at times with an empty body.
            reason = error_text(code) if code else "authentication failed: check the connection's auth token"
            return verdict_on(answer, Finding.ACCOUNT, code, f"HTTP 401: {reason}")
        if code is None or 300 <= answer.status <= 399:
            return not_an_answer(answer, gateway=GATEWAY)
        if data is not None and answer.status != 429 and answer.status < 500:
            return verdict_on(answer, Finding.UNREADABLE, code, "an answer with both data and an error")
        return error_verdict(code, answer, REST_FINDINGS)

    def balance(self) -> Request:
        """Build ``GET /rest/account/balance``, which changes nothing."""
        return Request("GET", f"{self._base_url}/rest/account/balance", self._headers)

    def read_balance(self, answer: Answer) -> Decimal | Verdict:
        """Read its answer: the balance in credits, or why it can't be told."""
        data, error = _parts(answer.body)
        if not isinstance(data, dict) or error is not None or not 200 <= answer.status <= 299:
            return names_no_message(self._not_data(data, error, answer))
        amount = read_amount(data.get("balance"))
        if amount is None:
            return not_an_answer(answer, gateway=GATEWAY)
        return amount

    def send(
        self, to: Sequence[str], text: str, *, scheduled_at: datetime | None, client_message_id: str | None
    ) -> Request:
        """Build ``POST /rest/message``.

        :param to: numbers of digits, each with or without a leading ``+``.
        :param scheduled_at: when to send, with a time zone; at most seven days ahead, by the vendor's
            documentation (not checked here, for want of a clock). ``None`` sends at once.
        :param client_message_id: an id of the sender's own. That letters, digits, ``-`` and ``_`` are fine is
            inferred: the documentation forbids blanks.
        :raises ValueError: for anything that the gateway would not take. The text holds no number and no
            text.
        """
        message: dict[str, object] = {"text": checked_text(text), "to": wire_numbers(to)}
        if scheduled_at is not None:
            message["scheduledDeliveryTime"] = utc_of(scheduled_at).replace(tzinfo=None).isoformat() + "Z"
        if client_message_id is not None:
            if not ID_PATTERN.fullmatch(client_message_id):
                raise ValueError("a client message id has 1 to 64 letters, digits, '-' or '_'")
            message["clientMessageId"] = client_message_id
        headers = {**self._headers, "Content-Type": "application/json"}
        return Request("POST", f"{self._base_url}/rest/message", headers, json.dumps(message).encode())

    def read_send(self, to: Sequence[str], answer: Answer) -> list[SentMessage] | Verdict:
        """Read its answer: one entry per recipient in the order given, or why the whole request failed.

        The shape of an XML answer (``<response><data><message>…``, repeated) is inferred from the JSON one.
        """
        data, error = _parts(answer.body)
        if not isinstance(data, dict) or error is not None or not 200 <= answer.status <= 299:
            return names_no_message(self._not_data(data, error, answer))
        messages = data.get("message")
        # One recipient in XML is no list. In JSON a lone object is not documented, but says the same.
        entries = [_entry(item) for item in (messages if isinstance(messages, list) else [messages])]
        known = [entry for entry in entries if entry is not None]
        if len(known) != len(entries):
            detail = f"HTTP {answer.status} with recipients that can't be read: it may have been sent"
            return verdict_on(answer, Finding.UNREADABLE, detail=detail)
        return matched(to, known, answer)


def _parts(body: bytes) -> tuple[object, object]:
    """Take an answer apart into its ``data`` and its ``error``, each ``None`` when absent or null.

    XML has them in ``<response>``. For errors that is inferred: no sample of one is known, so ``<error>`` as
    the root is read as well.
    """
    try:
        document = read_document(body)
    except Unreadable:
        return None, None
    if not isinstance(document, dict):
        return None, None
    response = document.get("response")
    if len(document) == 1 and isinstance(response, dict):
        document = response
    return document.get("data"), document.get("error")


def _entry(item: object) -> Entry | None:
    """Read what became of one recipient, or ``None`` when that is in doubt."""
    if not isinstance(item, dict):
        return None
    accepted = item.get("accepted")
    if not isinstance(accepted, bool):
        accepted = _ACCEPTED.get(accepted.lower()) if isinstance(accepted, str) else None
    number = item.get("to")
    if isinstance(number, int) and not isinstance(number, bool):
        number = str(number)
    if accepted is None or not (number is None or isinstance(number, str)):
        return None
    number = number.removeprefix("+") if number else None
    message_id, error = item.get("apiMessageId"), item.get("error")
    if accepted:
        named = isinstance(message_id, str) and ID_PATTERN.fullmatch(message_id) is not None
        return Entry(str(message_id), None, number) if named and error is None else None
    if message_id:
        return None
    code = read_code(error.get("code")) if isinstance(error, dict) else None
    return Entry(None, error_text(code), number)
