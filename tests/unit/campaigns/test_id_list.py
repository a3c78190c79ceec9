"""Ids kept compactly: distinct, in order, spelled as they came."""

from __future__ import annotations

import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns.id_list import IdList

HEX = "0e7fa1c2d3b4a5968778695a4b3c2d1e"
GUID = str(UUID(HEX))


def filled(*ids: str) -> IdList:
    """Take up ids that compare without regard to case."""
    found = IdList()
    for each in ids:
        found.add(each, each.lower())
    return found


hex_digits = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
guids = st.uuids().map(str) | st.uuids().map(lambda each: str(each).upper())
# What looks nearly like one of the two, so that it must not be taken for it.
near = st.text("0123456789abcdefABCDEF- \x00g", min_size=31, max_size=37)
anything = st.text(st.characters(codec=None), max_size=70)  # lone surrogates included


@given(st.lists(hex_digits | guids | near | anything, max_size=60))
def test_it_is_what_a_list_and_a_dictionary_would_be(ids: list[str]) -> None:
    kept: list[str] = []
    places: dict[str, int] = {}
    found = IdList()
    for each in ids:
        key = each.lower()
        is_new = key not in places
        if is_new:
            places[key] = len(kept)
            kept.append(each)
        assert found.add(each, key) == (places[key], is_new)
    assert list(found) == kept
    assert list(found.canonical()) == list(places)
    assert [found.find(key) for key in places] == list(range(len(kept)))
    assert found == kept


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(HEX, GUID, id="a GUID and its digits"),
        pytest.param(HEX, HEX[:-1], id="a digit less"),
        pytest.param(HEX[:2] + " " + HEX[3:], HEX, id="a blank within"),
        pytest.param(GUID.replace("-", "_"), GUID, id="other signs than dashes"),
        pytest.param(HEX[:16] + "----" + HEX[16:], GUID, id="dashes elsewhere"),
        pytest.param(bytes.fromhex(HEX).decode("latin-1"), HEX, id="its raw bytes as a text"),
        pytest.param("\x01" + HEX, HEX, id="with the mark of a packed one before it"),
    ],
)
def test_different_ids_stay_different(one: str, other: str) -> None:
    found = filled(one, other)
    assert list(found) == [one, other]
    assert (found.find(one.lower()), found.find(other.lower())) == (0, 1)


def test_ten_thousand_ids_are_all_found_again() -> None:
    ids = [f"{number * 0x9E3779B97F4A7C15 % (1 << 128):032x}" for number in range(1, 10_001)]
    found = filled(*ids)
    assert [found.find(each) for each in ids] == list(range(10_000))
    assert found.find(HEX) is None
    assert found[-1] == ids[-1]
    assert found[10:12] == ids[10:12]
    with pytest.raises(IndexError):
        found[10_000]


def test_it_takes_less_than_the_strings_alone_would() -> None:
    ids = [f"{number:032X}" for number in range(50_000)]
    found = filled(*ids)
    own = sum(
        sys.getsizeof(part)
        for part in (found._packed, found._ends, found._spelling, found._slots, found._odd)
    )
    assert own < sum(map(sys.getsizeof, ids)) / 1.5
