"""Stops SMS campaigns that were scheduled ahead of time, and says for every message whether it was stopped.

Airflow imports this module at every start, so it stays light: nothing here imports Airflow, ``requests`` or
``aiohttp``.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Describe this provider to Airflow (the entry point ``apache_airflow_provider``).

    :return: the dictionary that Airflow's ``provider_info.schema.json`` describes.
    """
    from airflow_provider_smscancel.provider_info import provider_info

    return provider_info(__version__)
