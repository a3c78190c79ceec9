"""Campaigns at a gateway that fails at every third call, in a real Airflow whose parts are killed: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.airflow_stack import AirflowStack
from support.sandbox_process import SandboxProcess

from torture.in_airflow import Scene, kill_before_its_first_part
from torture.plan import TINY

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def scene(airflow: AirflowStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with SandboxProcess("--seed", "1", "--latency", "0.02") as sandbox:
        sandbox.set_faults(profile="heavy")
        yield Scene(airflow, sandbox, tmp_path_factory.mktemp("attacked"), TINY.messages)


def test_a_worker_killed_before_it_has_told_anybody_what_it_stopped_loses_nothing(scene: Scene) -> None:
    run = scene.begin("Esendex json", "here")
    kill_before_its_first_part(run)
    row = scene.ended("killed", run)
    assert row.held, row.found

    # What is counted would be noticed.
    for part in run.parts():
        part.write_text(part.read_text().replace('"too_late"', '"cancelled"'))
    assert scene.count(run).wrong > 0
    assert scene.count(run).disagree > 0
    for part in run.parts():
        part.unlink()
    assert scene.count(run).missing >= len(run.began_as)


def test_a_triggerer_that_stands_still_until_another_one_has_done_its_work_spoils_nothing(
    scene: Scene,
) -> None:
    row = scene.stall("Clickatell HTTP")
    assert row.held, row.found
