"""Who is not told by Airflow which try this is reads it from what earlier ones have left."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_smscancel.campaigns.journal import next_try

OWNER = "0123abcd"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([], 1),
        (["run-0123abcd.json"], 2),  # it may have sent requests that left no other trace
        (["part-0123abcd-1-ab12-000001.jsonl", "part-0123abcd-1-cd34-000002.jsonl"], 2),
        (
            ["part-0123abcd-9-ab12-000001.jsonl", "part-0123abcd-10-ab12-000001.jsonl", "run-0123abcd.json"],
            11,
        ),
        (["part-ffffffff-7-ab12-000001.jsonl", "run-ffffffff.json", "summary-0123abcd.json", "notes.txt"], 1),
    ],
)
def test_the_next_try_is_one_more_than_the_last_that_left_something(
    tmp_path: Path, left: list[str], expected: int
) -> None:
    for name in left:
        (tmp_path / name).write_text("")
    assert next_try(tmp_path, OWNER) == expected


def test_a_folder_that_is_missing_or_can_not_be_listed_counts_as_empty(tmp_path: Path) -> None:
    assert next_try(tmp_path / "missing", OWNER) == 1
    (tmp_path / "file").write_text("")
    assert next_try(tmp_path / "file", OWNER) == 1
