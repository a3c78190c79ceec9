"""Sees to the Debian packages that tests need: installs them when root on Debian, elsewhere says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_name("debian-packages.txt")
APT_LISTS = Path("/var/lib/apt/lists")
# Another apt-get at work, in an image's first minutes for instance, is waited for.
APT_GET = ("apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=120")


def missing_packages() -> list[str]:
    """Name the packages whose probe fails on this machine."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    probes = [line.split(":", maxsplit=1) for line in lines if line]
    return [package for package, probe in probes if not succeeds("sh", "-c", probe)]


def succeeds(*command: str) -> bool:
    """Run a command silently and tell whether it succeeded."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def install(packages: list[str]) -> None:
    """Install packages, fetching apt's lists only when they are missing or too old to be of use."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    fetch_lists = [*APT_GET, "update"]
    install_them = [*APT_GET, "install", "--yes", "--no-install-recommends", *packages]
    have_lists = any(APT_LISTS.glob("*_Packages*"))
    commands = [install_them, fetch_lists, install_them] if have_lists else [fetch_lists, install_them]
    for command in commands:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if command is install_them and done.returncode == 0:
            return
    print(*done.stdout.splitlines()[-20:], sep="\n", file=sys.stderr)


def provide() -> bool:
    """Install what is missing where that is possible, and list what still is.

    :return: False only when something is missing and ``CI`` is set: there, nothing may be left out.
    """
    missing = missing_packages()
    if missing and os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get"):
        print(f"Installing Debian packages (once): {' '.join(missing)} …", flush=True)
        install(missing)
        missing = missing_packages()
    if missing:
        consequence = "which CI needs" if os.environ.get("CI") else "so the tests that need them are skipped"
        print(f"Not on this machine, {consequence}: {', '.join(missing)}", flush=True)
    return not (missing and os.environ.get("CI"))
