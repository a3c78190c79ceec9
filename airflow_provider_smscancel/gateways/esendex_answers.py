"""What Esendex's answers say: JSON, XML or SOAP, each enum as a number or by its name.

Sources: the vendor's pages on the types MessageStatus, SMSResponse, OutgoingMessageResponse and PostbackSettingsResponse
(esendex.us/docs/sms-api). Where the code relies on something that they do not say, it says so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from xml.parsers import expat

from airflow_provider_smscancel.gateways import esendex_soap
from airflow_provider_smscancel.gateways.base import Answer, Finding, Verdict
from airflow_provider_smscancel.gateways.reading import (
    Unreadable,
    looks_like_html,
    not_an_answer,
    read_document,
    verdict_on,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "Esendex US"

ZERO_GUID = "00000000-0000-0000-0000-000000000000"
"""What an absent message id becomes, silently. In a send's answer: this message was not sent."""

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)

_SHORT_NUMERAL = re.compile(r"[0-9]{1,4}")
_ENUM_NAME = re.compile(r"[A-Za-z_]{1,64}")

SERIALIZATION = "http://schemas.microsoft.com/2003/10/Serialization/"

# Elements that can carry a confirmation, and where they may come from. No namespace at all is let pass.
_NAMESPACES: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"", SERIALIZATION}),
    **esendex_soap.NAMESPACES,
}

MESSAGE_STATUS: Mapping[int, tuple[Finding, str]] = {
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

_MESSAGE_STATUS_NUMBER = {name.lower(): number for number, (_, name) in MESSAGE_STATUS.items()}

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
RETURN_CODE_INVALID_KEY = 1


class Parsed(NamedTuple):
    """A body, read: what XML calls true is not what JSON calls true, so its kind is kept."""

    is_xml: bool
    value: object


def is_success(answer: Answer) -> bool:
    """Say whether an answer's HTTP status is one of success."""
    return 200 <= answer.status < 300


def http_verdict(answer: Answer) -> Verdict:
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
    return not_an_answer(answer, gateway=LABEL)


def parse(body: bytes) -> Parsed | None:
    """Read a body as what it looks like, whatever its headers say, or return ``None``."""
    trimmed = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    is_xml = trimmed[:1] == b"<"
    try:
        value = read_document(body)
    except Unreadable:
        return None
    if is_xml and not _has_own_namespaces(trimmed):
        return None
    return Parsed(is_xml, value)


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


def boolean(parsed: Parsed | None) -> bool | None:
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


def envelope_verdict(document: object, message_id: str, answer: Answer) -> Verdict | None:
    """Say why a SOAP envelope is no answer to a stop, or return ``None`` when it may hold one."""
    # Faults come with 400 or 500, and a 200 is not put past a proxy. Other statuses, such as 429, speak
    # first.
    if not is_success(answer) and answer.status not in (400, 500):
        return None
    if esendex_soap.is_about_another(document, message_id):
        return verdict_on(answer, Finding.UNREADABLE, None, "a SOAP reply to another request")
    fault = esendex_soap.fault_of(document)
    if fault is None:
        return None
    finding = Finding.REFUSED if fault.is_for_good else Finding.FAULT
    return verdict_on(answer, finding, fault.code or None, f"SOAP fault: {fault.name}")


def records(parsed: Parsed | None) -> list[Mapping[str, object]]:
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


def single_record(parsed: Parsed | None) -> Mapping[str, object] | None:
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


def names_nobody(record: Mapping[str, object]) -> bool:
    """Say whether a record bears no id, or the all-zero one."""
    return record.get("MessageID") in (None, "", ZERO_GUID)


def _another_message(answer: Answer) -> Verdict:
    return verdict_on(
        answer, Finding.UNREADABLE, None, "the answer does not name the message that was asked about"
    )


def message_status(record: Mapping[str, object]) -> int | None:
    """Return an OutgoingMessageResponse's MessageStatus, or ``None`` when it is not a documented one."""
    number = _enum_number(record.get("MessageStatus"), _MESSAGE_STATUS_NUMBER)
    return number if number in MESSAGE_STATUS else None


def account_detail(number: int) -> str:
    """Say for a person what a MessageStatus about the account means."""
    if number == 402:
        return "Esendex has suspended the account (MessageStatus 402)"
    return "Esendex does not accept the licence key (MessageStatus 401)"


def read_full_status(record: Mapping[str, object], message_id: str, answer: Answer) -> Verdict:
    """Read ReadMessageStatus."""
    number = message_status(record)
    if number is None:
        return verdict_on(answer, Finding.UNREADABLE, None, "a MessageStatus that Esendex does not document")
    finding, name = MESSAGE_STATUS[number]
    may_name_nobody = finding in (Finding.UNKNOWN_ID, Finding.ACCOUNT)
    if not _is_ours(record, message_id) and not (may_name_nobody and names_nobody(record)):
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


def read_keyless_status(
    record: Mapping[str, object], message_id: str, answer: Answer, *, is_xml: bool
) -> Verdict:
    """Read GetMessageStatus. Where its parts contradict each other, the message counts as not cancelled."""
    error = _sms_error(record.get("SMSError"))
    sent, queued, cancelled = (_flag(record, name, is_xml=is_xml) for name in ("Sent", "Queued", "Cancelled"))
    if error is None:
        return http_verdict(answer)
    number, code = error
    is_unknown = number == _SMS_ERROR_NOT_FOUND and not (sent or queued or cancelled)
    if not _is_ours(record, message_id) and not (is_unknown and names_nobody(record)):
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


def return_code(value: object) -> int | None:
    """Return a ReturnCode's number; any name but that of 1 and 0 is -1."""
    number = _enum_number(value, {"noerror": 0, "invalidlicensekey": RETURN_CODE_INVALID_KEY})
    if number is None and isinstance(value, str) and _ENUM_NAME.fullmatch(value.strip()):
        return -1
    return number
