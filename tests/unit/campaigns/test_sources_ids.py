from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign, MessageRef
from airflow_provider_smscancel.campaigns.sources import SourceError, add_ids, is_blank
from airflow_provider_smscancel.gateways.clickatell import ClickatellRest
from airflow_provider_smscancel.gateways.esendex import EsendexUs

ONE, TWO, THREE = (f"{number:032x}" for number in (0xA1, 0xB2, 0xC3))
NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)


def clickatell() -> Campaign:
    return Campaign(ClickatellRest(token="t"))


def read(value: object, field: str = "message_ids") -> Campaign:
    campaign = clickatell()
    add_ids(campaign, value, field)
    return campaign


def positions(campaign: Campaign) -> list[str]:
    return [row.position for row in campaign.rejected]


@pytest.mark.parametrize("value", [None, "", "  \n\t "])
def test_nothing_and_blank_text_count_as_not_given(value):
    assert is_blank(value)


@pytest.mark.parametrize("value", [[], (), {}, 0, "x", "None"])
def test_an_empty_list_and_everything_else_count_as_given(value):
    assert not is_blank(value)


def test_an_empty_list_adds_nothing_and_is_no_error():
    assert read([]).total == 0


@pytest.mark.parametrize("make", [list, tuple, iter, lambda ids: (i for i in ids), dict.fromkeys], ids=str)
def test_ids_come_from_any_iterable_but_a_mapping(make):
    value = make([ONE, TWO])
    if isinstance(value, dict):
        value = value.keys()
    assert read(value).ids == [ONE, TWO]


def test_ids_come_from_a_set():
    assert sorted(read({ONE, TWO}).ids) == [ONE, TWO]


def test_mappings_and_refs_bring_their_dates():
    campaign = read([{"message_id": ONE, "scheduled_at": NOON.isoformat()}, MessageRef(TWO, NOON), THREE])
    assert campaign.ids == [ONE, TWO, THREE]
    assert list(campaign.due) == [NOON.timestamp(), NOON.timestamp(), UNDATED]


def test_bad_items_are_rejected_by_position_and_hold_up_nobody():
    campaign = read([ONE, 17, None, b"x", ["y"], {"id": "z"}, "+44 7700 900123", 1.5, TWO])
    assert campaign.ids == [ONE, TWO]
    assert positions(campaign) == [f"item {n}" for n in range(2, 9)]
    assert "quote it" in campaign.rejected[0].reason
    assert not any("7700" in row.reason for row in campaign.rejected)


@pytest.mark.parametrize("nothing", ["None", "null", " none ", "NULL", "NaN", {"message_id": "None"}])
def test_an_item_that_rendered_to_none_is_not_asked_for(nothing):
    campaign = read([ONE, nothing, nothing])
    assert campaign.ids == [ONE]
    assert positions(campaign) == ["item 2", "item 3"]
    assert "None" in campaign.rejected[0].reason


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ONE, TWO, THREE]),
        json.dumps([ONE, {"message_id": TWO}, THREE], indent=2),
        str([ONE, TWO, THREE]),
        str((ONE, TWO, THREE)),
        f"['{ONE}', \"{TWO}\", '{THREE}',]",
        f"[u'{ONE}', u'{TWO}', u'{THREE}']",
        str([{"message_id": ONE, "scheduled_at": None}, TWO, THREE]),
        f"  \ufeff{ONE}\n{TWO}\r\n{THREE}\n",
        f"{ONE},{TWO}, {THREE},",
        f"{ONE} {TWO}\t{THREE}",
        f"'{ONE}', \"{TWO}\",\n'{THREE}',  ",
    ],
)
def test_a_text_is_a_json_list_a_python_literal_or_separated_ids(text):
    campaign = read(text)
    assert campaign.ids == [ONE, TWO, THREE]
    assert not campaign.rejected


def test_separated_ids_are_numbered_as_items():
    campaign = read(f"{ONE}, b@d\n{TWO}")
    assert campaign.ids == [ONE, TWO]
    assert positions(campaign) == ["item 2"]


def test_a_number_as_separated_text_is_an_id_and_in_a_list_it_is_not():
    assert read("123 456").ids == ["123", "456"]
    assert positions(read("[123, 456]")) == ["item 1", "item 2"]


