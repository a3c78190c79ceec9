"""Each attack runs with few messages and loses none, and finds what is broken on purpose."""

from __future__ import annotations

import importlib
from datetime import datetime
from random import Random

import pytest

from airflow_provider_smscancel.campaigns import engine, outage, settlement, single
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.gateways import esendex_answers
from airflow_provider_smscancel.sandbox.faults import KINDS
from torture import calls, clock, faults, outages, refusals, runs
from torture.plan import TINY, Plan, Row

FEW = Plan(messages=30, seeds=(1,), inputs=0)


@pytest.mark.parametrize("part", ["faults", "outages", "refusals", "calls", "clock"])
def test_nothing_is_lost(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "GIVE_UP_AFTER_S", 3.0)
    rows: list[Row] = importlib.import_module(f"torture.{part}").attack(TINY)
    assert rows
    assert [row for row in rows if not row.held] == []


def lost_to(kind: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let one kind of fault strike the format whose answers name no message."""
    monkeypatch.setattr(faults, "KINDS", {kind: KINDS[kind]})
    found = faults._each_kind("Esendex json", runs.FEW_MESSAGES * 3, seed=1)
    assert found.struck[kind]
    assert found.lost_to[kind] == found.told.lost
    return found.told.lost


def test_an_error_that_is_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esendex_answers, "is_success", lambda _: True)
    assert lost_to("error-on-success", monkeypatch) > 0


def test_a_deed_of_ours_that_is_called_anothers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    already = Outcome.ALREADY_CANCELLED
    monkeypatch.setattr(settlement.StopCase, "_cancelled_by", lambda _: already)
    assert lost_to("act-then-drop", monkeypatch) > 0


def test_a_run_that_gives_up_at_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.Health, "patience_left", lambda *_: 0.0)
    assert all(row.lost for row in outages.attack(FEW))


def test_a_gateway_that_is_hammered_while_it_is_down_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "PROBE_EVERY_S", 0.5)
    _, hammered = outages._waited_out("Esendex json", 30, Random(1), lasts_s=60.0, patience_s=600.0)
    assert hammered


def test_a_send_that_is_repeated_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "_is_safe_to_repeat", lambda _: True)
    monkeypatch.setattr(calls, "KINDS", {"act-then-drop": KINDS["act-then-drop"]})
    monkeypatch.setattr(calls, "SERVICES", calls.SERVICES[:1])
    monkeypatch.setattr(calls, "OFTEN", 0.9)
    *_, sends = calls.attack(FEW)
    assert sends.lost > 0


def test_a_stray_refusal_that_ends_a_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: engine.Engine, verdict: object) -> None:
        self.end(RunEnd.ACCOUNT_REFUSED)

    monkeypatch.setattr(engine.Engine, "_doubt_account", refuse)
    monkeypatch.setattr(refusals, "STRAY_SHARE", 0.5)
    found = refusals._play(refusals._strays, "Clickatell REST in JSON", FEW, 1)
    assert found.otherwise == 1
    assert found.told.lost > 0


def test_dates_that_are_read_by_the_clock_on_the_wall_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = clock.due_time

    def by_the_wall(scheduled_at: object) -> float:
        told = scheduled_at if isinstance(scheduled_at, datetime) else None
        return honest(scheduled_at if told is None else told.replace(fold=0))

    monkeypatch.setattr(clock, "due_time", by_the_wall)
    assert clock._dates_read(FEW).lost > 0
