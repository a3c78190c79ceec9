"""What the figures were measured on. Names no host."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

LIBRARIES = ("apache-airflow", "apache-airflow-providers-http", "aiohttp", "requests", "clickatell", "uvloop")


def described() -> list[str]:
    """Tell date, machine, Python and libraries, a line each."""
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, on {psutil.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()}",
        f"Python {sys.version.split()[0]}; {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}",
    ]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
