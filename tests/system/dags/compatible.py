"""The DAGs that run in every Airflow, as they stand."""

from __future__ import annotations

import runpy
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "compatibility" / "dags"

# Not all that it defines: with its __file__, Airflow would take the DAGs for those of a file that is not in its folder, and drop them.
found = runpy.run_path(str(FOLDER / "compatible.py"))
by_a_task, by_the_triggerer = found["by_a_task"], found["by_the_triggerer"]
