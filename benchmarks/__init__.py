"""Measures what `docs/performance.md` says. `make bench` runs it; see that page for what is compared, and what is not."""

import sys
from pathlib import Path

# The real Airflow and the sandbox's process that the tests start are started here as well.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
