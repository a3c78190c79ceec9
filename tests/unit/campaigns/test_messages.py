"""Which messages: one list in which each stands once."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import esendex, guid, hex_id, http_api, rest

from airflow_provider_smscancel.campaigns.messages import UNDATED, Campaign, MessageRef, due_time
from airflow_provider_smscancel.gateways.base import IdType

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_ids_that_differ_in_case_only_are_one_message() -> None:
    campaign = Campaign(rest())
    campaign.add(hex_id(171).upper(), None, "line 1")
    campaign.add(hex_id(171), None, "line 2")
    assert campaign.ids == [hex_id(171).upper()]
    assert campaign.duplicates == 1
    campaign = Campaign(esendex())
    campaign.add(guid(171), None, "line 1")
    campaign.add(guid(171).upper(), None, "line 2")
    assert (len(campaign), campaign.duplicates) == (1, 1)


def test_client_ids_that_differ_in_case_are_two_messages() -> None:
    campaign = Campaign(http_api(), IdType.CLIENT_MESSAGE_ID)
    campaign.add("a" * 32, None, "line 1")
    campaign.add("A" * 32, None, "line 2")
    assert (len(campaign), campaign.duplicates) == (2, 0)


def test_an_id_of_another_shape_than_hexadecimal_is_taken_exactly() -> None:
    campaign = Campaign(rest())
    campaign.add("Message-1", None, "line 1")
    campaign.add("message-1", None, "line 2")
    assert len(campaign) == 2


def test_blanks_around_an_id_do_not_count() -> None:
    campaign = Campaign(rest())
    campaign.add(f"  {hex_id(1)}\t", None, "line 1")
    assert campaign.ids == [hex_id(1)]


@pytest.mark.parametrize(
    ("message_id", "word"),
    [
        (12345, "quote it"),
        (1.5, "quote it"),
        (True, "bool"),
        (None, "empty"),
        (b"abc", "bytes"),
        ("", "not a Clickatell message id"),
        ("+49 170 1234567", "not a Clickatell message id"),
        ("a/b", "not a Clickatell message id"),
    ],
)
def test_a_row_that_names_no_message_is_rejected_by_position_and_never_echoed(
    message_id: object, word: str
) -> None:
    campaign = Campaign(rest())
    campaign.add(message_id, None, "line 17")
    campaign.add(hex_id(1), None, "line 18")
    (row,) = campaign.rejected
    assert row.position == "line 17"
    assert word in row.reason
    if len(str(message_id)) > 4:
        assert str(message_id) not in row.reason
    assert campaign.ids == [hex_id(1)]


def test_distinct_ids_and_rejected_rows_add_up_to_the_total() -> None:
    campaign = Campaign(rest())
    for message_id in [hex_id(1), hex_id(2), hex_id(1), 7, "", hex_id(3)]:
        campaign.add(message_id, None, "item")
    assert campaign.total == 5
    assert len(campaign) == 3
    assert campaign.duplicates == 1


def test_items_may_be_ids_mappings_or_references() -> None:
    campaign = Campaign(rest())
    campaign.add_item(hex_id(1), "item 1")
    campaign.add_item({"message_id": hex_id(2), "scheduled_at": NOON.isoformat(), "other": 1}, "item 2")
    campaign.add_item(MessageRef(hex_id(3), NOON), "item 3")
    campaign.add_item({"id": hex_id(4)}, "item 4")
    campaign.add_item({"message_id": None}, "item 5")
    campaign.add_item([hex_id(6)], "item 6")
    assert campaign.ids == [hex_id(1), hex_id(2), hex_id(3)]
    assert list(campaign.due) == [UNDATED, NOON.timestamp(), NOON.timestamp()]
    assert [row.position for row in campaign.rejected] == ["item 4", "item 5", "item 6"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00+00:00",
        "2026-11-23 13:00:00+01:00",
        " 2026-11-23T12:00Z ",
        NOON,
        NOON.astimezone(timezone(timedelta(hours=-5))),
    ],
)
def test_a_date_with_a_zone_is_read(text: object) -> None:
    assert due_time(text) == NOON.timestamp()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "soon",
        "2026-11-23T12:00:00",
        "2026-11-23",
        NOON.replace(tzinfo=None),
        date(2026, 11, 23),
        1_800_000_000,
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_date_that_can_not_be_read_or_has_no_zone_counts_as_none(text: object) -> None:
    assert due_time(text) in (UNDATED, datetime(1, 1, 1, tzinfo=UTC).timestamp() - 14 * 3600)
    campaign = Campaign(rest())
    campaign.add(hex_id(1), text, "line 1")
    assert campaign.ids == [hex_id(1)]
    assert campaign.rejected == []


def test_undated_messages_are_counted() -> None:
    campaign = Campaign(rest())
    campaign.add(hex_id(1), None, "line 1")
    campaign.add(hex_id(2), NOON, "line 2")
    campaign.add(hex_id(3), "soon", "line 3")
    assert campaign.undated == 2


@pytest.mark.parametrize(
    ("first", "second", "due"),
    [
        (NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=1)),
        (NOON - timedelta(hours=1), NOON, NOON - timedelta(hours=1)),
        (None, NOON, NOON),
        (NOON, None, NOON),
    ],
)
def test_of_two_rows_about_one_message_the_earlier_date_counts_and_any_date_beats_none(
    first: datetime | None, second: datetime | None, due: datetime
) -> None:
    campaign = Campaign(rest())
    campaign.add(hex_id(1), first, "line 1")
    campaign.add(hex_id(1), second, "line 2")
    assert list(campaign.due) == [due.timestamp()]


def test_a_message_is_found_by_any_spelling_of_its_id() -> None:
    campaign = Campaign(rest())
    campaign.add(hex_id(1), None, "line 1")
    campaign.add(hex_id(171), None, "line 2")
    assert campaign.index_of(hex_id(171).upper()) == 1
    assert campaign.index_of(hex_id(9)) is None
    assert campaign.index_of("") is None


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=30, unique=True), st.randoms(use_true_random=False)
)
def test_the_fingerprint_names_the_set_of_messages_whatever_their_order(
    numbers: list[int], shuffler: random.Random
) -> None:
    def fingerprint(order: list[int], host: str = "https://api.clickatell.com", upper: bool = False) -> str:
        campaign = Campaign(rest())
        for number in order:
            campaign.add(hex_id(number).upper() if upper else hex_id(number), None, "item")
        return campaign.fingerprint(host)

    shuffled = numbers[:]
    shuffler.shuffle(shuffled)
    assert fingerprint(numbers) == fingerprint(shuffled) == fingerprint(shuffled, upper=True)
    assert fingerprint(numbers) == fingerprint([*numbers, numbers[0]])
    assert fingerprint(numbers) != fingerprint([*numbers, 20_000])
    assert fingerprint(numbers) != fingerprint(numbers, "http://127.0.0.1:8099")


def test_the_fingerprint_tells_gateways_and_kinds_of_ids_apart() -> None:
    by_message_id, by_client_id = Campaign(http_api()), Campaign(http_api(), IdType.CLIENT_MESSAGE_ID)
    for campaign in (by_message_id, by_client_id):
        campaign.add("abc", None, "item")
    assert by_message_id.fingerprint("h") != by_client_id.fingerprint("h")
    assert len(by_message_id.fingerprint("h")) == 32


def test_guids_at_clickatell_are_one_message_in_either_case() -> None:
    from airflow_provider_smscancel.gateways.clickatell import ClickatellRest

    campaign = Campaign(ClickatellRest(token="token-of-a-test"))
    one = "1627aea5-8e0a-4371-9022-9b504344e724"
    campaign.add(one, None, "item 1")
    campaign.add(one.upper(), None, "item 2")
    assert (campaign.ids, campaign.duplicates) == ([one], 1)


def test_pandas_word_for_no_date_is_no_date_rather_than_an_error() -> None:
    assert due_time(pd.NaT) == UNDATED


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_a_date_that_no_calendar_has_in_utc_counts_as_none(text: str) -> None:
    assert due_time(text) == UNDATED


def test_the_last_second_of_the_calendar_can_be_written_down_again() -> None:
    due = due_time("9999-12-31T23:59:59Z")
    assert datetime.fromtimestamp(due, UTC) == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
