"""Whether and when to repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_smscancel.gateways.base import Finding
from airflow_provider_smscancel.transport.failure import FailureKind, TransportFailure
from airflow_provider_smscancel.transport.policy import (
    backoff_seconds,
    is_worth_retrying,
    retry_after_seconds,
    worth_repeating_send,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("5", 5),
        (" 7 ", 7),
        ("2.5", 2.5),
        ("-3", 0),
        ("121", 120),
        ("315360000", 120),
        ("9" * 5000, 120),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30),
        ("Friday, 02-Jan-26 03:04:35 GMT", 30),
        ("Fri Jan  2 03:04:35 2026", 30),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30),
        ("Fri, 02 Jan 2026 03:03:00 GMT", 0),
        ("Fri, 02 Jan 2036 03:04:05 GMT", 120),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("1e1", None),
        ("1_0", None),
        ("0x10", None),
        ("\uff11\uff12", None),
        ("Fri, \uff10\uff12 Jan 2026 03:04:35 GMT", None),
        ("5, 6", None),
        ("Fri, 32 Jan 2026 03:04:35 GMT", None),
        ("Fri, 02 Jan 99999999999 03:04:35 GMT", None),
        ("Fri, 02 Jan 2026 03:04:35 +9999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_capped(value, seconds):
    assert retry_after_seconds(value, now=NOW) == seconds


@settings(deadline=None)
@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,6} [A-Z][a-z]{2} \d{1,9} [\d:]{1,12} [+-]?\w{1,12}")
)
def test_any_retry_after_is_survived(value):
    found = retry_after_seconds(value, now=NOW, cap=60)
    assert found is None or 0 <= found <= 60


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=119))
def test_a_date_means_the_time_until_then(seconds):
    text = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_seconds(text, now=NOW) == seconds


def test_the_wait_doubles_up_to_its_cap():
    series = [backoff_seconds(attempt, lambda: 1.0) for attempt in range(9)]
    assert series == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_jitter_is_full():
    assert backoff_seconds(3, lambda: 0.0) == 0
    assert backoff_seconds(3, lambda: 0.25) == 1


@pytest.mark.parametrize("attempt", [-5, 0, 64, 2000, 10**12])
def test_no_attempt_overflows(attempt):
    assert 0.5 <= backoff_seconds(attempt, lambda: 1.0) <= 30


RETRYABLE = set(FailureKind) - {FailureKind.TLS, FailureKind.TOO_LARGE}


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_stop_is_repeated_unless_a_repeat_cannot_mend_it(kind):
    assert is_worth_retrying(TransportFailure(kind)) is (kind in RETRYABLE)


@pytest.mark.parametrize("finding", list(Finding))
def test_only_passing_findings_are_worth_a_repeat(finding):
    assert is_worth_retrying(finding) is (finding in {Finding.BUSY, Finding.FAULT})
    assert worth_repeating_send(finding) is (finding is Finding.BUSY)


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("never_left", [True, False])
def test_a_send_is_repeated_only_when_it_provably_never_left(kind, never_left):
    assert worth_repeating_send(TransportFailure(kind, never_left=never_left)) is never_left
