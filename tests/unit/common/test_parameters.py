"""How rendered parameters are read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_smscancel.campaigns import Outcome
from airflow_provider_smscancel.common.parameters import (
    FAIL_ON_DEFAULT,
    one_source,
    read_count,
    read_duration,
    read_flag,
    read_name,
    read_outcomes,
    read_text,
)


def test_by_default_every_outcome_fails_the_task_but_the_harmless_ones() -> None:
    assert set(Outcome) - FAIL_ON_DEFAULT == {"cancelled", "already_cancelled", "will_not_send"}
    assert read_outcomes("fail_on", None) == read_outcomes("fail_on", "") == FAIL_ON_DEFAULT


@pytest.mark.parametrize("value", [[], (), "[]"])
def test_an_empty_list_of_outcomes_means_none_at_all(value: Any) -> None:
    assert read_outcomes("fail_on", value) == frozenset()


@pytest.mark.parametrize(
    "value", [["too_late"], {Outcome.TOO_LATE}, "too_late", "[too_late]", "('too_late',)"]
)
def test_outcomes_are_read_from(value: Any) -> None:
    assert read_outcomes("fail_on", value) == {Outcome.TOO_LATE}


@pytest.mark.parametrize("value", ["too late", ["TOO_LATE"], 5, [None], "None", "{}", [["too_late"]]])
def test_outcomes_are_not_guessed_from(value: Any) -> None:
    with pytest.raises(ValueError, match="fail_on must be a list of outcomes: cancelled, "):
        read_outcomes("fail_on", value)


@pytest.mark.parametrize(
    ("value", "count"), [(0, 0), ("0", 0), (" 17 ", 17), (10**15, 10**15), ("", None), (None, None)]
)
def test_counts_are_read_from(value: Any, count: int | None) -> None:
    assert read_count("max_messages", value) == count


@pytest.mark.parametrize(
    "value", [True, 1.0, "1.0", "1e3", "-1", "+1", "1_000", "\u0663", "9" * 5000, "None", [1]]
)
def test_counts_are_not_guessed_from(value: Any) -> None:
    with pytest.raises(ValueError, match="max_messages must be a whole number"):
        read_count("max_messages", value)


def test_flags_are_read_strictly() -> None:
    assert read_flag("dry_run", "True") is read_flag("dry_run", True) is True
    assert read_flag("dry_run", " false") is read_flag("dry_run", False) is False
    with pytest.raises(ValueError, match="dry_run"):
        read_flag("dry_run", "")


@pytest.mark.parametrize(("value", "text"), [(None, None), ("  ", None), (" a ", "a")])
def test_texts_are_stripped_and_blank_ones_count_as_none(value: Any, text: str | None) -> None:
    assert read_text("manifest", value) == text


@pytest.mark.parametrize("value", ["None", " None ", 5, ["a"]])
def test_texts_that_were_rendered_to_nothing_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="manifest"):
        read_text("manifest", value)


@pytest.mark.parametrize(
    ("value", "name"), [(2026, "2026"), (None, None), ("None", None), (" x ", "x"), ("", None)]
)
def test_names_are_taken_as_they_come(value: Any, name: str | None) -> None:
    assert read_name(value) == name


def test_durations_are_timedeltas_or_seconds() -> None:
    assert read_duration("give_up_after", 90) == timedelta(seconds=90)
    assert read_duration("give_up_after", timedelta(0)) == timedelta(0)
    for wrong in ("90", True, None, timedelta(seconds=-1), float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give_up_after must be"):
            read_duration("give_up_after", wrong)


def test_an_empty_list_is_a_source_and_a_blank_text_is_none() -> None:
    assert one_source({"message_ids": [], "manifest": " "}) == "message_ids"
    assert one_source({"message_ids": "", "manifest": "/m.csv"}) == "manifest"


def test_a_name_that_is_a_number_beyond_all_writing_holds_up_no_campaign() -> None:
    assert read_name(10**5000) is None
