"""The attack on what a run stores finds nothing, and finds what is broken on purpose."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_smscancel.campaigns import earlier_parts, journal, tenure
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.journal import Journal
from airflow_provider_smscancel.sandbox.server import SandboxServer
from torture import storage, stores
from torture.damage import LIES
from torture.plan import TINY
from torture.storage_tries import CONTRADICTIONS, HELD_UP, NOT_TOLD, Losses, World, hurried
from torture.stores import Fault


def test_nothing_is_lost_whatever_a_store_does() -> None:
    rows = storage.attack(TINY)
    assert len(rows) == len(storage.ATTACKS)
    assert [row for row in rows if not row.held] == []


@pytest.fixture
def world() -> Iterator[World]:
    with SandboxServer(seed=3) as server, hurried():
        yield World(server, "Clickatell REST in JSON", 60)


def lost(one: storage.Attack, world: World, folder: Path) -> Losses:
    found = sum(one(world, folder / "report", random.Random(1)), Counter[str]())
    assert world.faults
    return +found


def says_that_all_is_well(close: Callable[..., None]) -> Callable[..., None]:
    def close_well(self: Journal, *arguments: Any, **options: Any) -> None:
        close(self, *arguments, **options)
        self.error = None

    return close_well


BROKEN: dict[str, tuple[Any, str, Any, storage.Attack, str]] = {
    "what the parts are about is not looked at": (
        earlier_parts,
        "_is_about",
        lambda *_: True,
        storage.damaged(LIES["another host"]),
        CONTRADICTIONS,
    ),
    "a try that was given up is believed": (
        journal,
        "look",
        lambda *a, **o: replace(earlier_parts.look(*a, **o), from_try=0),
        storage.from_the_grave,
        CONTRADICTIONS,
    ),
    "what is not written is not told": (
        Journal,
        "close",
        says_that_all_is_well(Journal.close),
        storage.writing(storage.always(Fault.REFUSED, "write")),
        NOT_TOLD,
    ),
    "what is removed is not told": (Journal, "_is_removed", lambda _: False, storage.removed, NOT_TOLD),
    "the ids that are not stopped are not logged": (
        CancelJob,
        "_log_not_done",
        lambda _: None,
        storage.writing(storage.always(Fault.REFUSED, "write")),
        NOT_TOLD,
    ),
    "a store that never answers is waited for": (
        tenure,
        "answered",
        lambda ask, within_s: ask(lambda: within_s),
        storage.in_airflow(storage.always(Fault.HANGS, "write", name="begun"), deferrable=True),
        HELD_UP,
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_finds_a_package_that_is_broken(
    what: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LONGER_THAN_ANY_TRY_S", 0.5)
    thing, name, value, attack, kind = BROKEN[what]
    monkeypatch.setattr(thing, name, value)
    assert lost(attack, world, tmp_path)[kind] > 0
