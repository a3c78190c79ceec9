"""A list that is written down gives the same campaign again, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import hex_id, rest

from airflow_provider_smscancel.campaigns import folders, kept_list
from airflow_provider_smscancel.campaigns.kept_list import keep, lines_of, read_kept, take_lines
from airflow_provider_smscancel.campaigns.messages import Campaign
from airflow_provider_smscancel.campaigns.sources import SourceError
from torture.stores import Fault, FaultyFolder, Store

DATES = st.none() | st.datetimes(timezones=st.timezones())


def state_of(campaign: Campaign) -> tuple[object, ...]:
    """All that counts and positions are made of."""
    return (
        dict(zip(campaign.ids, campaign.due, strict=True)),
        campaign.rejected,
        campaign.duplicates,
        campaign.incomplete,
        campaign.undated,
        campaign.total,
        campaign.fingerprint("https://example.org"),
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20) | st.text(max_size=5), DATES), max_size=30))
def test_what_was_read_is_read_again(rows: list[tuple[int | str, object]]) -> None:
    campaign, again = Campaign(rest()), Campaign(rest())
    for number, (message, date) in enumerate(rows, start=1):
        campaign.add(hex_id(message) if isinstance(message, int) else message, date, f"line {number}")
    take_lines(again, list(lines_of(campaign)))
    assert state_of(again) == state_of(campaign)
    for message_id in campaign.ids:
        spelled = message_id.upper() if len(message_id) == 32 else message_id
        index = again.index_of(spelled)
        assert index is not None
        assert again.ids[index] == message_id
    assert list(again.due) == sorted(again.due)


def empty() -> Campaign:
    return Campaign(rest())


def example() -> Campaign:
    campaign = Campaign(rest())
    for number in range(25_000):
        campaign.add(hex_id(number), None, "")
    campaign.reject("line 7", "the id is empty")
    campaign.incomplete = "manifest was read to line 7 only"
    return campaign


def test_a_file_is_whole(tmp_path: Path) -> None:
    campaign = example()
    keep(campaign, tmp_path / "new", "list.jsonl")
    again = read_kept(empty, tmp_path / "new", "list.jsonl")
    assert state_of(again) == state_of(campaign)
    assert again.ids == campaign.ids


@pytest.mark.parametrize("left", [0, 1, 30, 5000, -1, -20, -60])
def test_a_file_that_was_cut_off_is_refused(left: int, tmp_path: Path) -> None:
    keep(example(), tmp_path, "list.jsonl")
    path = tmp_path / "list.jsonl"
    content = path.read_bytes().rstrip()
    path.write_bytes(content[:left])
    with pytest.raises(SourceError, match="not whole"):
        read_kept(empty, tmp_path, "list.jsonl")


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="FileNotFoundError"):
        read_kept(empty, tmp_path, "list.jsonl")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param('["aa", 1' + "0" * 400 + "]", id="a number beyond all numbers"),
        pytest.param('["aa", 1e400]', id="an infinite date"),
        pytest.param('["aa", NaN]', id="no number"),
        pytest.param('["aa", "1"]', id="a text in place of a date"),
        pytest.param("[5, null]", id="a number in place of an id"),
        pytest.param("[[], null]", id="a list in place of an id"),
        pytest.param('{"position": 5, "reason": "x"}', id="a number in place of a position"),
        pytest.param('"aa"', id="a text in place of a row"),
        pytest.param("5", id="a number in place of a row"),
    ],
)
def test_a_line_that_was_never_written_is_refused_in_one_way(line: str) -> None:
    for messages, rejected in ((1, 0), (0, 1)):
        head = f'{{"messages": {messages}, "rejected": {rejected}, "duplicates": 0, "incomplete": null}}'
        with pytest.raises(SourceError, match="not whole"):
            take_lines(Campaign(rest()), [head, line])


def test_an_id_that_stands_there_twice_is_refused() -> None:
    head = '{"messages": 1, "rejected": 0, "duplicates": 0, "incomplete": null}'
    with pytest.raises(SourceError, match="not whole"):
        take_lines(Campaign(rest()), [head, '["aa", null]', '["aa", null]'])


@pytest.mark.parametrize(
    "counts", ['"duplicates": "x", "incomplete": null', '"duplicates": 0, "incomplete": []']
)
def test_a_head_that_was_never_written_is_refused(counts: str) -> None:
    with pytest.raises(SourceError, match="not whole"):
        take_lines(Campaign(rest()), [f'{{"messages": 0, "rejected": 0, {counts}}}'])


@pytest.mark.parametrize(
    "line",
    [
        f'["{hex_id(3)}", null]',  # it stands there already
        '["../../balance", null]',
        '["9cbc54b1d2ab4ea59c6e5ee0a6a1b2c3"]',
        "[7, null]",
        "[" * 50_000,
    ],
)
def test_a_line_that_can_not_be_of_this_list_makes_it_not_whole(tmp_path: Path, line: str) -> None:
    keep(example(), tmp_path, "list.jsonl")
    path = tmp_path / "list.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(SourceError, match="not whole"):
        read_kept(empty, tmp_path, "list.jsonl")


def test_a_store_that_refuses_once_is_asked_for_the_list_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "READ_AGAIN_AFTER_S", (0.01,))
    keep(example(), tmp_path, "list.jsonl")
    folder = FaultyFolder(tmp_path, Store(lambda call: Fault.REFUSED if call.number == 1 else None))
    assert state_of(read_kept(empty, folder, "list.jsonl")) == state_of(example())


def test_a_store_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_list, "WITHIN_S", 0.05)
    store = Store(lambda _: Fault.HANGS)
    folder = FaultyFolder(tmp_path, store)
    try:
        with pytest.raises(TimeoutError):
            keep(example(), folder, "list.jsonl")
        with pytest.raises(SourceError, match="TimeoutError"):
            read_kept(empty, folder, "list.jsonl")
    finally:
        store.let_go()
