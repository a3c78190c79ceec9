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
from collections import defaultdict, deque
from datetime import UTC, datetime, timedelta
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote
from xml.parsers import expat

from airflow_provider_smscancel.gateways import esendex_soap
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
    Unreadable,
    looks_like_html,
    not_an_answer,
    read_document,
    verdict_on,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

REQUEST_FORMATS = ("json", "xml", "get", "soap")
"""The ways to ask for a stop. All other calls are JSON or GET, whichever the service has."""

ZERO_GUID = "00000000-0000-0000-0000-000000000000"
"""What an absent message id becomes, silently. In a send's answer: this message was not sent."""

# The service's paths are not case-sensitive; this is the spelling of the vendor's samples.
_SERVICE = "/Messaging.svc"

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_UNDASHED_GUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_NUMBER_SEPARATORS = re.compile(r"[ ().\-]")
_NOT_A_DIGIT = re.compile(r"[^0-9]")
_SHORT_NUMERAL = re.compile(r"[0-9]{1,4}")
_ENUM_NAME = re.compile(r"[A-Za-z_]{1,64}")

_SERIALIZATION = "http://schemas.microsoft.com/2003/10/Serialization/"
_GUID_DOCUMENT = f'<guid xmlns="{_SERIALIZATION}">{{}}</guid>'

# Elements that can carry a confirmation, and where they may come from. No namespace at all is let pass.
_NAMESPACES: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"", _SERIALIZATION}),
    **esendex_soap.NAMESPACES,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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

_MESSAGE_STATUS: Mapping[int, tuple[Finding, str]] = {
    0: (Finding.PENDING, "Hold"),
    200: (Finding.SENT, "Sent"),
    201: (Finding.PENDING, "Ready"),
    202: (Finding.SENT, "Processing"),
    400: (Finding.DEAD, "InvalidDID"),
    401: (Finding.ACCOUNT, "InvalidLicenseKey"),
    402: (Finding.ACCOUNT, "AccountSuspended"),
    403: (Finding.DEAD, "StopOnPhoneNumber"),
    404: (Finding.UNKNOWN_ID, "MissingDIDOrInvalidMessageID"),
    405: (Finding.DEAD, "InvalidDateTime"),
    406: (Finding.DEAD, "InvalidDestination"),
    411: (Finding.DEAD, "NoMessage"),
    413: (Finding.DEAD, "MessageExceedsLimit"),
    506: (Finding.DEAD, "Failed"),
    507: (Finding.CANCELLED, "Cancelled"),
    508: (Finding.DEAD, "FailedByProvider"),
}
"""MessageStatus: an integer in JSON, its name in XML. A message scheduled and not yet sent shows 0 or 201:
which of the two is not documented."""

_MESSAGE_STATUS_NUMBER = {name.lower(): number for number, (_, name) in _MESSAGE_STATUS.items()}

_SMS_ERROR: Mapping[int, str] = {
    0: "NoError",
    1: "STOPfromPhoneNumber",
    2: "LicenseKeyInvalid",
    3: "PhoneNumberInvalid",
    4: "MessageInvalid",
    5: "ScheduledDateTimeIsNotUTC",
    6: "InvalidAssignedDID",
    7: "NotFound",
    8: "InternalError",
    9: "ContactEsendexAccountSuspended",
    10: "AssignedDIDRequired",
}
"""SMSError: what went wrong with *sending* the message, so 2 and 9 are not about the query."""

_SMS_ERROR_NUMBER = {name.lower(): number for number, name in _SMS_ERROR.items()}
_SMS_ERROR_NUMBER["none"] = 0  # not documented, but can mean nothing else

_SMS_ERROR_NOT_FOUND = 7
_RETURN_CODE_INVALID_KEY = 1