@pytest.mark.parametrize("text", ["None", "null", "  None\n", "NONE"])
def test_the_text_none_is_an_error_that_names_the_field(text):
    with pytest.raises(SourceError, match=r"^opt_outs rendered to None: "):
        read(text, "opt_outs")


@pytest.mark.parametrize("text", ['["a", "b"', "[a, b]", "(a", "['a']]", "('a')", "[", "(1).real", "['a'].x"])
def test_what_begins_like_a_list_is_never_split_by_commas(text):
    with pytest.raises(SourceError, match="begins like a list"):
        read(text)


@pytest.mark.parametrize(
    "text", [f"['{ONE}' '{TWO}']", f"['{ONE}'\n '{TWO}']", f"['{ONE}''{TWO}', '{THREE}']"]
)
def test_ids_without_a_comma_between_them_are_not_joined_to_one(text):
    with pytest.raises(SourceError, match="without a comma"):
        read(text)


@pytest.mark.parametrize("text", ['{"message_id": "a"}', "{'a': 1}", "{", "{{ ti.xcom_pull() }}"])
def test_the_text_of_an_object_is_an_error(text):
    with pytest.raises(SourceError, match="begins with a brace"):
        read(text)


@pytest.mark.parametrize(
    "value", [{"message_id": ONE}, 5, 1.5, True, b"abc", bytearray(b"a"), MessageRef(ONE), None]
)
def test_what_is_no_list_is_an_error_that_names_the_field(value):
    with pytest.raises(SourceError, match=r"^opt_outs is "):
        read(value, "opt_outs")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "(" * 1_000,
        "[" + "-" * 200_000 + "1]",
        "[" + "1+" * 50_000 + "1]",
        "(" + "9" * 10_000 + ",)",
        "[{[]: 1}]",
        "[1is 2]",
        "['a\0']",
        "[\ud800]",
    ],
    ids=range(9),
)
def test_a_text_that_breaks_parsers_is_an_error_without_an_echo(text):
    with pytest.raises(SourceError) as caught:
        read(text)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_odd_escapes_in_a_literal_cause_no_warning():
    assert positions(read("['\\d']")) == ["item 1"]


def test_the_gateway_decides_what_an_id_is():
    campaign = Campaign(EsendexUs(base_url="https://messaging.esendex.us"))
    add_ids(campaign, [ONE, "1627aea5-8e0a-4371-9022-9b504344e724"])
    assert campaign.ids == ["1627aea5-8e0a-4371-9022-9b504344e724"]
    assert positions(campaign) == ["item 1"]


def test_a_hundred_thousand_ids_in_a_text_are_all_there():
    ids = [f"{number:032x}" for number in range(100_000)]
    for text in ("\n".join(ids), json.dumps(ids), str(ids)):
        assert read(text).ids == ids


@settings(deadline=None)
@given(st.text(max_size=80) | st.text("[](){}'\",\\ Na1\n", max_size=40))
def test_any_text_is_read_or_is_a_source_error(text):
    campaign = clickatell()
    with contextlib.suppress(SourceError):
        add_ids(campaign, text)
        return
    assert not campaign.total


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.binary(max_size=3), st.just(ONE)))
)
def test_every_item_of_a_list_is_counted(items):
    campaign = read(items)
    assert campaign.total + campaign.duplicates == len(items)


def test_an_object_that_names_two_messages_is_rejected_and_neither_is_lost_unseen():
    campaign = read(f'[{{"message_id": "{ONE}", "message_id": "{TWO}"}}, {{"message_id": "{THREE}"}}]')
    assert (campaign.ids, positions(campaign)) == ([THREE], ["item 1"])
    assert "more than once" in campaign.rejected[0].reason


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table])
def test_a_table_is_refused_rather_than_the_names_of_its_columns_taken_for_ids(make):
    with pytest.raises(SourceError, match="message_ids is a table of type"):
        read(make({"message_id": [ONE]}))
    assert read(pd.DataFrame({"message_id": [ONE]})["message_id"]).ids == [ONE]
    assert read(pd.DataFrame({"message_id": [ONE], "scheduled_at": [pd.NaT]}).to_dict("records")).ids == [ONE]
