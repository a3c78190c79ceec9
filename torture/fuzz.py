"""Noise into every parser, guided by coverage: crashes, inputs that take too long, and claims that the input does not make."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from torture.plan import Plan, Row, say

ROOT = Path(__file__).resolve().parent.parent
TARGETS = "torture.fuzzing.targets"
AT_A_TIME = 2
LEAST_PER_SECOND = 25
"""A process that is slower than that, after a minute to start in, hangs. A single input that takes long is told by itself."""
SHOWN_BYTES = 600
"""How much of an input the table's line shows; all of it is told beside the table."""


@dataclass(frozen=True)
class Came:
    """What came of one process.

    :param tried: how many inputs were fed.
    :param found: each fault by its name: how often it came, and the first input that led to it, in base64.
    """

    tried: int
    found: dict[str, tuple[int, str]]


def attack(plan: Plan) -> list[Row]:
    """Fuzz every target with its share of the plan's inputs, with every seed."""
    if find_spec("atheris") is None:
        return [
            Row("noise into every parser", 0, "inputs", 0, "there is no atheris for this platform or Python")
        ]
    targets = import_module(TARGETS).TARGETS
    order = sorted(targets, key=lambda name: -targets[name].share)
    say(f"   {plan.inputs:,} inputs over {len(order)} targets, {AT_A_TIME} at a time")
    jobs = [
        (name, max(1, round(plan.inputs * targets[name].share / len(plan.seeds))), seed)
        for name in order
        for seed in plan.seeds
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        came = list(pool.map(lambda job: fuzz(f"{TARGETS}:{job[0]}", job[1], job[2]), jobs))
    return [
        row_of(targets[name].about, [each for each, job in zip(came, jobs, strict=True) if job[0] == name])
        for name in order
    ]


def fuzz(target: str, inputs: int, seed: int) -> Came:
    """Fuzz one target in a process of its own.

    :param target: ``module:name``, the name being that of an entry of the module's ``TARGETS``.
    :param inputs: how many.
    :param seed: decides which.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torture.fuzzing.process", target, folder, str(inputs), str(seed)]
        # Fixed hashes: the same seed is to draw the same inputs. Where the tests are, their targets can be fuzzed, too.
        paths = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": paths}
        problem = None
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=60 + inputs / LEAST_PER_SECOND,
            )
            if done.returncode:
                problem = f"the process ended with {done.returncode}"
                say(done.stderr.decode(errors="replace")[-2000:])
        except subprocess.TimeoutExpired:
            problem = "the process hung"
        return _came(Path(folder), problem)


def _came(folder: Path, problem: str | None) -> Came:
    tried, found = 0, {}
    report = folder / "report.json"
    if report.exists():
        told = json.loads(report.read_text(encoding="utf-8"))
        tried = told["tried"]
        found = {name: (each["times"], each["input"]) for name, each in told["found"].items()}
    if problem is not None:
        # libFuzzer leaves the input at which a process died, hung or took too much memory.
        left = next(iter(sorted(folder.glob("died-*"))), None)
        found[problem] = (1, "" if left is None else base64.b64encode(left.read_bytes()).decode())
    return Came(tried, found)


def row_of(about: str, came: list[Came]) -> Row:
    """Add up what came of a target; each fault is told whole, with the input that led to it."""
    faults = [(name, *found) for each in came for name, found in each.found.items()]
    for name, times, data in faults:
        say(f"   {about}: {name}, {times} times; the first input in base64: {data}")
    lost = sum(times for _, times, _ in faults)
    found = "0 crashes, 0 over 100 ms, 0 claims that the bytes do not make"
    if faults:
        name, _, data = faults[0]
        found = f"{len(faults)} faults, the first: {name}; base64: {data[:SHOWN_BYTES]}"
    return Row(f"noise: {about}", sum(each.tried for each in came), "inputs", lost, found)
