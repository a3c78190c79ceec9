"""What the events of a task's outlets say: the counts, so that a DAG downstream can read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias
from support.deferring import through_the_triggerer
from support.operating import FakeTask, Play, Played, Row, Seed
from support.versions import OutletEventAccessors, before, except_in

from airflow_provider_smscancel.operators.cancel_message import CancelMessageOperator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow.*")

CANCELLED = Asset("campaign-cancelled")
STOPPED = Asset("spring-stopped")
ANY_CAMPAIGN = AssetAlias("any-campaign")


@pytest.fixture
def events() -> OutletEventAccessors:
    return OutletEventAccessors()


def of_alias(events: OutletEventAccessors) -> list[Row]:
    """What is said in the events that an alias was given, the extra of each."""
    event = events[ANY_CAMPAIGN]
    if before("3"):
        return [each["extra"] for each in event.dataset_alias_events]
    return [each.extra for each in event.asset_alias_events]


def played_with(play: Play, events: Any, outlets: list[Any], **parameters: Any) -> Played:
    return play(outlets=outlets, context={"outlet_events": events}, **parameters)


@pytest.mark.parametrize("execute", [CancelMessageOperator.execute, through_the_triggerer])
def test_every_asset_is_told_the_summary(
    execute: Any, seed: Seed, play: Play, events: OutletEventAccessors
) -> None:
    outlets = [CANCELLED, STOPPED]
    deferrable = execute is through_the_triggerer
    played = played_with(
        play, events, outlets, message_ids=seed(3), campaign="spring", execute=execute, deferrable=deferrable
    )
    assert played.error is None
    assert played.summary["outcomes"]["cancelled"] == 3
    assert events[CANCELLED].extra == events[STOPPED].extra == played.summary


def test_what_was_said_before_stays(seed: Seed, play: Play, events: OutletEventAccessors) -> None:
    events[CANCELLED].extra["ticket"] = "OPS-1"
    played = played_with(play, events, [CANCELLED], message_ids=seed(1))
    assert events[CANCELLED].extra == {"ticket": "OPS-1", **played.summary}


def test_every_asset_that_an_alias_was_given_is_told_the_summary(
    seed: Seed, play: Play, events: OutletEventAccessors
) -> None:
    events[ANY_CAMPAIGN].add(STOPPED, extra={"ticket": "OPS-1"})
    events[ANY_CAMPAIGN].add(CANCELLED)
    played = played_with(play, events, [ANY_CAMPAIGN], message_ids=seed(1))
    assert of_alias(events) == [
        {"ticket": "OPS-1", **played.summary},
        played.summary,
    ]


def test_a_dry_run_empties_all_events(seed: Seed, play: Play, events: OutletEventAccessors) -> None:
    events[CANCELLED].extra["said"] = "before"
    events[ANY_CAMPAIGN].add(STOPPED, extra={"said": "before"})
    played = played_with(play, events, [CANCELLED, ANY_CAMPAIGN], message_ids=seed(1), dry_run=True)
    assert played.error is None
    assert events[CANCELLED].extra == {}
    assert of_alias(events) == [{}]


def test_an_outlet_that_is_no_asset_harms_nothing(
    seed: Seed, play: Play, events: OutletEventAccessors
) -> None:
    def execute(operator: CancelMessageOperator, context: Any) -> Any:
        operator.outlets = [object(), CANCELLED]
        return operator.execute(context)

    played = play(message_ids=seed(1), execute=execute, context={"outlet_events": events})
    assert played.error is None
    assert events[CANCELLED].extra == played.summary


@dataclass
class EventOfAirflow2:
    """As Airflow 2.11 hands events over: those of an alias are dictionaries, under another name."""

    extra: Row = field(default_factory=dict)
    dataset_alias_events: list[Row] = field(default_factory=list)


@except_in("3.0", "3.1", what="an asset can't be a key, as it is here")
def test_datasets_of_airflow_2_are_told_the_summary(seed: Seed, play: Play) -> None:
    of_alias = {"source_alias_name": "any", "dest_dataset_uri": "campaign://spring", "extra": {}}
    told = {CANCELLED: EventOfAirflow2(), STOPPED: EventOfAirflow2(dataset_alias_events=[of_alias])}
    played = played_with(play, told, [CANCELLED, STOPPED], message_ids=seed(1))
    assert told[CANCELLED].extra == played.summary
    assert of_alias["extra"] == played.summary


def test_without_outlets_nothing_is_needed(seed: Seed, play: Play) -> None:
    assert play(FakeTask(), message_ids=seed(1)).error is None
