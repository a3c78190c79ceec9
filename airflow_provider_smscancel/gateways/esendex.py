"""Esendex US (formerly CDYNE): builds its requests, reads its answers.

Sources: the vendor's pages on CancelMessage, SendMessage, ReadMessageStatus, GetMessageStatus and
GetPostbackSettingsForLicenseKey, and on the types MessageStatus, SMSResponse, OutgoingMessageResponse and
PostbackSettingsResponse (esendex.us/docs/sms-api). Where the code relies on something that they do not say,
it says so.

Cancelling needs no credentials: whoever holds a message id can cancel that message, so ids are sensitive. A
refused licence key therefore says nothing about a stop.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_smscancel.gateways import esendex_answers as answers
from airflow_provider_smscancel.gateways import esendex_sending, esendex_soap
from airflow_provider_smscancel.gateways.base import (
    Answer,
    Finding,
    Gateway,
    IdType,
    Request,
    SentMessage,
    Verdict,
)
from airflow_provider_smscancel.gateways.reading import (
    verdict_on,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

REQUEST_FORMATS = ("json", "xml", "get", "soap")
"""The ways to ask for a stop. All other calls are JSON or GET, whichever the service has."""

# The service's paths are not case-sensitive; this is the spelling of the vendor's samples.
_SERVICE = "/Messaging.svc"

_UNDASHED_GUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE | re.ASCII)

_GUID_DOCUMENT = f'<guid xmlns="{answers.SERIALIZATION}">{{}}</guid>'

# Without an Accept of its own (or with */*, which requests adds) the service answers in XML.
_ASK_JSON: Mapping[str, str] = MappingProxyType({"Accept": "application/json"})
_POST_JSON: Mapping[str, str] = MappingProxyType(
    {"Accept": "application/json", "Content-Type": "application/json"}
)
_POST_XML: Mapping[str, str] = MappingProxyType(
    {"Accept": "application/xml", "Content-Type": "application/xml"}
)
_POST_SOAP: Mapping[str, str] = MappingProxyType(
    {"Accept": "application/soap+xml", "Content-Type": esendex_soap.CONTENT_TYPE}
)


class EsendexUs(Gateway):
    """Esendex US. One instance serves one connection, is immutable, and may be shared between threads.

    :param base_url: scheme, host and port, such as ``https://messaging.esendex.us``; a trailing slash is
        dropped.
    :param licence_key: empty when there is none. Not needed to stop messages and to ask for a status; needed
        to send, for the full status, for the account check and to cancel everything.
    :param request_format: how to ask for a stop: ``json``, ``xml``, ``get`` or ``soap`` (SOAP 1.2 with
        addressing).
    :raises ValueError: for another ``request_format``.
    """

    name = "esendex"
    label = answers.LABEL

    def __init__(self, *, base_url: str, licence_key: str = "", request_format: str = "json") -> None:
        if request_format not in REQUEST_FORMATS:
            raise ValueError(f"request_format: must be one of {', '.join(REQUEST_FORMATS)}")
        self._base_url = base_url.rstrip("/")
        self._licence_key = licence_key
        self._licence_key_digits = _hex_digits(licence_key)
        self._request_format = request_format
        self.has_full_status = bool(licence_key)
        stops: dict[str, Callable[[str], Request]] = {
            "json": self._stop_json,
            "xml": self._stop_xml,
            "get": self._stop_get,
            "soap": self._stop_soap,
        }
        self._stop = stops[request_format]
        self._cancel_url = self._url("CancelMessage")
        self._soap_url = self._base_url + esendex_soap.PATH
        self._keyless_status_url = self._url("GetMessageStatus?MessageID=")
        self._full_status_url = self._url(
            f"ReadMessageStatus?LicenseKey={quote(licence_key, safe='')}&MessageId="
        )

    def __repr__(self) -> str:
        return f"EsendexUs(base_url={self._base_url!r}, request_format={self._request_format!r})"

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        return self._base_url

    @property
    def secrets(self) -> Sequence[str]:
        """The licence key, if there is one."""
        return [self._licence_key] if self._licence_key else []

    def id_error(self, message_id: str, id_type: IdType) -> str | None:
        """Say what is wrong with an id, without echoing it, or ``None`` when it may be sent.

        A message id that is the licence key is refused: the call that cancels *everything* has the same body.
        """
        if id_type is not IdType.MESSAGE_ID:
            return (
                "Esendex US stops messages by the message id that it gave out, not by an id of the sender's"
            )
        if not answers.GUID.fullmatch(message_id):
            if _UNDASHED_GUID.fullmatch(message_id):
                return "not a GUID: its four dashes are missing (is this a Clickatell id?)"
            return "not a GUID: 8-4-4-4-12 hexadecimal digits"
        if message_id == answers.ZERO_GUID:
            return "the all-zero GUID, which Esendex gives for a message that could not be sent"
        if self._licence_key_digits and _hex_digits(message_id) == self._licence_key_digits:
            return "the connection's licence key, not the id of a message"
        return None

    def canonical_id(self, message_id: str, id_type: IdType) -> str:
        """Return the id in lower case: GUIDs compare without regard to case."""
        return message_id.lower()

    def stop(self, message_id: str, id_type: IdType, session: str | None = None) -> Request:
        """Build the CancelMessage request, in the connection's format. It holds no credential.

        :param message_id: one that :meth:`id_error` has nothing against.
        :param session: not used: there are no sessions.
        """
        return self._stop(message_id)

    def _stop_json(self, message_id: str) -> Request:
        # Quoted, though some of the vendor's samples are not: unquoted it is read only if it begins with a
        # digit.
        return Request("POST", self._cancel_url, _POST_JSON, json.dumps(message_id).encode())

    def _stop_xml(self, message_id: str) -> Request:
        return Request(
            "POST", self._cancel_url, _POST_XML, _GUID_DOCUMENT.format(escape(message_id)).encode()
        )

    def _stop_get(self, message_id: str) -> Request:
        return Request("GET", f"{self._cancel_url}?MessageID={quote(message_id, safe='')}", _ASK_JSON)

    def _stop_soap(self, message_id: str) -> Request:
        body = esendex_soap.cancel_envelope(message_id, self._soap_url)
        return Request("POST", self._soap_url, _POST_SOAP, body)

    def read_stop(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`stop`, JSON, XML or SOAP, whichever was asked for. Survives anything.

        ``CANCELLED`` is the literal boolean ``true`` with a 2xx status and nothing else. ``false`` is
        ``NOT_STOPPED``: an unknown id, a message already sent or queued and one already cancelled are not
        told apart.
        """
        parsed = answers.parse(answer.body)
        if parsed is not None and parsed.is_xml and esendex_soap.is_envelope(parsed.value):
            unusable = answers.envelope_verdict(parsed.value, message_id, answer)
            if unusable is not None:
                return unusable
        if not answers.is_success(answer):
            return answers.http_verdict(answer)
        stopped = answers.boolean(parsed)
        if stopped is None:
            return answers.http_verdict(answer)
        if stopped:
            return verdict_on(answer, Finding.CANCELLED, "true", "Esendex says that it cancelled the message")
        return verdict_on(
            answer,
            Finding.NOT_STOPPED,
            "false",
            "Esendex cancelled nothing and does not say why: unknown, sent, queued or cancelled before",
        )

    def status(
        self, message_id: str, id_type: IdType, session: str | None = None, *, full: bool = False
    ) -> Request:
        """Build the request that asks where one message is.

        By default that is GetMessageStatus, which is deprecated but keeps the licence key out of the URL.

        :param full: use ReadMessageStatus, which has the licence key in its URL. Without a licence key it is
            GetMessageStatus all the same.
        """
        url = self._full_status_url if full and self.has_full_status else self._keyless_status_url
        return Request("GET", url + quote(message_id, safe=""), _ASK_JSON)

    def read_status(self, message_id: str, id_type: IdType, answer: Answer) -> Verdict:
        """Read the answer to :meth:`status`; which of the two calls it answers shows in its shape.

        Only an answer that names this very message counts, but for "not found" and "not your account": these
        may come without an id or with the all-zero one (that they do is inferred: what stands there is not
        documented). ``ACCOUNT`` comes from the full status only: ask the one without a key then.
        """
        if not answers.is_success(answer):
            return answers.http_verdict(answer)
        parsed = answers.parse(answer.body)
        record = answers.single_record(parsed)
        if parsed is None or record is None or ("MessageStatus" in record) == ("SMSError" in record):
            return answers.http_verdict(answer)
        if "MessageStatus" in record:
            return answers.read_full_status(record, message_id, answer)
        return answers.read_keyless_status(record, message_id, answer, is_xml=parsed.is_xml)

    def account_check(self) -> Request | None:
        """Build the harmless GetPostbackSettingsForLicenseKey, or ``None`` without a licence key.

        The vendor documents it as a GET only, so the licence key is in its URL: it must not be logged.
        """
        if not self._licence_key:
            return None
        key = quote(self._licence_key, safe="")
        return Request("GET", self._url(f"GetPostbackSettingsForLicenseKey?LicenseKey={key}"), _ASK_JSON)

    def read_account_check(self, answer: Answer) -> Verdict:
        """Read its answer: ``ACCOUNT`` for ReturnCode 1, ``ACCEPTED`` for any other ReturnCode.

        Others, such as 5 (NotFound), are about the settings asked for and come only after the key was
        accepted; that is inferred from their names. An empty list proves nothing and is ``UNREADABLE``.
        """
        if not answers.is_success(answer):
            return answers.http_verdict(answer)
        codes = [
            answers.return_code(record.get("ReturnCode"))
            for record in answers.records(answers.parse(answer.body))
        ]
        if answers.RETURN_CODE_INVALID_KEY in codes:
            return verdict_on(answer, Finding.ACCOUNT, "1", "Esendex does not know this licence key")
        if not codes or None in codes:
            return answers.http_verdict(answer)
        return verdict_on(answer, Finding.ACCEPTED, detail="Esendex accepts the licence key")

    def send(
        self, to: Sequence[str], text: str, *, scheduled_at: datetime | None, client_message_id: str | None
    ) -> Request:
        """Build the SendMessage request. Esendex picks the sender's number among the account's.

        :param to: numbers, as digits, optionally led by ``+``; blanks, dots, dashes and brackets are dropped.
        :param scheduled_at: timezone-aware; sent as UTC with a precision of milliseconds. ``None`` sends at
            once.
        :param client_message_id: becomes the ReferenceID, which messages can't be cancelled by.
        :raises ValueError: without a licence key, recipients or text, or with an unusable number or a naive
            time. None of these texts holds the number.
        """
        if not self._licence_key:
            raise ValueError(
                "sending through Esendex US needs the licence key: put it into the connection's password"
            )
        if not text:
            raise ValueError("the text is empty")
        body: dict[str, object] = {
            "Body": text,
            "LicenseKey": self._licence_key,
            "To": esendex_sending.recipients_of(to),
            "UseMMS": False,
        }
        if scheduled_at is not None:
            body["ScheduledDateTime"] = esendex_sending.wire_date(scheduled_at)
        if client_message_id:
            body["ReferenceID"] = client_message_id
        return Request("POST", self._url("SendMessage"), _POST_JSON, json.dumps(body).encode())

    def read_send(self, to: Sequence[str], answer: Answer) -> list[SentMessage] | Verdict:
        """Read its answer: one entry per recipient in the order given, or why the whole request failed.

        Entries are matched by their number, which may come with the country code 1 added or dropped
        (inferred), or by order when they bear none. A recipient whom the answer does not mention gets an
        ``error`` that says so: the ids of the others must not be lost over it.
        """
        if not answers.is_success(answer):
            return answers.http_verdict(answer)
        records = answers.records(answers.parse(answer.body))
        if not records or not all("MessageID" in record or "MessageStatus" in record for record in records):
            return answers.http_verdict(answer)
        numbers = {answers.message_status(record) for record in records}
        if numbers <= {401, 402}:
            number = min(filter(None, numbers))
            return verdict_on(answer, Finding.ACCOUNT, str(number), answers.account_detail(number))
        by_recipient = esendex_sending.match_recipients(to, records)
        if by_recipient is None:
            detail = "the answer's recipients are not those of the request: something may have been sent"
            return verdict_on(answer, Finding.UNREADABLE, None, detail)
        return [
            esendex_sending.sent_message(number, record)
            for number, record in zip(to, by_recipient, strict=True)
        ]

    def cancel_all(self) -> Request:
        """Build CancelAllMessages: it cancels **everything** that is scheduled under the licence key.

        Nothing else in this class builds this request. Never repeat it by yourself, and have a person confirm
        it.

        :raises ValueError: without a licence key.
        """
        if not self._licence_key:
            raise ValueError(
                "cancelling all messages needs the licence key: put it into the connection's password"
            )
        body = json.dumps(self._licence_key).encode()
        return Request("POST", self._url("CancelAllMessages"), _POST_JSON, body)

    def read_cancel_all(self, answer: Answer) -> bool | Verdict:
        """Read its answer: the service's own boolean, or why there is none, though it may have acted."""
        if not answers.is_success(answer):
            return answers.http_verdict(answer)
        done = answers.boolean(answers.parse(answer.body))
        if done is None:
            return answers.http_verdict(answer)
        return done

    def _url(self, call: str) -> str:
        return f"{self._base_url}{_SERVICE}/{call}"


def _hex_digits(guid: str) -> str:
    """Return a GUID's digits alone: a licence key may have been saved with braces or without dashes."""
    return re.sub(r"[^0-9a-f]", "", guid.lower())
