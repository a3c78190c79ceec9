"""Attacks the package and counts what was lost. `make torture` runs it; `docs/reliability.md` says what is tried."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

# The real Airflow and the sandbox's process that the tests start are started here as well.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

if "AIRFLOW_HOME" not in os.environ:  # or Airflow would make a folder in the user's home while it is imported
    _home = tempfile.mkdtemp(prefix="smscancel-torture-airflow-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)
    os.environ |= {"AIRFLOW_HOME": _home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
