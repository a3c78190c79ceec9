"""Attacks the package and counts what was lost. `make torture` runs it; `docs/reliability.md` says what is tried."""

import sys
from pathlib import Path

# The real Airflow and the sandbox's process that the tests start are started here as well.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
