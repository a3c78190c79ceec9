"""A real Airflow, of which workers and triggerers are killed while they stop campaigns at a gateway that fails at every third call."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from support.airflow_fixtures import DAGS
from support.airflow_stack import AirflowStack
from support.ground_truth import OPEN, OUT_OF_REACH, contradicts
from support.interrupted import Interrupted
from support.operating import Row as Line
from support.operating import final_outcomes
from support.sandbox_process import SandboxProcess
from support.waiting import wait_for

from airflow_provider_smscancel.sandbox import (
    CLICKATELL_API_ID,
    CLICKATELL_PASSWORD,
    CLICKATELL_TOKEN,
    CLICKATELL_USER,
    ESENDEX_LICENSE_KEY,
)
from torture.plan import Plan, Row, say
from torture.soak import soak_triggerer

SHARE_OF_PLAN = 28
"""Nine campaigns go on at once, at a gateway that asks every twentieth call to slow down: each has only a part of the messages."""
STATES = {"scheduled": 0.8, "queued": 0.06, "sent": 0.06, "cancelled": 0.03, "failed": 0.03}
"""Where the messages of a campaign are when it is stopped; the rest is unknown to the gateway."""
MALFORMED = ("not an id!", "'; --")
PATIENCE_S = 180.0
"""How long to wait for what a busy machine will come to in the end, in seconds."""
LASTS_S = 4.0
"""How long a campaign takes at least, however many messages it has: long enough to be hit in the middle."""
_HTTP_API = {"conn_type": "clickatell", "login": CLICKATELL_USER, "password": CLICKATELL_PASSWORD}
_REST = {"conn_type": "clickatell", "password": CLICKATELL_TOKEN}
_ESENDEX = {"conn_type": "esendex", "password": ESENDEX_LICENSE_KEY}
CONNECTIONS: dict[str, Line] = {
    "Clickatell REST in JSON": _REST,
    "Clickatell HTTP": _HTTP_API | {"extra": {"api": "http", "api_id": CLICKATELL_API_ID}},
    "Esendex json": _ESENDEX,
    "Clickatell REST in XML": _REST | {"extra": {"response_format": "xml"}},
    "Esendex xml": _ESENDEX | {"extra": {"request_format": "xml"}},
    "Esendex get": _ESENDEX | {"extra": {"request_format": "get"}},
    "Esendex soap": _ESENDEX | {"extra": {"request_format": "soap"}},
}


@dataclass
class Attacked(Interrupted):
    """A campaign that is under way at a gateway that fails at every third call.

    :param format: a name in :data:`CONNECTIONS`.
    :param began_as: every message with its state before; ``None`` for one that the gateway does not know.
    :param tries_at_least: how many there must have been, if it was attacked as it was meant to be.
    """

    format: str = ""
    began_as: dict[str, str | None] = field(default_factory=dict)
    tries_at_least: int = 1

    @property
    def gateway(self) -> str:
        """The connection type."""
        return str(CONNECTIONS[self.format]["conn_type"])

    def parts(self) -> list[Path]:
        """List the parts of its report, the newest last."""
        return sorted(self.report.glob("part-*"), key=lambda part: part.stat().st_mtime_ns)

    def wait_for_the_process_of_try(self, number: int) -> psutil.Process:
        """Wait until the task runs for the ``number``-th time, and return its process."""

        def running() -> psutil.Process | None:
            task = self.task()
            if task["try_number"] == number and task["state"] == "running" and task["pid"]:
                return psutil.Process(int(task["pid"]))
            return None

        return wait_for(running, f"try {number} of {self.run_id} is running", within_s=PATIENCE_S)

    def wait_for_more(self, before: int) -> None:
        """Wait until more than so many messages are stopped."""
        wait_for(lambda: self.stopped() > before, "more is stopped", within_s=PATIENCE_S)


@dataclass(frozen=True)
class Counted:
    """What an attacked campaign came to.

    :param wrong: outcomes that contradict the gateway's own record.
    :param missing: messages without an outcome in the report.
    :param never_asked: messages that could have been stopped, and of which no stop ever arrived.
    :param disagree: by how many messages the summary differs from the report.
    """

    messages: int
    wrong: int
    missing: int
    never_asked: int
    disagree: int
    open: int

    @property
    def lost(self) -> int:
        """How much went wrong."""
        return self.wrong + self.missing + self.never_asked + self.disagree

    def __str__(self) -> str:
        return (
            f"{self.wrong} outcomes contradict the record, {self.missing} messages without an outcome, "
            f"{self.never_asked} cancellable and never asked, {self.disagree} in which summary and report differ; "
            f"{self.open} left open"
        )


def attack(plan: Plan) -> list[Row]:
    """Attack an Airflow of its own, once for each seed, with other formats each time."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, AirflowStack(Path(folder, "airflow"), DAGS) as airflow:
        for seed in plan.seeds:
            with SandboxProcess("--seed", str(seed), "--latency", "0.02") as sandbox:
                sandbox.set_faults(profile="heavy")
                scene = Scene(
                    airflow, sandbox, Path(folder, str(seed)), max(70, plan.messages // SHARE_OF_PLAN)
                )
                names = list(CONNECTIONS)
                first = 3 * (plan.seeds.index(seed) % len(names))
                rows += scene.play([*names[first:], *names[:first]])
                rows.append(
                    soak_triggerer(
                        airflow, sandbox, Path(folder, f"many-{seed}"), rounds=max(1, plan.messages // 2_000)
                    )
                )
    return rows


@dataclass
class Scene:
    """One Airflow, one sandbox, and a folder for manifests and reports.

    :param messages: how many a campaign has, about.
    """

    airflow: AirflowStack
    sandbox: SandboxProcess
    folder: Path
    messages: int

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        pace = {"requests_per_second": self.messages / LASTS_S, "max_concurrency": 16, "timeout": 1}
        for name, connection in CONNECTIONS.items():
            extra = pace | connection.get("extra", {})
            self.airflow.connect(self._conn_id(name), connection | {"host": self.sandbox.url, "extra": extra})

    def _conn_id(self, name: str) -> str:
        return f"{name.replace(' ', '_').lower()}_{self.sandbox.url.rpartition(':')[2]}"

    def begin(self, name: str, mode: str) -> Attacked:
        """Start a campaign.

        :param name: in :data:`CONNECTIONS`.
        :param mode: ``here`` or ``deferred``.
        """
        gateway = str(CONNECTIONS[name]["conn_type"])
        began_as: dict[str, str | None] = {}
        for state, share in STATES.items():
            count = max(1, round(self.messages * share))
            began_as |= dict.fromkeys(self.sandbox.seed(gateway, count, state=state), state)
        known = list(began_as)
        began_as |= dict.fromkeys((f"{each[:-6]}000000" for each in known[:2]), None)
        place = self.folder / f"{len(list(self.folder.iterdir()))}-{mode}"
        place.mkdir()
        manifest = place / "manifest.csv"
        manifest.write_text("\n".join(["message_id", *began_as, *MALFORMED]) + "\n")
        conf = {
            "connection": self._conn_id(name),
            "manifest": str(manifest),
            "report": str(place / "report"),
        }
        dag_id = f"under_faults_{mode}"
        run_id = self.airflow.trigger(dag_id, conf)
        return Attacked(self.airflow, self.sandbox, dag_id, run_id, known, place / "report", name, began_as)

    def count(self, run: Attacked) -> Counted:
        """Hold the report of a campaign against the sandbox's own record, and the summary against the report."""
        outcomes, record = final_outcomes(run.report, torn=True), self.sandbox.truth()
        states = {each: record[each]["state"] if each in record else None for each in run.began_as}
        rows = [each for each in outcomes if each not in run.began_as]
        cancellable = {"scheduled", "queued"} - OUT_OF_REACH[run.gateway]
        summary = self.airflow.xcom(run.dag_id, run.run_id, "cancel", "summary")
        told = Counter(summary["outcomes"])
        written = Counter(outcomes.values())
        return Counted(
            messages=len(run.began_as) + len(MALFORMED),
            wrong=sum(
                contradicts(run.gateway, outcomes[each], state)
                for each, state in states.items()
                if each in outcomes
            )
            + sum(outcomes[each] != "rejected" for each in rows),
            missing=len(run.began_as.keys() - outcomes.keys()) + abs(len(MALFORMED) - len(rows)),
            never_asked=sum(
                before in cancellable
                and not record[each]["stop_requests"]
                and outcomes.get(each) != "unconfirmed"
                for each, before in run.began_as.items()
            ),
            disagree=(told - written).total() + (written - told).total(),
            open=sum(outcome in OPEN for outcome in outcomes.values()),
        )

    def play(self, names: Sequence[str]) -> list[Row]:
        """Attack workers and the triggerer at the same time, then what is deferred in other ways.

        :param names: in :data:`CONNECTIONS`, in the order in which they are tried.
        """
        one, two, three = names[:3]
        deferred = [(TRIGGERER_KILLED, self.begin(name, "deferred")) for name in (one, two, three)]
        at_work = [
            (what, self.begin(name, "here"), hurt) for name, (what, hurt) in zip(names, AT_WORK, strict=False)
        ]
        with ThreadPoolExecutor(len(at_work)) as pool:
            hurting = [pool.submit(hurt, run) for _, run, hurt in at_work]
            kill_the_triggerer_twice([run for _, run in deferred])
            for each in hurting:
                each.result()
        # Not at the same time: of a trigger that is killed itself, nobody writes down what is open.
        ended = [
            (what, self.begin(name, "deferred"), hurt)
            for name, (what, hurt) in zip(names, DEFERRED, strict=False)
        ]
        for _, run, hurt in ended:
            hurt(run)
        runs = [*deferred, *((what, run) for what, run, _ in (*at_work, *ended))]
        stalled = self.stall(one)  # all that is not over yet changes triggerers as well
        return [*(self.ended(what, run) for what, run in runs), stalled]

    def ended(self, what: str, run: Attacked) -> Row:
        """Wait for the end of a campaign, and count what was lost."""
        state = self.airflow.wait_for_run(run.dag_id, run.run_id, within_s=120 + self.messages / 5)
        tries = len(run.tries())
        if tries < run.tries_at_least:
            raise RuntimeError(f"{what}: it was over after {tries} tries, before it could be attacked")
        counted = self.count(run)
        say(f"   {what}, {run.format}: {state} after {tries} tries; {counted}")
        return Row(f"{what} ({run.format})", counted.messages, "messages", counted.lost, str(counted))

    def stall(self, name: str) -> Row:
        """Let the triggerer stand still until another one has done its work, and then go on."""
        what = "the triggerer standing still until another one has done its work, then going on"
        run = self.begin(name, "deferred")
        run.wait_for_a_third()
        self.airflow.signal("triggerer", signal.SIGSTOP)
        try:
            self.airflow.start("triggerer", name="another triggerer")
            self.airflow.wait_for_run(run.dag_id, run.run_id, within_s=120 + self.messages / 5)
        finally:
            self.airflow.signal("triggerer", signal.SIGCONT)
        wait_for(
            lambda: self.airflow.log(run.dag_id, run.run_id, "cancel", 1).count("trigger completed") > 1,
            "the triggerer that stood still knows that its work is done",
            within_s=PATIENCE_S,
        )
        self.airflow.kill("another triggerer", signal.SIGTERM)
        return self.ended(what, run)


Attack = Callable[[Attacked], None]


def kill_twice(run: Attacked) -> None:
    """Kill the task's process in the middle, and the one that takes it up as well."""
    run.tries_at_least = 3
    run.wait_until_in_the_middle().kill()
    second = run.wait_for_the_process_of_try(2)
    run.wait_for_more(run.stopped())
    second.kill()


def kill_with_its_supervisor(run: Attacked) -> None:
    """Kill the task's process and the one that watches it, and leave half a line at the end of its last part."""
    run.tries_at_least = 2
    process = run.wait_until_in_the_middle()
    wait_for(run.parts, "a part is written")
    supervisor = process.parent()
    if supervisor is None:
        raise RuntimeError("the task's process has no parent")
    supervisor.kill()
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    last = run.parts()[-1]
    last.write_bytes(last.read_bytes()[:-40])


def kill_before_its_first_part(run: Attacked) -> None:
    """Kill the task's process as soon as it has stopped something, of which it has told nobody yet."""
    run.tries_at_least = 2
    process = run.wait_for_the_process_of_try(1)
    wait_for(lambda: run.stopped() > 0, "something is stopped", every_s=0.02)
    process.kill()


def clear_in_the_middle(run: Attacked) -> None:
    """Clear the deferred task while its campaign is being stopped."""
    run.tries_at_least = 2
    run.wait_for_a_third()
    run.airflow.clear(run.dag_id, run.run_id, "cancel")


def mark_failed_and_clear(run: Attacked) -> None:
    """Mark the run failed in the middle, wait until its report names every message, and clear it."""
    run.tries_at_least = 2
    run.wait_for_a_third()
    run.airflow.mark_run(run.dag_id, run.run_id, "failed")
    wait_for(
        lambda: run.began_as.keys() <= final_outcomes(run.report, torn=True).keys(),
        "the report names every message",
        within_s=PATIENCE_S,
    )
    run.airflow.clear(run.dag_id, run.run_id, "cancel")


def kill_the_triggerer_twice(runs: Sequence[Attacked]) -> None:
    """Kill the triggerer in the middle of all campaigns, and the one that takes them up as soon as it has begun to."""
    airflow = runs[0].airflow

    def notes() -> list[bytes]:
        return [note.read_bytes() for run in runs for note in sorted(run.report.glob("begun-*"))]

    for run in runs:
        run.wait_for_a_third()
    before = notes()
    if {run.task()["state"] for run in runs} != {"deferred"}:
        raise RuntimeError("a campaign was over before its triggerer could be killed")
    airflow.kill("triggerer")
    airflow.start("triggerer")
    wait_for(lambda: notes() != before, "the campaigns are taken up", within_s=PATIENCE_S, every_s=0.02)
    airflow.kill("triggerer")
    airflow.start("triggerer")


TRIGGERER_KILLED = "the triggerer killed (SIGKILL) in the middle, and its successor while it takes up"
AT_WORK: tuple[tuple[str, Attack], ...] = (
    ("the task's process killed (SIGKILL) twice", kill_twice),
    ("the task's process and its supervisor killed, and its last part torn", kill_with_its_supervisor),
    ("the task's process killed before its first part", kill_before_its_first_part),
)
DEFERRED: tuple[tuple[str, Attack], ...] = (
    ("a deferred task cleared in the middle", clear_in_the_middle),
    ("the run of a deferred task marked failed in the middle, then cleared", mark_failed_and_clear),
)
