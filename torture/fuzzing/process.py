"""Fuzzes one target, guided by coverage, in a process of its own: libFuzzer takes its process over.

``python -m torture.fuzzing.process MODULE:NAME FOLDER RUNS SEED`` leaves ``report.json`` in the folder.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import atheris

from torture.fuzzing.mutations import rearrange

SLOW_NS = 100_000_000
"""How much of the processor's time one input may take, in nanoseconds."""
TRIES = 4
"""How often a slow input is tried: the quickest counts, as a machine has other things to do."""
LONGEST_HANG_S = 10
MOST_MEMORY_MB = 1024
REPORT_EVERY = 5_000
OURS = "airflow_provider_smscancel"


class Watch:
    """Feeds inputs to a target, and keeps what went wrong.

    :param run: the target.
    :param report: where to write it down.
    :param runs: how many inputs there will be.
    """

    def __init__(self, run: Callable[[bytes], None], report: Path, runs: int) -> None:
        self._run = run
        self._report = report
        self._runs = runs
        self._tried = 0
        self._slowest_ns = 0
        self._found: dict[str, dict[str, Any]] = {}

    def feed(self, data: bytes) -> None:
        """Feed one input. Nothing is let out, so that the next one is tried as well."""
        self._tried += 1
        started = time.process_time_ns()
        try:
            self._run(data)
        except Exception as error:  # this is what is looked for
            self._keep(_name_of(error), data)
        took = time.process_time_ns() - started
        if took > self._slowest_ns:
            self._look_at_time(took, data)
        if self._tried % REPORT_EVERY == 0 or self._tried >= self._runs:
            self.write()

    def _look_at_time(self, took: int, data: bytes) -> None:
        if took > SLOW_NS:
            took = min(took, *(self._again(data) for _ in range(TRIES)))
        if took > SLOW_NS:
            self._keep("slow", data)
        else:
            self._slowest_ns = max(self._slowest_ns, took)

    def _again(self, data: bytes) -> int:
        started = time.process_time_ns()
        with contextlib.suppress(Exception):  # kept already
            self._run(data)
        return time.process_time_ns() - started

    def _keep(self, name: str, data: bytes) -> None:
        kept = self._found.setdefault(name, {"times": 0, "input": base64.b64encode(data).decode()})
        kept["times"] += 1
        if kept["times"] == 1:
            self.write()

    def write(self) -> None:
        """Write down what came of it so far."""
        told = {"tried": self._tried, "found": self._found, "slowest_ms": self._slowest_ns / 1e6}
        self._report.write_text(json.dumps(told), encoding="utf-8")


def _name_of(error: Exception) -> str:
    """Name a fault by its kind and place, so that the same one counts as one."""
    places = traceback.extract_tb(error.__traceback__)
    place = next((each for each in reversed(places) if f"{OURS}/" in each.filename), places[-1])
    said = f": {error}" if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}{said}"


def main() -> None:
    """Fuzz, and do not come back: libFuzzer ends the process."""
    where, folder, runs, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    module, _, name = where.partition(":")
    with atheris.instrument_imports(include=[OURS, module]):
        target = import_module(module).TARGETS[name]
    logging.disable(logging.CRITICAL)  # a line for each input helps nobody
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, data in enumerate(target.seeds()):
        (seeds / f"{number:05d}").write_bytes(data[: target.longest])
    tokens = folder / "tokens"
    tokens.write_text(
        "".join(map(_as_token, import_module("torture.fuzzing.corpus").TOKENS)), encoding="ascii"
    )
    watch = Watch(target.run, folder / "report.json", runs)
    options = {
        "runs": runs,
        "seed": seed,
        "max_len": target.longest,
        "timeout": LONGEST_HANG_S,
        "rss_limit_mb": MOST_MEMORY_MB,
        "malloc_limit_mb": MOST_MEMORY_MB,
        "dict": tokens,
        "artifact_prefix": f"{folder}/died-",
        "verbosity": 0,
        "keep_seed": 1,  # whole documents, though parts of them cover as much
        "reduce_inputs": 0,
    }
    arguments = ["fuzz", *(f"-{name}={value}" for name, value in options.items()), str(seeds)]
    atheris.Setup(arguments, watch.feed, custom_mutator=_mutate)
    atheris.Fuzz()


def _mutate(data: bytes, longest: int, seed: int) -> bytes:
    return rearrange(data, longest, seed) if seed % 3 == 0 else bytes(atheris.Mutate(data, longest))


def _as_token(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"\n'


if __name__ == "__main__":
    main()
