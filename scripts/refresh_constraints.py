"""Writes constraints.txt: the newest versions that go together on every tested Python.

Usage: ``.venv/bin/python scripts/refresh_constraints.py [requirement …]``.
``apache-airflow==3.3.2``, for instance, stays with that release.
"""

from __future__ import annotations

import itertools
import subprocess
import sys

import prepare

TESTED_PYTHONS = ("3.11", "3.12", "3.13")
HEADER = """\
# The versions that this checkout is tested with, on Python 3.11 to 3.13; written by scripts/refresh_constraints.py.
"""


def resolve(requirements: list[str], python: str) -> set[str]:
    """Resolve the requirements for one Python.

    :return: lines ``name==version``.
    """
    uv = prepare.VENV / "bin" / "uv"
    command = [
        str(uv),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        python,
        "-",
    ]
    done = subprocess.run(
        command,
        input="\n".join(requirements),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=prepare.ROOT,
    )
    return set(done.stdout.splitlines())


def main() -> None:
    """Write the file. uv's own error ends it when the versions for one Python do not fit another."""
    described = prepare.project()
    # An editable install by hatchling also needs editables, which no table names.
    requirements = [
        *described["build-system"]["requires"],
        "editables",
        "uv",
        *described["project"]["dependencies"],
        *itertools.chain.from_iterable(described["project"]["optional-dependencies"].values()),
        *prepare.development_requirements(),
        *sys.argv[1:],
    ]
    pinned: set[str] = set()
    for (
        python
    ) in TESTED_PYTHONS:  # the oldest first: what fits it usually fits the others, not the other way round
        pinned |= resolve([*requirements, *pinned], python)
    prepare.CONSTRAINTS.write_text(HEADER + "".join(f"{line}\n" for line in sorted(pinned)), encoding="utf-8")


if __name__ == "__main__":
    main()
