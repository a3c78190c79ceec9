"""The releases of Airflow that this package is tried with, and what is installed for each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts"))

import prepare  # noqa: E402 - it reads pyproject.toml for the scripts, too

DIRECT_AS_OF = "2026-03-16"
"""By then every release was out that is the lowest that `pyproject.toml` allows."""
TOOLS_AS_OF = "2026-11-20"
NEEDED_BY_DIRECT = ("aiosignal",)
"""What those requirements need in a newer release than an old Airflow's own set has."""
TOOLS = (
    "hypothesis",
    "moto[s3,server]>=5.2.5",
    "pandas",
    "pytest",
    "ruff",
    "psycopg[binary]",
    "psycopg2-binary",
    "statsd",
)
"""What the tests run with. It stands for no part of anybody's Airflow, so it may be newer than that."""
NEEDED_BY_TOOLS = ("py-partiql-parser",)
PROVIDERS = ("amazon[s3fs]", "http", "openlineage", "postgres", "sqlite")
SAMPLES = ("clickatell", "httplib2")
"""What the vendors' own samples import."""
LOWEST = ROOT / "constraints-lowest.txt"


@dataclass(frozen=True, slots=True)
class Release:
    """One release of Airflow.

    :param airflow: its version.
    :param as_of: the day after its release: what it needs is resolved as of then, in place of its own constraints file.
    :param pythons: those that it allows, of the ones that this package declares.
    :param lowest: whether our own requirements are met by the lowest releases that they allow.
    """

    airflow: str
    as_of: str
    pythons: tuple[str, ...]
    lowest: bool = False


RELEASES = (
    Release("2.11.0", "2025-05-21", ("3.11",), lowest=True),
    Release("2.11.2", "2026-03-16", ("3.11", "3.12")),
    Release("3.0.6", "2025-09-05", ("3.11", "3.12")),
    Release("3.1.8", "2026-03-15", ("3.11", "3.12", "3.13")),
    Release("3.2.2", "2026-06-01", ("3.11", "3.12", "3.13")),
    Release("3.3.2", "2026-09-18", ("3.11", "3.12", "3.13")),
)
BY_VERSION = {release.airflow: release for release in RELEASES}
COMBINATIONS = tuple((release.airflow, python) for release in RELEASES for python in release.pythons)


def direct_requirements() -> list[str]:
    """List what `pyproject.toml` asks for, without Airflow itself and with the extras."""
    project = prepare.project()["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    return [each for each in [*project["dependencies"], *extras] if name_of(each) != "apache-airflow"]


def name_of(requirement: str) -> str:
    """Take the name out of a requirement."""
    return requirement.split(">")[0].split("=")[0].split("[")[0].strip()


def packages(release: Release) -> list[str]:
    """List what is installed beside this package."""
    providers = [f"apache-airflow-providers-{name}" for name in PROVIDERS]
    return [f"apache-airflow=={release.airflow}", *direct_requirements(), *TOOLS, *SAMPLES, *providers]


def options(release: Release) -> list[str]:
    """Say to uv from which day each package may be."""
    if release.lowest:
        return ["--constraint", str(LOWEST)]
    return as_of(release)


def as_of(release: Release) -> list[str]:
    """Let nothing be newer than the release of Airflow, but for our own requirements and the tools."""
    direct = max(DIRECT_AS_OF, release.as_of)
    newer = dict.fromkeys([*map(name_of, direct_requirements()), *NEEDED_BY_DIRECT], direct)
    newer |= {name_of(name): TOOLS_AS_OF for name in (*TOOLS, *NEEDED_BY_TOOLS)}
    return [
        "--exclude-newer",
        release.as_of,
        *(word for name, day in newer.items() for word in ("--exclude-newer-package", f"{name}={day}")),
    ]
