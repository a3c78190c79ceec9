"""What earlier tries have settled, kept compactly."""

from __future__ import annotations

import pytest

from airflow_provider_smscancel.campaigns.earlier import CarriedOver, SettledEarlier
from airflow_provider_smscancel.campaigns.outcome import Outcome

STOPPED = CarriedOver(Outcome.CANCELLED, "006")
GONE = CarriedOver(Outcome.TOO_LATE, "004")
OPEN = CarriedOver(Outcome.UNCONFIRMED, None)


def test_only_what_can_not_change_any_more_is_there() -> None:
    earlier = SettledEarlier(4)
    earlier.note(0, STOPPED, try_number=1, at=1.0)
    earlier.note(2, OPEN, try_number=1, at=1.0)
    earlier.note(3, GONE, try_number=1, at=1.0)
    assert dict(earlier) == {0: STOPPED, 3: GONE}
    assert 1 not in earlier
    assert -1 not in earlier
    assert 4 not in earlier


@pytest.mark.parametrize("backwards", [False, True])
def test_the_last_by_try_and_then_by_time_counts_in_whatever_order_they_are_read(backwards: bool) -> None:
    lines = [(STOPPED, 1, 9.0), (OPEN, 2, 1.0), (GONE, 2, 2.0)]
    earlier = SettledEarlier(1)
    for found, try_number, at in reversed(lines) if backwards else lines:
        earlier.note(0, found, try_number=try_number, at=at)
    assert dict(earlier) == {0: GONE}


def test_a_report_with_endless_different_statuses_still_tells_the_outcomes() -> None:
    earlier = SettledEarlier(70_000)
    for index in range(70_000):
        earlier.note(index, CarriedOver(Outcome.CANCELLED, str(index)), try_number=10**9, at=float(index))
    assert len(earlier) == 70_000
    assert earlier[5] == CarriedOver(Outcome.CANCELLED, "5")
    assert earlier[69_999] == CarriedOver(Outcome.CANCELLED, None)