class _Parsed(NamedTuple):
    """A body, read: what XML calls true is not what JSON calls true, so its kind is kept."""

    is_xml: bool
    value: object


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
    label = "Esendex US"

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
        if not _GUID.fullmatch(message_id):
            if _UNDASHED_GUID.fullmatch(message_id):
                return "not a GUID: its four dashes are missing (is this a Clickatell id?)"
            return "not a GUID: 8-4-4-4-12 hexadecimal digits"
        if message_id == ZERO_GUID:
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
        parsed = _parse(answer.body)
        if parsed is not None and parsed.is_xml and esendex_soap.is_envelope(parsed.value):
            unusable = _envelope_verdict(parsed.value, message_id, answer)
            if unusable is not None:
                return unusable
        if not _is_success(answer):
            return _http_verdict(answer)
        stopped = _boolean(parsed)
        if stopped is None:
            return _http_verdict(answer)
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
        if not _is_success(answer):
            return _http_verdict(answer)
        parsed = _parse(answer.body)
        record = _single_record(parsed)
        if parsed is None or record is None or ("MessageStatus" in record) == ("SMSError" in record):
            return _http_verdict(answer)
        if "MessageStatus" in record:
            return _read_full_status(record, message_id, answer)
        return _read_keyless_status(record, message_id, answer, is_xml=parsed.is_xml)

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
        if not _is_success(answer):
            return _http_verdict(answer)
        codes = [_return_code(record.get("ReturnCode")) for record in _records(_parse(answer.body))]
        if _RETURN_CODE_INVALID_KEY in codes:
            return verdict_on(answer, Finding.ACCOUNT, "1", "Esendex does not know this licence key")
        if not codes or None in codes:
            return _http_verdict(answer)
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
            "To": _recipients(to),
            "UseMMS": False,
        }
        if scheduled_at is not None:
            body["ScheduledDateTime"] = _wire_date(scheduled_at)
        if client_message_id:
            body["ReferenceID"] = client_message_id
        return Request("POST", self._url("SendMessage"), _POST_JSON, json.dumps(body).encode())

    def read_send(self, to: Sequence[str], answer: Answer) -> list[SentMessage] | Verdict:
        """Read its answer: one entry per recipient in the order given, or why the whole request failed.

        Entries are matched by their number, which may come with the country code 1 added or dropped
        (inferred), or by order when they bear none. A recipient whom the answer does not mention gets an
        ``error`` that says so: the ids of the others must not be lost over it.
        """
        if not _is_success(answer):
            return _http_verdict(answer)
        records = _records(_parse(answer.body))
        if not records or not all("MessageID" in record or "MessageStatus" in record for record in records):
            return _http_verdict(answer)
        numbers = {_message_status(record) for record in records}
        if numbers <= {401, 402}:
            number = min(filter(None, numbers))
            return verdict_on(answer, Finding.ACCOUNT, str(number), _account_detail(number))
        by_recipient = _match_recipients(to, records)
        if by_recipient is None:
            detail = "the answer's recipients are not those of the request: something may have been sent"
            return verdict_on(answer, Finding.UNREADABLE, None, detail)
        return [_sent_message(number, record) for number, record in zip(to, by_recipient, strict=True)]

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
        if not _is_success(answer):
            return _http_verdict(answer)
        done = _boolean(_parse(answer.body))
        if done is None:
            return _http_verdict(answer)
        return done

    def _url(self, call: str) -> str:
        return f"{self._base_url}{_SERVICE}/{call}"


def _hex_digits(guid: str) -> str:
    """Return a GUID's digits alone: a licence key may have been saved with braces or without dashes."""
    return re.sub(r"[^0-9a-f]", "", guid.lower())


def _is_success(answer: Answer) -> bool:
    return 200 <= answer.status < 300


def _http_verdict(answer: Answer) -> Verdict:
    """Say what an answer that could not be used means by its HTTP status.

    400 with a page of HTML is what the service gives for any error that it did not expect (and for a
    malformed GUID, which is never sent). 401, 403 and 404 are not of this service, which asks nobody for
    credentials by HTTP.
    """
    is_page = looks_like_html(answer.body) or "html" in answer.headers.get("Content-Type", "").lower()
    if answer.status == 400 and is_page:
        return verdict_on(
            answer, Finding.FAULT, detail="HTTP 400 with a web page: an error inside Esendex's service"
        )
    return not_an_answer(answer, gateway=EsendexUs.label)


