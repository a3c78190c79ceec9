"""Reads what an HTTP answer holds, strictly and safely: JSON, XML, and an HTTP status by itself.

Shared by the gateways. Whatever arrives, these functions return a plain value or raise :class:`Unreadable`;
they never let another exception out, and no text of theirs holds any of the answer's bytes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

import xmltodict

from airflow_provider_smscancel.gateways.base import Answer, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_BODY_BYTES = 256 * 1024
"""Larger bodies are not looked at: the largest documented answer is a few kilobytes."""

MAX_XML_DEPTH = 32
"""Deeper documents are refused: the deepest documented answer has six levels (a SOAP fault)."""

_MAX_INTEGER_DIGITS = 64
_BOM = b"\xef\xbb\xbf"
_UTF16_XML = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")
# What expat reads by itself. Any other name would make pyexpat look for a Python codec of that name, and some
# of those warn, or do more than decoding.
_XML_ENCODINGS = frozenset({"utf-8", "utf-16", "us-ascii", "ascii", "iso-8859-1"})


class Unreadable(ValueError):
    """A body is not what it should be. The text says how, without any of its bytes: treat it as noise."""


def _unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # A name that comes twice (a messageStatus of 004 and one of 006) leaves open which one was meant.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Unreadable("a name comes twice in one JSON object")
    return value


def _short_integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise Unreadable("a number with too many digits")
    return int(digits)


def _no_constant(_name: str) -> NoReturn:
    raise Unreadable("NaN or Infinity, which JSON does not know")


# Built once: json.loads with hooks builds a decoder at every call.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_object,
    parse_int=_short_integer,
    parse_float=Decimal,
    parse_constant=_no_constant,
)


def read_json(body: bytes) -> object:
    """Read a JSON text in UTF-8.

    A byte-order mark is skipped. Numbers with a fraction or an exponent come as :class:`~decimal.Decimal`, so
    that an amount stays exact and is never mistaken for an integer code.

    :param body: the bytes of the answer.
    :raises Unreadable: when it is not UTF-8 (UTF-16 is refused too), not JSON, too large, too deep, or holds
        a number of more than 64 digits, NaN, a NUL, half a surrogate pair, or one name twice in an object.
    """
    problem = "not JSON"
    try:
        return _parse_json(body)
    except Unreadable as error:
        problem = str(error)
    except (ValueError, ArithmeticError, RecursionError, MemoryError):
        pass
    # Raised out here so that the parser's own error, which quotes the body, does not travel along as context.
    raise Unreadable(problem)


def _parse_json(body: bytes) -> object:
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable("larger than any answer of a gateway")
    text = (body[3:] if body.startswith(_BOM) else body).decode("utf-8")
    value: object = _DECODER.decode(text)
    if "\\u" in text:
        # Only an escape can bring a NUL or half a surrogate pair past the decoder: plain answers skip this.
        spelled = json.dumps(value, ensure_ascii=False, default=str)
        spelled.encode("utf-8")
        if "\\u0000" in spelled:
            raise Unreadable("a NUL in a JSON string")
    return value


class _Guard:
    """Runs through an XML document before it is built, and refuses what could cost more than it tells."""

    def __init__(self) -> None:
        self._depth = 0

    def check(self, body: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")  # so that a prefix must be declared
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(body, True)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _XML_ENCODINGS:
            raise Unreadable("XML in an unexpected encoding")

    def _doctype(self, *_declared: object) -> None:
        raise Unreadable("XML with a document type or an entity declaration")

    def _start(self, _name: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > MAX_XML_DEPTH:
            raise Unreadable("XML that is nested too deeply")

    def _end(self, _name: str) -> None:
        self._depth -= 1


def _without_prefix(_path: object, key: str, value: Any) -> tuple[str, Any]:
    return key.rpartition(":")[2], value


def read_xml(body: bytes, *, force_list: Collection[str] = ()) -> dict[str, object]:
    """Read an XML document into nested dicts, lists and strings; the root element's name is the only key.

    Attributes and namespace prefixes are dropped, blanks around text too; an empty element is ``None``.

    :param body: the bytes of the answer.
    :param force_list: names of elements that are lists even when there is only one of them.
    :raises Unreadable: when it is not well-formed (a prefix that nothing declares included), too large, deeper
        than 32 levels, in an encoding other than UTF-8, UTF-16, ASCII or Latin-1, or has a document type or
        entities.
    """
    problem = "not well-formed XML"
    try:
        return _parse_xml(body, force_list)
    except Unreadable as error:
        problem = str(error)
    except (expat.ExpatError, ValueError, LookupError, RecursionError, MemoryError):
        pass
    raise Unreadable(problem)  # out here for the reason given in read_json


def _parse_xml(body: bytes, force_list: Collection[str]) -> dict[str, object]:
    if len(body) > MAX_BODY_BYTES:
        raise Unreadable("larger than any answer of a gateway")
    _Guard().check(body)
    document: dict[str, object] = xmltodict.parse(
        body,
        xml_attribs=False,
        postprocessor=_without_prefix,
        force_list=tuple(force_list),
    )
    return document


def read_document(body: bytes, *, force_list: Collection[str] = ()) -> object:
    """Read JSON or XML, whichever came: the first character that is not blank decides.

    :param body: the bytes of the answer.
    :param force_list: as for :func:`read_xml`.
    :returns: what :func:`read_json` or :func:`read_xml` returns.
    :raises Unreadable: as those two do, and for an empty body.
    """
    if body[:1] == b"{":  # the usual answer
        return read_json(body)
    if body[:2] in _UTF16_XML:
        return read_xml(body, force_list=force_list)
    trimmed = body.removeprefix(_BOM).lstrip(b" \t\r\n")
    if not trimmed:
        raise Unreadable("an empty body")
    if trimmed[:1] == b"<":
        # Trimmed, because expat wants an XML declaration to come first, with not even a blank before it.
        return read_xml(trimmed, force_list=force_list)
    return read_json(body)


def verdict_on(answer: Answer, finding: Finding, code: str | None = None, detail: str = "") -> Verdict:
    """Build a verdict that carries the answer's HTTP status and its ``Retry-After``, if it has one."""
    return Verdict(finding, code, detail, answer.headers.get("Retry-After"), answer.status)


