from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.gateways.base import Answer, Finding
from airflow_provider_smscancel.gateways.reading import (
    MAX_BODY_BYTES,
    Unreadable,
    http_fault,
    not_an_answer,
    read_document,
    read_json,
    read_xml,
)

BOM = b"\xef\xbb\xbf"

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON_VALUES, st.booleans(), st.booleans())
def test_json_comes_back_as_it_was_written(value, ascii_only, bom):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert read_json(BOM + body if bom else body) == value


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_unreadable(body):
    for read in (read_json, read_xml, read_document):
        with contextlib.suppress(Unreadable):
            read(body)


@settings(deadline=None)
@given(st.text('<>/!?ab:&;"[] \n\0é', max_size=60), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_arbitrary_markup_is_read_or_unreadable(text, encoding):
    with contextlib.suppress(Unreadable):
        assert isinstance(read_xml(text.encode(encoding)), dict)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="too deep"),
        pytest.param(b'{"a":' * 5_000, id="too deep, in objects"),
        pytest.param(b"1" * 5_000, id="more digits than Python converts"),
        pytest.param(b'{"code":' + b"7" * 65 + b"}", id="a huge integer"),
        pytest.param(b"1e99999999999999999999", id="an exponent beyond all numbers"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":-Infinity}', id="Infinity"),
        pytest.param(b'"\\ud800"', id="half a surrogate pair, escaped"),
        pytest.param(b'"\xed\xa0\x80"', id="half a surrogate pair, in bytes"),
        pytest.param(b'"\\u0000"', id="NUL, escaped"),
        pytest.param(b'"\x00"', id="NUL"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":1,"a":2}', id="a name twice"),
        pytest.param(b'{"a":1} x', id="something behind it"),
        pytest.param(b" " * MAX_BODY_BYTES + b"1", id="too large"),
    ],
)
def test_bad_json_is_unreadable(body):
    with pytest.raises(Unreadable):
        read_json(body)


def test_an_escaped_pair_of_surrogates_is_one_character():
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_a_fraction_is_exact_and_never_an_integer():
    assert read_json(b"300.50") == Decimal("300.50")
    assert not isinstance(read_json(b"6.0"), int | float)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<a>", id="unfinished"),
        pytest.param(b"<a/><b/>", id="two roots"),
        pytest.param(b"<!DOCTYPE a><a/>", id="a document type"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY b "006">]><a>&b;</a>', id="an entity of its own"),
        pytest.param(b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>', id="an external document type"),
        pytest.param(b"<a>&b;</a>", id="an undefined entity"),
        pytest.param(b"<a>" * 33 + b"</a>" * 33, id="33 levels"),
        pytest.param(b'<?xml version="1.0" encoding="hex"?><a/>', id="a codec that is no encoding"),
        pytest.param(b'<?xml version="1.0" encoding="unicode_escape"?><a>\\d</a>', id="a codec that warns"),
        pytest.param(b"<a>&#0;</a>", id="NUL"),
        pytest.param(b"<a>\xff</a>", id="not UTF-8"),
        pytest.param(b"<a>" + b" " * MAX_BODY_BYTES + b"</a>", id="too large"),
    ],
)
def test_bad_xml_is_unreadable(body):
    with pytest.raises(Unreadable):
        read_xml(body)


def test_xml_of_32_levels_is_read():
    assert list(read_xml(b"<a>" * 32 + b"</a>" * 32)) == ["a"]
    assert read_xml(b"<a>" + b"<b/>" * 40 + b"</a>") == {"a": {"b": [None] * 40}}


def test_attributes_and_namespace_prefixes_are_dropped():
    body = b'<x:r xmlns:x="urn:x" a="1"><x:c i:nil="true" xmlns:i="urn:i"/><d b="2"> t </d></x:r>'
    assert read_xml(body) == {"r": {"c": None, "d": "t"}}


def test_a_list_of_one_is_a_list_where_asked_for():
    assert read_xml(b"<r><m>1</m></r>", force_list=("m",)) == {"r": {"m": ["1"]}}
    assert read_xml(b"<r><m>1</m></r>") == {"r": {"m": "1"}}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b"\r\n\t [1]", [1]),
        (BOM + b'{"a":1}', {"a": 1}),
        (BOM + b"<a>1</a>", {"a": "1"}),
        (b'\n <?xml version="1.0"?><a>1</a>', {"a": "1"}),
        ("<a>1</a>".encode("utf-16"), {"a": "1"}),
        (b"true", True),
    ],
)
def test_the_first_character_tells_xml_from_json(body, value):
    assert read_document(body) == value


@pytest.mark.parametrize("body", [b"", b"  \n", BOM, b"plain text"])
def test_what_is_neither_is_unreadable(body):
    with pytest.raises(Unreadable):
        read_document(body)


@pytest.mark.parametrize(
    "body", [b'{"secret', b'{"secret":"\\ud800"}', b"<secret>&secret;</secret>", b"\xffsecret"]
)
def test_the_parsers_own_error_does_not_travel_along(body):
    with pytest.raises(Unreadable) as caught:
        read_document(body)
    # It quotes the body, or carries it.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (301, Finding.UNREADABLE),
        (302, Finding.UNREADABLE),
        (400, Finding.UNREADABLE),
        (403, Finding.UNREADABLE),
        (404, Finding.UNREADABLE),
        (407, Finding.UNREADABLE),
        (429, Finding.BUSY),
        (500, Finding.FAULT),
        (502, Finding.FAULT),
        (503, Finding.FAULT),
        (504, Finding.FAULT),
    ],
)
def test_an_http_status_by_itself(status, finding):
    verdict = http_fault(Answer(status, {"Retry-After": "7"}, b"oops 27831234567"), gateway="Clickatell")
    assert verdict is not None
    assert (verdict.finding, verdict.http_status, verdict.retry_after) == (finding, status, "7")
    assert str(status) in verdict.detail
    assert "oops" not in verdict.detail
    assert verdict.code is None


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html></html>",
        b"\n<HTML><body/></HTML>",
        b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html/>',
    ],
)
def test_a_web_page_with_a_200_is_no_answer(page):
    verdict = http_fault(Answer(200, {}, page))
    assert verdict is not None
    assert verdict.finding is Finding.UNREADABLE
    assert "web page" in verdict.detail


def test_a_200_that_is_no_page_has_nothing_against_it_but_is_still_no_answer():
    answer = Answer(200, {}, b"ok")
    assert http_fault(answer) is None
    assert not_an_answer(answer).finding is Finding.UNREADABLE
    assert "empty" in not_an_answer(Answer(200, {}, b" ")).detail


def test_a_prefix_that_nothing_declares_makes_it_no_xml():
    with pytest.raises(Unreadable):
        read_xml(b"<x:response><data/></x:response>")
