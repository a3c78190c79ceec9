"""The account is refused in the middle of a run, or seems to be: what was not asked is told, and a stray word ends nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from support.ground_truth import FORMATS, Comparison
from support.sandbox_process import SandboxProcess

from airflow_provider_smscancel._airflow import AirflowException, AirflowFailException
from airflow_provider_smscancel.campaigns.cancel_job import CancelJob
from airflow_provider_smscancel.campaigns.outcome import Outcome
from airflow_provider_smscancel.campaigns.run import RunEnd
from airflow_provider_smscancel.common.judging import judge
from airflow_provider_smscancel.gateways.base import Gateway
from benchmarks.harness import final_outcomes
from torture.plan import Plan, Row
from torture.runs import (
    SHARE,
    Given,
    at_sandbox,
    held_against_record,
    put_in,
    quiet,
    run_job,
    service_for,
    some_of,
)

EACH_SCENE = 10
"""Each scene is played with one in so many of the messages, in each format that it is about."""
FEWEST = 20
FORMATS_WITH_FEW = 1
STRAYS = ["stray-401", "empty-401"]
STRAY_SHARE = 0.05
NEVER = 1_000_000_000
CLICKATELL = [name for name in FORMATS if name.startswith("Clickatell")]
ESENDEX = [name for name in FORMATS if name.startswith("Esendex")]


@dataclass
class Found:
    """What came of a scene.

    :param otherwise: runs that ended in another way than they must.
    :param mistaken: messages of which no stop arrived, that were called anything but ``not_attempted``.
    """

    told: Comparison = field(default_factory=Comparison)
    otherwise: int = 0
    mistaken: int = 0

    def add(self, other: Found) -> None:
        """Take up what came of another run."""
        self.told += other.told
        self.otherwise += other.otherwise
        self.mistaken += other.mistaken


@dataclass
class Stage:
    """Where a scene is played."""

    sandbox: SandboxProcess
    gateway: Gateway
    report: Path
    given: Given


def attack(plan: Plan) -> list[Row]:
    """Play each scene in each format that it is about."""
    scenes: list[tuple[str, list[str], Callable[[Stage], Found]]] = [
        ("credentials revoked in the middle of a run, and restored for its retry", CLICKATELL, _revoked),
        ("the same with faults of every kind on 30% of the calls", CLICKATELL, _revoked_amid_faults),
        ("refusals that the balance call denies", CLICKATELL, _strays),
        ("a licence key that is refused, with the same faults", ESENDEX, _bad_key),
    ]
    rows = []
    with quiet(), ThreadPoolExecutor(len(FORMATS) * 2) as pool:
        played = [
            (
                what,
                [
                    pool.submit(_play, play, name, plan, seed)
                    for seed in plan.seeds
                    for name in some_of(names, plan.messages, FORMATS_WITH_FEW, Random(f"{what}{seed}"))  # noqa: S311
                ],
            )
            for what, names, play in scenes
        ]
        for what, runs in played:
            found = Found()
            for run in runs:
                found.add(run.result())
            words = f"{found.told}; {found.mistaken} never asked and not called so, {found.otherwise} runs ended otherwise"
            lost = found.told.lost + found.mistaken + found.otherwise
            rows.append(Row(what, found.told.messages, "messages", lost, words))
    return rows


def _play(play: Callable[[Stage], Found], name: str, plan: Plan, seed: int) -> Found:
    random = Random(f"{play.__name__}:{name}:{seed}")  # noqa: S311 - reproducible on purpose
    with at_sandbox(name, seed) as (sandbox, gateway, report):
        given = put_in(sandbox, gateway, max(FEWEST, plan.messages // EACH_SCENE), random)
        return play(Stage(sandbox, gateway, report, given))


def _revoked(stage: Stage) -> Found:
    first = _until_refused(stage)
    told = held_against_record(stage.sandbox, stage.gateway, stage.given, final_outcomes(stage.report))
    arrived = {key for key, row in stage.sandbox.truth().items() if row["first_stop_at"] is not None}
    mistaken = sum(
        outcome != Outcome.NOT_ATTEMPTED
        for key, outcome in final_outcomes(stage.report).items()
        if key not in arrived and stage.given.began_as[key] is not None
    )
    return _with_retry(stage, first, told, mistaken)


def _revoked_amid_faults(stage: Stage) -> Found:
    stage.sandbox.set_faults(share=SHARE)
    first = _until_refused(stage)
    told = held_against_record(stage.sandbox, stage.gateway, stage.given, final_outcomes(stage.report))
    return _with_retry(
        stage, first, told, 0
    )  # a request whose answer was lost may have been one that was refused


def _until_refused(stage: Stage) -> CancelJob:
    stage.sandbox.revoke_credentials(len(stage.given.items) // 2)
    return run_job(service_for(stage.sandbox, stage.gateway), stage.given, stage.report)


def _with_retry(stage: Stage, first: CancelJob, told: Comparison, mistaken: int) -> Found:
    otherwise = int(first.end is not RunEnd.ACCOUNT_REFUSED or not _fails_for_good(first))
    stage.sandbox.revoke_credentials(NEVER)
    second = run_job(service_for(stage.sandbox, stage.gateway), stage.given, stage.report, try_number=2)
    both = held_against_record(stage.sandbox, stage.gateway, stage.given, final_outcomes(stage.report))
    both.wrong += told.wrong  # what the first try claimed counts as well
    both.missing += told.missing
    return Found(both, otherwise + int(second.end is not RunEnd.COMPLETE or bool(both.open)), mistaken)


def _fails_for_good(job: CancelJob) -> bool:
    """Tell whether the task fails with the account's error, without a retry that could only be refused as well."""
    try:
        judge(job.ending, fail_on=frozenset(), sms_conn_id="torture", killed=False)
    except AirflowException as error:
        return isinstance(error, AirflowFailException) and "refuses the account" in str(error)
    return False


def _strays(stage: Stage) -> Found:
    stage.sandbox.set_faults(share=STRAY_SHARE, kinds=STRAYS)
    return _runs_to_its_end(stage)


def _bad_key(stage: Stage) -> Found:
    stage.sandbox.set_faults(share=SHARE)
    # At once, or after the first few calls that need it: a stop does not.
    stage.sandbox.revoke_credentials(len(stage.given.items) % 3)
    return _runs_to_its_end(stage)


def _runs_to_its_end(stage: Stage) -> Found:
    job = run_job(service_for(stage.sandbox, stage.gateway), stage.given, stage.report)
    told = held_against_record(stage.sandbox, stage.gateway, stage.given, final_outcomes(stage.report))
    return Found(told, int(job.end is not RunEnd.COMPLETE))