def _parse(body: bytes) -> _Parsed | None:
    """Read a body as what it looks like, whatever its headers say, or return ``None``."""
    trimmed = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    is_xml = trimmed[:1] == b"<"
    try:
        value = read_document(body)
    except Unreadable:
        return None
    if is_xml and not _has_own_namespaces(trimmed):
        return None
    return _Parsed(is_xml, value)


def _has_own_namespaces(document: bytes) -> bool:
    """Say whether every prefix is declared and what looks like an answer comes from the service's namespaces.

    Reading drops prefixes, so without this a mangled or foreign document could pass for a confirmation.

    :param document: one that was read already, so it is known to be small, shallow and without entities.
    """
    is_own = True

    def check(name: str, _attributes: object) -> None:
        nonlocal is_own
        namespace, _, local = name.rpartition(" ")
        is_own = is_own and namespace in _NAMESPACES.get(local, (namespace,))

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = check
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError):
        return False
    return is_own


def _boolean(parsed: _Parsed | None) -> bool | None:
    """Return the boolean that an answer is, or ``None`` when it is anything else, if only slightly."""
    if parsed is None:
        return None
    if not parsed.is_xml:
        return parsed.value if isinstance(parsed.value, bool) else None
    if esendex_soap.is_envelope(parsed.value):
        return _xml_boolean(esendex_soap.cancel_result(parsed.value))
    return _xml_boolean(parsed.value.get("boolean")) if isinstance(parsed.value, dict) else None


def _xml_boolean(text: object) -> bool | None:
    # Compared, never taken for its truth: the text 'false' is truthy.
    if not isinstance(text, str):
        return None
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip())


def _envelope_verdict(document: object, message_id: str, answer: Answer) -> Verdict | None:
    """Say why a SOAP envelope is no answer to a stop, or return ``None`` when it may hold one."""
    # Faults come with 400 or 500, and a 200 is not put past a proxy. Other statuses, such as 429, speak
    # first.
    if not _is_success(answer) and answer.status not in (400, 500):
        return None
    if esendex_soap.is_about_another(document, message_id):
        return verdict_on(answer, Finding.UNREADABLE, None, "a SOAP reply to another request")
    fault = esendex_soap.fault_of(document)
    if fault is None:
        return None
    finding = Finding.REFUSED if fault.is_for_good else Finding.FAULT
    return verdict_on(answer, finding, fault.code or None, f"SOAP fault: {fault.name}")


def _records(parsed: _Parsed | None) -> list[Mapping[str, object]]:
    """Return the objects that an answer consists of: a JSON object or array, or an XML root or its children.

    A list of one is not a list in parsed XML, so the root's only child counts as one when it has children
    itself.
    """
    if parsed is None:
        return []
    found = parsed.value
    if parsed.is_xml and isinstance(found, dict):
        found = next(iter(found.values()), None)
        if isinstance(found, dict) and len(found) == 1:
            (child,) = found.values()
            found = child if isinstance(child, dict | list) else found
    if isinstance(found, dict):
        return [found]
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        return found
    return []


def _single_record(parsed: _Parsed | None) -> Mapping[str, object] | None:
    """Return the object that an answer is, or ``None``."""
    if parsed is None or not isinstance(parsed.value, dict):
        return None
    if not parsed.is_xml:
        return parsed.value
    root = next(iter(parsed.value.values()), None)
    return root if isinstance(root, dict) else None


