"""A second opinion: whether an answer is the gateway's own word that one message is cancelled.

Written without looking at how the package reads answers, and with other tools: a mistake would have to be made twice.
It may agree to more than the package does, but to nothing that a person would not agree to.
"""

from __future__ import annotations

import json
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator

from airflow_provider_smscancel.gateways.base import IdType

_XML = "<"
_TRUE = ("true", "1")
_SERIALIZATION = "http://schemas.microsoft.com/2003/10/Serialization/"
_SOAPS = ("http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/")
_SERVICE = "http://sms2.cdyne.com"
_CANCEL_ACTION = "http://sms2.cdyne.com/Isms/CancelMessage"
Judge = Callable[[int, bytes, str, IdType], bool]


def rest_says_cancelled(status: int, body: bytes, message_id: str, _id_type: IdType) -> bool:
    """Whether Clickatell's REST API says so: one status 006, and one id, that of the message, and no error."""
    if not 200 <= status <= 299:
        return False
    data = _rest_data_in_xml(body) if _is_xml(body) else _rest_data_in_json(body)
    if data is None or data.get("error") not in (None, ""):
        return False
    named = data.get("apiMessageId")
    return (
        isinstance(named, str) and named.lower() == message_id.lower() and _is_006(data.get("messageStatus"))
    )


def http_says_cancelled(status: int, body: bytes, message_id: str, id_type: IdType) -> bool:
    """Whether Clickatell's HTTP API says so: one line about the message; by client id, each line there is."""
    if not 200 <= status <= 299:
        return False
    text = body.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    told = [_http_line(line) for line in text.split("\n") if line.strip()]
    by_client_id = id_type is IdType.CLIENT_MESSAGE_ID
    if not told or (len(told) > 1 and not by_client_id):
        return False
    return all(_is_006(code) and (by_client_id or named == message_id.lower()) for named, code in told)


def esendex_says_it_stopped(status: int, body: bytes, message_id: str, _id_type: IdType) -> bool:
    """Whether Esendex's answer to a stop is the boolean true, bare or in an envelope about this very stop."""
    if not 200 <= status <= 299:
        return False
    if not _is_xml(body):
        return _json(body) is True
    root = _xml(body)
    if root is None:
        return False
    if root.tag in ("boolean", f"{{{_SERIALIZATION}}}boolean"):
        return len(root) == 0 and (root.text or "").strip() in _TRUE
    return _is_envelope_with_true(root, message_id)


def esendex_says_cancelled(status: int, body: bytes, message_id: str, _id_type: IdType) -> bool:
    """Whether Esendex's answer to a status query says so of this message, and nothing to the contrary."""
    if not 200 <= status <= 299:
        return False
    if _is_xml(body):
        root = _xml(body)
        record = None if root is None else _children(root)
        true, false = _TRUE, ("false", "0")
    else:
        record = _json(body)
        true, false = (True,), (False,)  # type: ignore[assignment]
    if not isinstance(record, dict):
        return False
    named = record.get("MessageID")
    if not isinstance(named, str) or named.strip().lower() != message_id.lower():
        return False
    if "MessageStatus" in record:
        return _plain(record["MessageStatus"]) in ("507", "0507", "cancelled")
    # `in` would take 1 for True.
    flags = [(record.get(name), type(record.get(name))) for name in ("Cancelled", "Sent", "Queued")]
    flags = [(value.strip() if isinstance(value, str) else value, kind) for value, kind in flags]
    yes, no = [(each, type(each)) for each in true], [(each, type(each)) for each in false]
    knows = "notfound" not in _plain(record.get("SMSError")).replace("_", "")
    return flags[0] in yes and flags[1] in no and flags[2] in no and knows


def _is_006(value: object) -> bool:
    return not isinstance(value, bool) and str(value).rjust(3, "0") == "006"


def _plain(value: object) -> str:
    return str(value).strip().lower()


def _http_line(line: str) -> tuple[str, str]:
    """Take ``ID: <id> [To: <number>] Status: <code>`` apart into the id and the code; blanks where it is none."""
    head, _, status = line.strip().lower().rpartition("status:")
    if not head.startswith("id:") or not head.endswith((" ", "\t")):
        return "", ""
    named, _, to = head[3:].strip(" \t").partition("to:")
    return ("", "") if any(map(str.isalpha, to)) else (named.strip(" \t"), status.strip(" \t"))


# -- documents --------------------------------------------------------------------------------------------------------


def _is_xml(body: bytes) -> bool:
    return _text(body).lstrip(" \t\r\n").startswith(_XML)


def _text(body: bytes) -> str:
    for mark, encoding in (
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"),
    ):
        if body.startswith(mark):
            return body.decode(encoding, "replace").lstrip("\ufeff")
    return body.decode("utf-8", "replace").removeprefix("\ufeff")


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _TwiceError
    return dict(pairs)


def _json(body: bytes) -> object:
    try:
        return json.loads(body.removeprefix(b"\xef\xbb\xbf").decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None


def _rest_data_in_json(body: bytes) -> dict[str, object] | None:
    document = _json(body)
    if not isinstance(document, dict):
        return None
    inner = document.get("response")
    document = inner if isinstance(inner, dict) and len(document) == 1 else document
    data = document.get("data")
    return data if isinstance(data, dict) and document.get("error") is None else None


def _rest_data_in_xml(body: bytes) -> dict[str, object] | None:
    root = _xml(body)
    if root is None or _local(root) not in ("response", "data"):
        return None
    if _local(root) == "data":
        return _children(root)
    parts = [part for part in root if _local(part) in ("data", "error")]
    return _children(parts[0]) if [_local(part) for part in parts] == ["data"] else None


def _xml(body: bytes) -> ET.Element | None:
    body = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if b"\0" not in body:
        # This parser refuses a namespace with a brace in it, which it uses itself: another character says no more, and no less.
        body = body.replace(b"}", b"_")
    try:
        return ET.fromstring(body)  # noqa: S314 - read before
    except (ET.ParseError, ValueError, LookupError):
        return None


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _children(element: ET.Element) -> dict[str, object]:
    """Give what an element holds, by name: a text, or ``None`` where a name comes twice or holds more than text."""
    found: dict[str, object] = {}
    for child in element:
        name = _local(child)
        found[name] = None if name in found or len(child) else (child.text or "").strip()
    return found


def _is_envelope_with_true(root: ET.Element, message_id: str) -> bool:
    ours = uuid.uuid5(uuid.NAMESPACE_URL, f"{_CANCEL_ACTION}#{message_id.lower()}").urn
    named = [
        (each.text or "").strip().lower() for each in _within(root, "Header") if _local(each) == "RelatesTo"
    ]
    if any(each != ours for each in named) or any(_local(each) == "Fault" for each in _within(root, "Body")):
        return False
    at = [root]
    for name, homes in (
        ("Envelope", _SOAPS),
        ("Body", _SOAPS),
        ("CancelMessageResponse", (_SERVICE,)),
        ("CancelMessageResult", (_SERVICE,)),
    ):
        found = [each for each in at if each.tag in (name, *(f"{{{home}}}{name}" for home in homes))]
        if len(found) != 1:
            return False
        last = found[0]
        at = list(last)
    return len(last) == 0 and (last.text or "").strip() in _TRUE


def _within(root: ET.Element, name: str) -> Iterator[ET.Element]:
    for part in root:
        if _local(part) == name:
            yield from part
