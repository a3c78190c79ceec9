"""The kill switch of this Airflow provider, as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

dag = runpy.run_path(str(ROOT / "dags" / "cancel_campaign.py"))["dag"]