def _enum_number(value: object, numbers: Mapping[str, int]) -> int | None:
    """Return an enum's number: it comes as an integer in JSON and as a name, of any letter case, in XML."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _SHORT_NUMERAL.fullmatch(text):
        return int(text)
    return numbers.get(text.lower())


def _is_ours(record: Mapping[str, object], message_id: str) -> bool:
    named = record.get("MessageID")
    return isinstance(named, str) and named.strip().lower() == message_id.lower()


def _names_nobody(record: Mapping[str, object]) -> bool:
    return record.get("MessageID") in (None, "", ZERO_GUID)


def _another_message(answer: Answer) -> Verdict:
    return verdict_on(
        answer, Finding.UNREADABLE, None, "the answer does not name the message that was asked about"
    )


def _message_status(record: Mapping[str, object]) -> int | None:
    """Return an OutgoingMessageResponse's MessageStatus, or ``None`` when it is not a documented one."""
    number = _enum_number(record.get("MessageStatus"), _MESSAGE_STATUS_NUMBER)
    return number if number in _MESSAGE_STATUS else None


def _account_detail(number: int) -> str:
    if number == 402:
        return "Esendex has suspended the account (MessageStatus 402)"
    return "Esendex does not accept the licence key (MessageStatus 401)"


def _read_full_status(record: Mapping[str, object], message_id: str, answer: Answer) -> Verdict:
    number = _message_status(record)
    if number is None:
        return verdict_on(answer, Finding.UNREADABLE, None, "a MessageStatus that Esendex does not document")
    finding, name = _MESSAGE_STATUS[number]
    may_name_nobody = finding in (Finding.UNKNOWN_ID, Finding.ACCOUNT)
    if not _is_ours(record, message_id) and not (may_name_nobody and _names_nobody(record)):
        return _another_message(answer)
    return verdict_on(answer, finding, str(number), f"MessageStatus {number} {name}")


def _sms_error(value: object) -> tuple[int, str] | None:
    """Return an SMSError's number (-1 for an undocumented name) and its code, or ``None`` for noise."""
    number = _enum_number(value, _SMS_ERROR_NUMBER)
    if number is None and isinstance(value, str) and _ENUM_NAME.fullmatch(value.strip()):
        # The vendor's page says NotFound. A name that also says what was not found means the same (inferred).
        is_not_found = "notfound" in value.replace("_", "").lower()
        number = _SMS_ERROR_NOT_FOUND if is_not_found else -1
        return number, f"SMSError {number}" if is_not_found else "SMSError"
    if number is None or number < 0:
        return None
    return number, f"SMSError {number}"


def _flag(record: Mapping[str, object], name: str, *, is_xml: bool) -> bool | None:
    """Return a property that is a boolean, or ``None`` when it is absent or anything else."""
    value = record.get(name)
    if is_xml:
        return _xml_boolean(value)
    return value if isinstance(value, bool) else None


def _read_keyless_status(
    record: Mapping[str, object], message_id: str, answer: Answer, *, is_xml: bool
) -> Verdict:
    """Read GetMessageStatus. Where its parts contradict each other, the message counts as not cancelled."""
    error = _sms_error(record.get("SMSError"))
    sent, queued, cancelled = (_flag(record, name, is_xml=is_xml) for name in ("Sent", "Queued", "Cancelled"))
    if error is None:
        return _http_verdict(answer)
    number, code = error
    is_unknown = number == _SMS_ERROR_NOT_FOUND and not (sent or queued or cancelled)
    if not _is_ours(record, message_id) and not (is_unknown and _names_nobody(record)):
        return _another_message(answer)
    if is_unknown:
        return verdict_on(
            answer, Finding.UNKNOWN_ID, code, "Esendex does not know the id (SMSError 7 NotFound)"
        )
    if cancelled and (sent or queued):
        return verdict_on(
            answer,
            Finding.UNREADABLE,
            None,
            "Esendex calls the message cancelled, and sent or queued as well",
        )
    if sent:
        return verdict_on(answer, Finding.SENT, "sent", "sent to the carrier")
    if queued:
        return verdict_on(
            answer, Finding.SENT, "queued", "queued at the carrier: it can no longer be stopped"
        )
    if None in (sent, queued, cancelled) or number == _SMS_ERROR_NOT_FOUND:
        return verdict_on(answer, Finding.UNREADABLE, None, "an incomplete or contradictory message status")
    if cancelled:
        return verdict_on(
            answer, Finding.CANCELLED, "cancelled", "Esendex says that the message is cancelled"
        )
    if number:
        detail = f"the message could not be sent: {code} {_SMS_ERROR.get(number, '')}".rstrip()
        return verdict_on(answer, Finding.DEAD, code, detail)
    return verdict_on(answer, Finding.PENDING, "pending", "neither sent, nor queued, nor cancelled")


