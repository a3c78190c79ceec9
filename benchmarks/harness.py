"""Starts servers and clients, each pinned to a core, and makes rows of what was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
MOST_BUSY = 0.80
"""Above this share of its core, the server may be what is measured: no verdict."""
OWN_CORE = 0.90
"""Below this share of its core, something else ran there as well: such a round is no measure of a client that never waits."""
FEWEST_ROUNDS = 3
HEADROOM = 2.0
"""How much more the server must be able to answer than it was asked."""


def say(text: str) -> None:
    """Tell what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param met: whether the bar is met; ``None`` when there is no bar, or no verdict.
    """

    what: str
    bar: str
    measured: str
    met: bool | None = None
    no_verdict: str = ""

    @property
    def verdict(self) -> str:
        """Say it in a word."""
        if self.no_verdict:
            return f"no verdict: {self.no_verdict}"
        return {None: "—", True: "met", False: "MISSED"}[self.met]


def cores() -> tuple[int | None, int | None]:
    """Choose a core for the server and another for the client; none where there is only one, or no way to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def environment() -> dict[str, str]:
    """Describe what every process here gets: this one's environment without proxies, which loopback needs none of."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def python(*arguments: str, core: int | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start one of the modules here."""
    pinned = [] if core is None else ["--cpu", str(core)]
    command = [sys.executable, "-m", *arguments, *pinned]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **(pipes | options))


class BareServer:
    """The server of :mod:`benchmarks.server` in a process of its own, as a context manager.

    :param arguments: of its command line.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.url = ""

    def __enter__(self) -> Self:
        self._process = python("benchmarks.server", *self._arguments, core=cores()[0])
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def ask(self, what: str) -> Any:
        """Ask what it has seen: ``stats``, ``arrivals``, ``saved``, or ``reset``."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/_bench/{what}") as answer:
            return json.load(answer)


class Client:
    """A client of :mod:`benchmarks.clients` in a process of its own, ready to begin.

    :param arguments: of its command line.
    """

    def __init__(self, name: str, url: str, *arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        self.process = python("benchmarks.clients", name, "--url", url, *words, core=cores()[1])
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait()
            raise RuntimeError(f"the client {name} did not start")

    def begin(self) -> None:
        """Give the word."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Wait until it has done its order."""
        said, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError("a client failed: its error stands above")
        found: dict[str, Any] = json.loads(said)
        return found


@dataclass(frozen=True)
class Round:
    """One client, measured once.

    :param per_second: messages.
    :param cpu_us: of the client's process, microseconds a message.
    :param server_busy: share of its core that the server used.
    :param server_could: messages a second that its core would allow.
    """

    per_second: float
    cpu_us: float
    server_busy: float
    server_could: float

    @property
    def undisturbed(self) -> bool:
        """Whether the client had its core to itself."""
        return self.per_second * self.cpu_us / 1e6 >= OWN_CORE


def measure(name: str, server: BareServer, count: int, *, concurrency: int, warm_up: int) -> Round:
    """Let a client stop so many messages."""
    client = Client(name, server.url, "--count", count, "--concurrency", concurrency, "--warm-up", warm_up)
    server.ask("reset")
    client.begin()
    done = client.finish()
    cpu_s = server.ask("stats")["cpu_s"]
    if done["stopped"] != count:
        raise RuntimeError(f"{name} stopped {done['stopped']} of {count} messages")
    return Round(
        count / done["seconds"],
        done["cpu_s"] / count * 1e6,
        cpu_s / done["seconds"],
        count / max(cpu_s, 1e-9),
    )


@dataclass
class Series:
    """One client, measured in several rounds."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """The median of the rounds that were not disturbed, if there are such."""
        calm = [each for each in self.rounds if each.undisturbed]
        return median(each.per_second for each in calm or self.rounds)

    @property
    def cpu_us(self) -> float:
        """The median."""
        return median(each.cpu_us for each in self.rounds)


def in_turns(
    counts: dict[str, int], server: BareServer, rounds: int, *, concurrency: int, warm_up: int
) -> dict[str, Series]:
    """Measure clients A B A B …, so that whatever else the machine does befalls all of them.

    :param counts: how many messages each gets per round.
    """
    series = {name: Series() for name in counts}
    for number in range(1, rounds + 1):
        for name, count in counts.items():
            found = measure(name, server, count, concurrency=concurrency, warm_up=warm_up)
            series[name].rounds.append(found)
            say(
                f"   round {number} of {rounds}: {name} {found.per_second:,.0f} a second, {found.cpu_us:.0f} µs of CPU each"
            )
    return series


@dataclass(frozen=True)
class Ratio:
    """How many times the rate of another a client has, round by round.

    :param values: of the rounds in which both had their core to themselves, or of all if there are none.
    :param undisturbed: how many such rounds there are.
    """

    values: list[float]
    cpu: float
    undisturbed: int
    rounds: int

    @property
    def middle(self) -> float:
        """The median: the figure of the verdict."""
        return median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        calm = f"{self.undisturbed} of {self.rounds} rounds undisturbed"
        return f"**{self.middle:.2f}** ({low:.2f} to {high:.2f}, {calm}); by CPU time {self.cpu:.2f}"


def ratio(one: Series, other: Series) -> Ratio:
    """Compare two clients that were measured in turns, neither of which ever waits for anything but its core."""
    pairs = list(zip(one.rounds, other.rounds, strict=True))
    calm = [pair for pair in pairs if all(each.undisturbed for each in pair)]
    values = [a.per_second / b.per_second for a, b in calm or pairs]
    return Ratio(values, other.cpu_us / one.cpu_us, len(calm), len(pairs))


def doubts(found: Ratio, *series: Series) -> str:
    """Say why a ratio allows no verdict, or nothing."""
    if found.undisturbed < FEWEST_ROUNDS:
        return f"only {found.undisturbed} rounds were undisturbed: the machine is not quiet"
    return flattered(*series)


def flattered(*series: Series) -> str:
    """Say why the server may be what was measured, or nothing."""
    if None in cores():
        return "server and client share a core"
    rounds = [each for one in series for each in one.rounds]
    if max(each.server_busy for each in rounds) > MOST_BUSY:
        return f"the server's core was more than {MOST_BUSY:.0%} busy"
    if any(each.server_could < HEADROOM * each.per_second for each in rounds):
        return f"the server was less than {HEADROOM:g} times as fast"
    return ""


def server_said(*series: Series) -> str:
    """Tell how busy the server was at most."""
    busiest = max((each for one in series for each in one.rounds), key=lambda each: each.server_busy)
    return f"server ≤ {busiest.server_busy:.0%} busy"


def final_outcomes(report: Path) -> dict[str, str]:
    """Read from a report what became of each message: the last line counts."""
    lines = [line for part in report.glob("part-*.jsonl") for line in part.read_text().splitlines()]
    rows = sorted(map(json.loads, lines), key=lambda row: (row["try"], row["finished_at"]))
    return {row["message_id"]: row["outcome"] for row in rows}
