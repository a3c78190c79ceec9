"""The benchmarks still run, and what they compute is right. No time is asserted: that is what `make bench` is for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ground_truth import contradicts

from benchmarks import __main__ as bench
from benchmarks import killed, scaling, schedule
from benchmarks.arithmetic import busiest_second, most_saved, pace
from benchmarks.clients import CLIENTS, Order, message_ids
from benchmarks.harness import BareServer, Round, Row, Series, doubts, final_outcomes, flattered, ratio
from benchmarks.imports import package_us

moments = st.lists(st.integers(0, 40).map(lambda tenths: tenths / 8), max_size=12)


@pytest.fixture(scope="module")
def server() -> Iterator[BareServer]:
    with BareServer("--keep-ids") as running:
        yield running


# -- what is computed ---------------------------------------------------------------------------------------------------


@given(moments)
def test_the_busiest_second_is_the_fullest_window_that_begins_with_an_event(times: list[float]) -> None:
    times.sort()
    windows = [sum(start <= time < start + 1 for time in times) for start in times]
    assert busiest_second(times) == max(windows, default=0)


def test_the_pace_is_that_from_the_first_event_to_the_last() -> None:
    assert pace([5.0, 5.5, 6.0]) == 2.0
    assert pace([5.0]) == pace([]) == 0.0


@given(st.lists(st.integers(0, 6), max_size=5), st.lists(st.integers(0, 6), max_size=5))
def test_no_order_saves_more_than_the_best_schedule(leaves: list[int], slots: list[int]) -> None:
    slots.sort()
    orders = itertools.permutations(leaves)
    # A message that can't be saved any more need not be asked: whoever is next takes the slot.
    best = max(saved_by(order, slots) for order in orders)
    assert most_saved(leaves, slots) == best


def saved_by(order: tuple[int, ...], slots: list[int]) -> int:
    free = list(slots)
    saved = 0
    for leaves in order:
        if free and free[0] < leaves:
            free.pop(0)
            saved += 1
    return saved


def test_a_best_schedule_takes_the_undated_first() -> None:
    trace = schedule.Trace([1.5, 1.5, 2.5], undated=1)
    assert trace.best([0.0, 1.0, 2.0]) == 3
    assert trace.best([0.0, 2.0]) == 2


@pytest.mark.parametrize("shape", schedule.SHAPES)
def test_a_trace_is_the_same_for_the_same_seed(shape: str) -> None:
    one, other = (schedule.SHAPES[shape](Random(7), 64) for _ in range(2))
    assert one == other
    assert len(one.ids) == 64


def test_the_import_time_is_that_of_the_package_and_of_what_it_was_the_first_to_import() -> None:
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:        10 |         10 |       re",
        "import time:        30 |         40 |     airflow_provider_smscancel",
        "import time:         5 |          5 |       airflow_provider_smscancel.provider_info",
        "import time:         2 |          7 |     airflow_provider_smscancel.hooks",
        "import time:       100 |        147 |   airflow",
    ]
    assert package_us(lines) == 47


@pytest.mark.parametrize(
    ("gateway", "outcome", "state", "expected"),
    [
        ("clickatell", "cancelled", "cancelled", False),
        ("clickatell", "cancelled", "scheduled", True),
        ("clickatell", "not_found", "cancelled", True),
        ("clickatell", "not_found", None, False),
        ("clickatell", "too_late", "queued", True),
        ("esendex", "too_late", "queued", False),
        ("esendex", "cancelled", None, True),
        ("esendex", "unconfirmed", "cancelled", False),
    ],
)
def test_an_outcome_contradicts_the_record_when_it_claims_what_that_denies(
    gateway: str, outcome: str, state: str | None, expected: bool
) -> None:
    assert contradicts(gateway, outcome, state) is expected


# -- the verdict --------------------------------------------------------------------------------------------------------


def series(*per_second: float, busy: float = 0.1, could: float = 1e6, own_core: float = 1.0) -> Series:
    return Series([Round(each, own_core * 1e6 / each, busy, could) for each in per_second])


def test_the_ratio_of_the_verdict_is_the_median_over_the_rounds() -> None:
    assert ratio(series(50, 90, 80), series(100, 100, 100)).middle == 0.8


def test_rounds_in_which_something_else_ran_on_the_core_do_not_count() -> None:
    disturbed = series(20, own_core=0.5)
    own = Series(series(80, 82, 84).rounds + disturbed.rounds)
    bare = series(100, 100, 100, 100)
    found = ratio(own, bare)
    assert (found.middle, found.undisturbed, found.rounds) == (0.82, 3, 4)
    assert own.per_second == 82
    assert "not quiet" not in doubts(found, own, bare)
    assert "not quiet" in doubts(ratio(disturbed, series(100)), disturbed)


def test_there_is_no_verdict_when_the_server_may_be_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.cores", lambda: (0, 1))
    assert not flattered(series(100))
    assert "busy" in flattered(series(100, busy=0.81))
    assert "2 times" in flattered(series(100, could=199))
    monkeypatch.setattr("benchmarks.harness.cores", lambda: (None, None))
    assert "core" in flattered(series(100))


MET = Row("fast enough", "≥ 1", "2", True)
MISSED = Row("slow", "≥ 3", "**2**", False)
UNCLEAR = Row("unclear", "≥ 3", "2", False, "the server was busy")


@pytest.mark.parametrize(
    ("rows", "status"), [([MET, UNCLEAR], 0), ([MET, MISSED], 1)], ids=["all met", "one missed"]
)
def test_the_exit_status_tells_whether_a_bar_is_missed(
    rows: list[Row], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(bench.MEASURES, "engine", lambda: rows)
    assert bench.main(["--only", "engine", "--markdown"]) == status
    printed = capsys.readouterr().out
    for row in rows:
        assert f"| {row.what} | {row.bar} | {row.measured} | {row.verdict} |" in printed


def test_a_measurement_that_breaks_down_is_a_missed_bar_and_loses_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks() -> list[Row]:
        raise RuntimeError("no server")

    monkeypatch.setitem(bench.MEASURES, "engine", breaks)
    monkeypatch.setitem(bench.MEASURES, "imports", lambda: [MET])
    assert bench.main(["--only", "engine", "--only", "imports"]) == 1
    printed = capsys.readouterr().out
    assert "fast enough" in printed
    assert "no server" in printed


# -- it still runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_stops_every_message_at_the_bare_server(
    name: str, server: BareServer, tmp_path: Path
) -> None:
    ids = message_ids(20, name)
    server.ask("reset")
    with ThreadPoolExecutor(1) as pool:  # a thread of its own, as some set its event loop
        run = CLIENTS[name](Order(server.url, ids, 4, report=tmp_path))
        assert pool.submit(run).result() == len(ids)
    assert set(server.ask("saved")) == set(ids)
    assert server.ask("stats")["requests"] == len(ids)
    if name == "job":
        assert final_outcomes(tmp_path) == dict.fromkeys(ids, "cancelled")


def test_the_bare_server_answers_requests_that_come_together_and_in_pieces(server: BareServer) -> None:
    server.ask("reset")
    address = urlsplit(server.url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=10)) as connection:
        connection.connect()
        wire = b"".join(
            b"DELETE /rest/message/%b HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" % name
            for name in (b"a1", b"b2")
        )
        for piece in (wire[:30], wire[30:-1], wire[-1:]):
            connection.sock.sendall(piece)
        told = b""
        while b'"apiMessageId":"b2"' not in told:
            told += connection.sock.recv(65536)
    assert b'"messageStatus":"006"' in told
    assert b"\r\nDate: " in told
    assert sorted(server.ask("saved")) == ["a1", "b2"]


def test_a_row_is_measured_from_end_to_end() -> None:
    (row,) = killed.killed(scale=0.02)
    assert row.verdict == "met"


@pytest.mark.parametrize("measure", [scaling.workers, scaling.shards])
def test_what_docs_say_of_scaling_is_measured_from_end_to_end(measure: Callable[[float], list[Row]]) -> None:
    rows = measure(0.01)
    assert rows
    assert {row.verdict for row in rows} == {"—"}