def _return_code(value: object) -> int | None:
    """Return a ReturnCode's number; any name but that of 1 and 0 is -1."""
    number = _enum_number(value, {"noerror": 0, "invalidlicensekey": _RETURN_CODE_INVALID_KEY})
    if number is None and isinstance(value, str) and _ENUM_NAME.fullmatch(value.strip()):
        return -1
    return number


def _recipients(to: Sequence[str]) -> list[str]:
    numbers = [_NUMBER_SEPARATORS.sub("", number) for number in to]
    if not numbers:
        raise ValueError("no recipient is given")
    for position, number in enumerate(numbers, 1):
        if not _NUMBER.fullmatch(number):
            raise ValueError(f"recipient {position} is not a phone number: digits, optionally led by +")
    return numbers


def _wire_date(when: datetime) -> str:
    """Return a time as the service reads it: in UTC, as an offset would make it local time (error 405)."""
    if when.utcoffset() is None:
        raise ValueError("scheduled_at has no timezone: Esendex needs UTC, so say which time is meant")
    return f"/Date({(when - _EPOCH) // timedelta(milliseconds=1)})/"


def _number_key(number: object) -> str:
    """Return what two spellings of one phone number have in common, or ``""``."""
    digits = _NOT_A_DIGIT.sub("", number) if isinstance(number, str) else ""
    # North American numbers are sent with or without their country code, and may come back the other way;
    # so may others with that region's prefix for calls abroad. Both inferred.
    if len(digits) > 11:
        digits = digits.removeprefix("011")
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def _match_recipients(
    to: Sequence[str], records: Iterable[Mapping[str, object]]
) -> list[Mapping[str, object] | None] | None:
    """Return each recipient's record, or ``None`` in place of all when they can't be told apart."""
    matched: list[Mapping[str, object] | None] = [None] * len(to)
    waiting: dict[str, deque[int]] = defaultdict(deque)
    for position, number in enumerate(to):
        waiting[_number_key(number)].append(position)
    nameless = []
    for record in records:
        key = _number_key(record.get("To"))
        if not key:
            nameless.append(record)
        elif waiting.get(key):
            matched[waiting[key].popleft()] = record
        else:
            return None
    if nameless:
        free = [position for position, record in enumerate(matched) if record is None]
        if len(free) != len(nameless):
            return None
        for position, record in zip(free, nameless, strict=True):
            matched[position] = record
    return matched


def _sent_message(to: str, record: Mapping[str, object] | None) -> SentMessage:
    if record is None:
        return SentMessage(None, "the answer does not mention this recipient: it may have been sent", to)
    number = _message_status(record)
    # Only what is documented as a refusal counts as one: an id is worth more than a status that nobody knows.
    if number is not None and _MESSAGE_STATUS[number][0] not in (Finding.PENDING, Finding.SENT):
        return SentMessage(None, f"refused: MessageStatus {number} {_MESSAGE_STATUS[number][1]}", to)
    if _names_nobody(record):
        return SentMessage(None, "refused without a reason: Esendex gave no message id", to)
    message_id = record.get("MessageID")
    if not isinstance(message_id, str) or not _GUID.fullmatch(message_id.strip()):
        return SentMessage(None, "the answer holds no readable message id: it may have been sent", to)
    return SentMessage(message_id.strip(), None, to)
