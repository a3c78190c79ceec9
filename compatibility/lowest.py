"""Writes constraints-lowest.txt: our requirements at the lowest releases that they allow, in the oldest Airflow's own set.

Usage: ``.venv/bin/python -m compatibility.lowest``, after a lower bound in ``pyproject.toml`` was changed.
"""

from __future__ import annotations

import subprocess

from compatibility.releases import (
    LOWEST,
    RELEASES,
    ROOT,
    as_of,
    direct_requirements,
    name_of,
    packages,
    prepare,
)

HEADER = """\
# The oldest environment that this package is tested in: Airflow {airflow} with what it needed on the day after its release,
# and our own requirements at their lower bounds, on Python {python}; written by `python -m compatibility.lowest`.
"""


def compiled(requirements: list[str], *options: str) -> list[str]:
    """Resolve requirements for the oldest environment.

    :return: lines ``name==version``.
    """
    (release,) = (each for each in RELEASES if each.lowest)
    command = [str(prepare.VENV / "bin" / "uv"), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--python-version", release.pythons[0], *as_of(release), *options, "-"]
    done = subprocess.run(
        command, input="\n".join(requirements), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return done.stdout.splitlines()


def main() -> None:
    """Write the file. uv's own error ends it when the lower bounds do not fit the oldest Airflow."""
    (release,) = (each for each in RELEASES if each.lowest)
    airflow = f"apache-airflow=={release.airflow}"
    ours = [airflow, *direct_requirements()]
    lowest = compiled(ours, "--resolution", "lowest-direct")
    names = {name_of(each) for each in ours}
    pins = [line for line in lowest if name_of(line) in names]
    header = HEADER.format(airflow=release.airflow, python=release.pythons[0])
    LOWEST.write_text(
        header + "".join(f"{line}\n" for line in compiled([*pins, *packages(release)])), "utf-8"
    )


if __name__ == "__main__":
    main()