def looks_like_html(body: bytes) -> bool:
    """Say whether a body is a web page, as proxies, firewalls and failing servers send them."""
    start = body.removeprefix(_BOM).lstrip()[:200].lower()
    if start.startswith(b"<?xml"):
        return b"<html" in start or b"<!doctype html" in start
    return start.startswith((b"<!doctype html", b"<html"))


def http_fault(answer: Answer, *, gateway: str = "gateway") -> Verdict | None:
    """Say what an HTTP status means by itself, once the body turned out to be no answer of the gateway.

    429 is ``BUSY``. 5xx is ``FAULT``, 503 too: it may come from anything on the way, so it does not prove
    that the request was not acted upon. Any other status but 2xx, and a web page with 2xx, is ``UNREADABLE``.

    :param gateway: the name that a person knows it by, for the detail.
    :returns: ``None`` for a 2xx status whose body is not a web page: the status says nothing against it.
    """
    status = answer.status
    if status == 429:
        return verdict_on(answer, Finding.BUSY, detail="HTTP 429: asked to slow down")
    if 500 <= status <= 599:
        return verdict_on(answer, Finding.FAULT, detail=f"HTTP {status}: a fault of {gateway} or of a proxy")
    if 200 <= status <= 299:
        if not looks_like_html(answer.body):
            return None
        detail = f"HTTP {status} with a web page in place of a {gateway} answer: a proxy, or the wrong host?"
    elif 300 <= status <= 399:
        detail = f"HTTP {status}, a redirect, which is not followed: check the connection's host"
    elif status == 407:
        detail = "HTTP 407: the proxy wants credentials of its own"
    else:
        detail = f"HTTP {status} without a {gateway} answer: a proxy, or the wrong host?"
    return replace(verdict_on(answer, Finding.UNREADABLE, detail=detail), noise=True)


def not_an_answer(answer: Answer, *, gateway: str = "gateway") -> Verdict:
    """Judge an answer whose body is none of the gateway's: :func:`http_fault`, or else ``UNREADABLE``."""
    fault = http_fault(answer, gateway=gateway)
    if fault is not None:
        return fault
    what = "something that is not" if answer.body.strip() else "an empty body in place of"
    detail = f"HTTP {answer.status} with {what} a {gateway} answer"
    return replace(verdict_on(answer, Finding.UNREADABLE, detail=detail), noise=True)
