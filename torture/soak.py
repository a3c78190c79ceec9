"""Whether a process that lives long holds on to anything: threads, files, sockets, memory."""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from support.airflow_stack import AirflowStack
from support.operating import final_outcomes
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

from airflow_provider_smscancel.sandbox import CLICKATELL_TOKEN
from torture.plan import Plan, Row, say
from torture.soaking import REFUSED, SOUND, UNREACHABLE

ROUNDS_AFTER_WARM_UP = 4
MORE_THINGS = 3
"""So many more threads, files or sockets are no leak: what a run leaves behind, it leaves behind every time."""
MORE_MEMORY = 8 << 20
MORE_OBJECTS_A_RUN = 2.0
SETTLED_WITHIN_S = 10.0


@dataclass(frozen=True)
class Holding:
    """What a process holds.

    :param files: its file descriptors, those of its sockets included.
    :param memory: in bytes, without what it shares with others.
    :param objects: that its garbage collector knows, where it told.
    """

    threads: int
    files: int
    sockets: int
    memory: int
    objects: int = 0

    def grown_since(self, before: Holding, runs: int) -> list[str]:
        """Say what has grown by more than chance, over so many runs."""
        bounds = {
            "threads": MORE_THINGS,
            "files": MORE_THINGS,
            "sockets": MORE_THINGS,
            "memory": MORE_MEMORY,
            "objects": round(MORE_OBJECTS_A_RUN * runs),
        }
        return [name for name, more in bounds.items() if getattr(self, name) - getattr(before, name) > more]

    def beside(self, before: Holding) -> str:
        """Say both in one line."""
        things = [
            f"{name} {getattr(before, name)} → {getattr(self, name)}"
            for name in ("threads", "files", "sockets")
        ]
        memory = f"memory {before.memory / 1e6:.1f} → {self.memory / 1e6:.1f} MB"
        return ", ".join(
            [*things, memory, *([f"objects {self.objects - before.objects:+,}"] if self.objects else [])]
        )


def held_by(process: psutil.Process, objects: int = 0) -> Holding:
    """Look at a process from outside."""
    with process.oneshot():
        return Holding(
            process.num_threads(),
            process.num_fds(),
            len(process.net_connections("all")),
            process.memory_full_info().uss,
            objects,
        )


def held_in_the_end(look: Callable[[], Holding], before: Holding, runs: int) -> Holding:
    """Look until nothing has grown: a thread that is about to end is no leak. What does not end in time is."""
    found = [look()]

    def settled() -> bool:
        found.append(look())
        return not found[-1].grown_since(before, runs)

    with contextlib.suppress(AssertionError):
        wait_for(settled, "nothing has grown", within_s=SETTLED_WITHIN_S, every_s=0.2)
    return found[-1]


def judged(what: str, before: Holding, after: Holding, runs: int) -> Row:
    """Make a row of the two."""
    grown = after.grown_since(before, runs)
    text = after.beside(before) + (f"; GROWN: {', '.join(grown)}" if grown else "")
    say(f"   {what}: {text}")
    return Row(what, runs, "runs", len(grown), text)


# -- processes of our own -----------------------------------------------------------------------------------------------


