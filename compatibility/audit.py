"""Asks pip-audit for known vulnerabilities, and tells an answer from no answer. `make audit` runs it.

pip-audit itself calls it a success when the index has no data about any package. Exit status: 0 for nothing known, 1 for
something known about what this checkout is tested with, 2 when nobody could be asked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compatibility.releases import LOWEST, direct_requirements, name_of, prepare

SERVICES = ("pypi", "osv")
"""Where pip-audit can ask, in the order in which it is tried."""


@dataclass(frozen=True)
class Answer:
    """What a service says about some packages.

    :param known: a line for each known vulnerability.
    :param unanswered: the packages that it said nothing about.
    """

    known: tuple[str, ...]
    unanswered: tuple[str, ...]
    asked: int


def read(report: str) -> Answer:
    """Read pip-audit's JSON."""
    found: list[dict[str, Any]] = json.loads(report)["dependencies"]
    return Answer(
        known=tuple(
            f"{each['name']} {each['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no release yet'}"
            for each in found
            for flaw in each.get("vulns", ())
        ),
        unanswered=tuple(each["name"] for each in found if "skip_reason" in each),
        asked=len(found),
    )


def ask(pins: Sequence[str], service: str) -> Answer | None:
    """Ask one service about packages.

    :param pins: lines ``name==version``.
    :return: ``None`` when it could not be reached, or knows none of them.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
        command = [sys.executable, "-m", "pip_audit", "-r", file.name, "-s", service, *options]
        done = subprocess.run(command, capture_output=True, text=True)
    try:
        answer = read(done.stdout)
    except (
        ValueError,
        KeyError,
    ):  # it broke down: the last line says why, and that is always the network here
        print(f"   {service}: no answer: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
        return None
    if len(answer.unanswered) == answer.asked:
        print(f"   {service}: no answer: it has no data about any of the {answer.asked} packages")
        return None
    return answer


def pins_of(constraints: Path, names: Sequence[str] = ()) -> list[str]:
    """List what a constraints file pins, or only some names of it."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    return [line for line in pins if not names or name_of(line) in names]


def check(title: str, pins: Sequence[str]) -> int:
    """Ask about packages, and print what is known.

    :return: the exit status.
    """
    print(f"== {title} ({len(pins)} packages)", flush=True)
    answer = next((answer for service in SERVICES if (answer := ask(pins, service))), None)
    if answer is None:
        print("   NOT AUDITED: nobody could be asked. That says nothing about the packages.")
        return 2
    print(*_told(answer), sep="\n")
    if answer.unanswered:
        return 2
    return 1 if answer.known else 0


def _told(answer: Answer) -> Iterator[str]:
    yield from (f"   {line}" for line in answer.known)
    if answer.unanswered:
        yield f"   NOT AUDITED: {', '.join(answer.unanswered)}"
    if not answer.known:
        yield f"   nothing known about {answer.asked - len(answer.unanswered)} packages"


def main() -> int:
    """Ask about what is tested, and about the lower bounds."""
    tested = check("what this checkout is tested with: constraints.txt", pins_of(prepare.CONSTRAINTS))
    names = [*map(name_of, direct_requirements())]
    lowest = check("our lower bounds; SECURITY.md says why they are not higher", pins_of(LOWEST, names))
    return tested or (2 if lowest == 2 else 0)


if __name__ == "__main__":
    sys.exit(main())
