"""Faults of every kind on 30 % of the calls, for every gateway and format: all kinds together, and each by itself.

A dry run meets them as well, and must leave no trace.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from support.ground_truth import FORMATS, Comparison, state_as_told

from airflow_provider_smscancel.sandbox.faults import KINDS
from torture.plan import Plan, Row, say
from torture.runs import (
    LEAVING,
    MIXTURE,
    SCHEDULED,
    SHARE,
    ask_about_all,
    at_sandbox,
    faults_struck,
    led_astray,
    put_in,
    quiet,
    service_for,
    some_of,
    stop_and_compare,
)

LEAVING_SHARE_OF_RUN_S = 0.04
"""When the last of those that leave meanwhile leaves, in seconds for each message: about when the run has asked for all."""
CAMPAIGN = 1_000
"""So many messages are stopped in one run; more of them side by side, since being asked to slow down takes its time."""
SIDE_BY_SIDE = 21
"""So many runs, each with a sandbox of its own. They mostly wait."""
EACH_KIND = 80
"""Each kind by itself is tried with one in so many of the messages, in each format."""
FEWEST = 6
KINDS_WITH_FEW = 2
FORMATS_WITH_FEW = 2
TIMES = {"429": 5, "429-date": 3, "429-garbage": 5, "429-ten-years": 1}
"""Kinds that are waited out are met so many times only."""
SURVEYED = 10
"""A dry run asks about one in so many of the messages, in each format."""
STAYING = {kind: share for kind, share in MIXTURE.items() if kind != LEAVING}
"""What can be compared with the record after the run: nothing leaves meanwhile."""
BY_ITSELF = {SCHEDULED: 80, LEAVING: 10, "cancelled": 5, "unknown": 5}


@dataclass
class Found:
    """What came of one format.

    :param struck: how many faults there were, by kind.
    :param astray: how many calls followed a redirect to another host.
    :param lost_to: how many messages were lost, by the kind of fault.
    """

    told: Comparison = field(default_factory=Comparison)
    struck: Counter[str] = field(default_factory=Counter)
    astray: int = 0
    lost_to: Counter[str] = field(default_factory=Counter)

    def add(self, other: Found) -> None:
        """Take up what came of another run."""
        self.told += other.told
        self.struck += other.struck
        self.astray += other.astray
        self.lost_to += other.lost_to


@dataclass
class Surveyed:
    """What came of dry runs.

    :param wrong: states that the record denies.
    :param missing: messages without a state.
    :param stopped: messages that a stop reached.
    :param untold: messages whose state could not be learnt.
    """

    messages: int = 0
    wrong: int = 0
    missing: int = 0
    stopped: int = 0
    untold: int = 0


def attack(plan: Plan) -> list[Row]:
    """Stop a campaign in every format, all of them side by side, each at a sandbox of its own."""
    together = {name: Found() for name in FORMATS}
    by_itself, surveyed = Found(), Surveyed()
    with quiet(), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for seed in plan.seeds:
            say(f"   seed {seed}: {len(FORMATS)} formats with {plan.messages:,} messages each, side by side")
            random = Random(seed)  # noqa: S311 - reproducible on purpose
            some = some_of(FORMATS, plan.messages, FORMATS_WITH_FEW, random)
            others = [pool.submit(_each_kind, name, plan.messages, seed) for name in some]
            runs = [
                (name, pool.submit(_all_kinds, name, count, f"{seed}{number}"))
                for name in FORMATS
                for number, count in enumerate(_campaigns(plan.messages))
            ]
            surveys = [pool.submit(_survey, name, plan.messages, seed) for name in some]
            for name, run in runs:
                together[name].add(run.result())
            for other in others:
                by_itself.add(other.result())
            for survey in surveys:
                for field_name, number in vars(survey.result()).items():
                    setattr(surveyed, field_name, getattr(surveyed, field_name) + number)
    rows = [
        Row(
            f"{name}: faults of every kind on {SHARE:.0%} of the calls",
            found.told.messages,
            "messages",
            found.told.lost + found.astray,
            f"{found.told}; {found.struck.total():,} faults of {len(found.struck)} kinds",
        )
        for name, found in together.items()
    ]
    return [*rows, _row_by_itself(by_itself), _row_of_surveys(surveyed)]


def _campaigns(messages: int) -> list[int]:
    """Divide them, so that each run has about as many."""
    count = -(-messages // CAMPAIGN)
    return [messages // count + (number < messages % count) for number in range(count)]


def _row_by_itself(found: Found) -> Row:
    lost_to = ", ".join(f"{kind} ({count})" for kind, count in found.lost_to.most_common())
    never = ", ".join(kind for kind in KINDS if kind not in found.struck)
    words = [f"{found.told}; {found.struck.total():,} faults"]
    words += [f"lost to: {lost_to}"] * bool(lost_to) + [f"never struck: {never}"] * bool(never)
    return Row(
        f"each of {len(found.struck)} kinds by itself on {SHARE:.0%} of the calls, over all formats",
        found.told.messages,
        "messages",
        found.told.lost + found.astray,
        "; ".join(words),
    )


def _row_of_surveys(found: Surveyed) -> Row:
    return Row(
        f"dry runs with faults of every kind on {SHARE:.0%} of the calls, over all formats",
        found.messages,
        "messages",
        found.wrong + found.missing + found.stopped,
        f"{found.wrong} contradictions, {found.missing} without a state, {found.stopped} reached by a stop; "
        f"{found.untold} could not be told",
    )


def _survey(name: str, messages: int, seed: int) -> Surveyed:
    random = Random(f"{name}:{seed}:survey")  # noqa: S311 - reproducible on purpose
    with at_sandbox(name, seed) as (sandbox, gateway, _):
        given = put_in(sandbox, gateway, max(FEWEST, messages // SURVEYED), random, mixture=STAYING)
        sandbox.set_faults(share=SHARE)
        states = ask_about_all(service_for(sandbox, gateway), given)
        record = sandbox.truth()
    found = Surveyed(len(given.began_as))
    for message_id in given.began_as:
        row, told = record.get(message_id), states.get(message_id)
        found.missing += told is None
        found.stopped += row is not None and row["first_stop_at"] is not None
        if told == "unknown":  # which claims nothing
            found.untold += row is not None
        elif told is not None:
            found.wrong += told != state_as_told(gateway.name, row and row["state"])
    return found


def _all_kinds(name: str, messages: int, seed: str) -> Found:
    random = Random(f"{name}:{seed}")  # noqa: S311 - reproducible on purpose
    with at_sandbox(name, seed) as (sandbox, gateway, report):
        given = put_in(
            sandbox,
            gateway,
            messages,
            random,
            leaving_within_s=max(5.0, messages * LEAVING_SHARE_OF_RUN_S),
        )
        sandbox.set_faults(share=SHARE)
        told = stop_and_compare(sandbox, gateway, given, report)
        return Found(told, faults_struck(sandbox, gateway), led_astray(sandbox, gateway))


def _each_kind(name: str, messages: int, seed: int) -> Found:
    random = Random(f"{name}:{seed}:each")  # noqa: S311 - reproducible on purpose
    kinds = some_of(KINDS, messages, KINDS_WITH_FEW, random)
    found = Found()
    with at_sandbox(name, seed) as (sandbox, gateway, folder):
        for kind in kinds:
            before = faults_struck(sandbox, gateway)
            given = put_in(sandbox, gateway, max(FEWEST, messages // EACH_KIND), random, mixture=BY_ITSELF)
            sandbox.set_faults(share=SHARE, kinds=[kind], times=TIMES.get(kind))
            told = stop_and_compare(sandbox, gateway, given, folder / kind)
            struck = faults_struck(sandbox, gateway) - before
            if struck:  # not every kind befalls every format
                found.add(Found(told, struck, 0, Counter({kind: told.lost} if told.lost else {})))
        found.astray = led_astray(sandbox, gateway)
    return found