class Soaking:
    """A process of ``torture.soaking``, as a context manager.

    :param what: ``hook`` or ``trigger``.
    :param runs: in a round.
    :param url: of the gateway.
    """

    def __init__(self, what: str, runs: int, url: str) -> None:
        self._command = [sys.executable, "-m", "torture.soaking", what, str(runs)]
        self._home = tempfile.TemporaryDirectory()
        rest = {"conn_type": "clickatell", "host": url, "password": CLICKATELL_TOKEN}
        connections = {
            SOUND: rest | {"extra": {"requests_per_second": 2_000}},
            REFUSED: rest | {"password": "another-token"},
            UNREACHABLE: rest | {"host": "http://127.0.0.1:9"},
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self._environment = {
            **kept,
            "PYTHONWARNINGS": "ignore",
            "AIRFLOW_HOME": self._home.name,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()},
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._home.cleanup()

    def round(self) -> Callable[[], Holding]:
        """Let it do a round. Return what looks at it from then on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"torture.soaking ended with {self._process.wait()}")
        process = psutil.Process(self._process.pid)
        return lambda: held_by(process, int(said))


def soak(what: str, kind: str, *, rounds: int, runs: int) -> Row:
    """Compare what a process holds after a round with what it holds so many rounds later.

    :param what: to say in the table.
    :param kind: ``hook`` or ``trigger``.
    """
    with SandboxProcess("--latency", "0.005") as sandbox, Soaking(kind, runs, sandbox.url) as soaking:
        soaking.round()
        before = soaking.round()()
        for _ in range(rounds - 1):
            soaking.round()
        after = held_in_the_end(soaking.round(), before, rounds * runs)
    return judged(what, before, after, rounds * runs)


# -- a real triggerer -------------------------------------------------------------------------------------------------

KINDS = ("sound", "sound", "refused", "unreachable", "unreachable", "stuck", "stuck", "stuck")
"""What the tasks of the DAG ``many_deferred`` are told to stop their campaigns at, by their numbers."""
MESSAGES = 30
CLEARED, MARKED_FAILED = 5, 6
"""Of those that are stuck; the last one is ended with its run."""


def soak_triggerer(airflow: AirflowStack, sandbox: SandboxProcess, folder: Path, *, rounds: int) -> Row:
    """Compare what a real triggerer holds after a round of deferred tasks with what it holds so many rounds later.

    :param sandbox: a gateway, with whatever faults it has.
    :param folder: for the reports.
    """
    what = "deferred tasks in one triggerer: done, failed, cleared, marked failed"
    with silent_gateway() as silent:
        rest = {"conn_type": "clickatell", "host": sandbox.url, "password": CLICKATELL_TOKEN}
        for kind, connection in {
            "sound": rest | {"extra": {"timeout": 1}},
            "refused": rest | {"password": "another-token"},
            "unreachable": rest | {"host": "http://127.0.0.1:9"},
            "stuck": rest | {"host": silent, "extra": {"timeout": 60}},
        }.items():
            airflow.connect(f"{folder.name}_{kind}", connection)

        def do_round(number: int) -> None:
            defer_many(airflow, sandbox, folder / str(number))

        do_round(0)
        before = held_by_triggerer(airflow)
        for number in range(1, rounds + 1):
            do_round(number)
        runs = rounds * len(KINDS)
        after = held_in_the_end(lambda: held_by_triggerer(airflow), before, runs)
    return judged(what, before, after, runs)


class _Listens(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self.request.recv(65_536):
                pass


class _Silent(socketserver.ThreadingTCPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def silent_gateway() -> Iterator[str]:
    """Listen, take whatever is asked, and never answer. Give the URL."""
    with _Silent(("127.0.0.1", 0), _Listens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def held_by_triggerer(airflow: AirflowStack) -> Holding:
    """Look at all processes of the triggerer: the one that runs the triggers, and those around it."""
    each = [held_by(process) for process in airflow.processes_of("triggerer")]
    return Holding(
        threads=sum(one.threads for one in each),
        files=sum(one.files for one in each),
        sockets=sum(one.sockets for one in each),
        memory=sum(one.memory for one in each),
    )


def defer_many(airflow: AirflowStack, sandbox: SandboxProcess, folder: Path) -> None:
    """Let tasks of every kind be deferred at once, and end those that would never end."""
    dag_id = "many_deferred"
    campaigns = [
        {
            "connection": f"{folder.parent.name}_{kind}",
            "ids": sandbox.seed("clickatell", MESSAGES),
        }
        for kind in KINDS
    ]
    run_id = airflow.trigger(dag_id, {"campaigns": campaigns, "folder": str(folder)})

    def all_are(states: set[str], kinds: Iterable[int]) -> bool:
        return all(airflow.task(dag_id, run_id, f"cancel/{number}")["state"] in states for number in kinds)

    def begun(number: int, try_number: int) -> bool:
        return bool(list((folder / str(number)).glob(f"begun-*-{try_number}.json")))

    never_end = [number for number, kind in enumerate(KINDS) if kind == "stuck"]
    ending = [number for number in range(len(KINDS)) if number not in never_end]
    wait_for(
        lambda: all_are({"success", "failed"}, ending), "those that end have ended", within_s=90, every_s=0.5
    )
    wait_for(
        lambda: all(begun(number, 1) for number in never_end), "those that are stuck have begun", within_s=60
    )
    airflow.clear(dag_id, run_id, ("cancel", CLEARED))
    airflow.call(
        "PATCH",
        f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/cancel/{MARKED_FAILED}",
        {"new_state": "failed"},
    )
    wait_for(lambda: begun(CLEARED, 2), "the cleared one has begun again", within_s=60)
    airflow.mark_run(dag_id, run_id, "failed")
    for number in never_end:
        report = folder / str(number)
        wait_for(
            lambda report=report: len(final_outcomes(report)) == MESSAGES, "its report is whole", within_s=30
        )


# -- all of it --------------------------------------------------------------------------------------------------------


def attack(plan: Plan) -> list[Row]:
    """Use the hook, and triggers, in processes that live long."""
    scale = max(1, plan.messages // 2_000) * len(plan.seeds)
    small = plan.messages < 1_000
    return [
        soak(
            "iterators of `cancel_messages` opened and left early, in one process",
            "hook",
            rounds=ROUNDS_AFTER_WARM_UP * scale,
            runs=14 if small else 70,
        ),
        soak(
            "triggers in one loop: run to their end, failed, ended and killed",
            "trigger",
            rounds=ROUNDS_AFTER_WARM_UP * scale,
            runs=10 if small else 30,
        ),
    ]
