"""The DAGs that run in every Airflow, as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "compatibility" / "dags"

globals().update(runpy.run_path(str(FOLDER / "compatible.py")))
