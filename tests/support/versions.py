"""What moved between Airflow's versions, for tests, and how a test says that a version lacks what it is about."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version

AIRFLOW = Version(version("apache-airflow"))
"""The one that the tests run in."""

if Version("3") <= AIRFLOW:
    from airflow.sdk.execution_time.context import OutletEventAccessors
    from airflow.sdk.io import attach
else:
    from airflow.io.store import attach
    from airflow.utils.context import OutletEventAccessors

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # before 3.2
    from airflow.serialization.serde import deserialize, serialize

__all__ = [
    "AIRFLOW",
    "DagSerialization",
    "OutletEventAccessors",
    "attach",
    "before",
    "deserialize",
    "except_in",
    "need",
    "serialize",
    "since",
]


def before(release: str) -> bool:
    """Tell whether this Airflow is older than a release."""
    return Version(release) > AIRFLOW


def _reason(release: str, what: str) -> str:
    return f"Airflow before {release} has no {what}; delete when {release} is the oldest that is supported"


def since(release: str, what: str) -> pytest.MarkDecorator:
    """Mark a test of something that came with a release: before it, there is nothing to test."""
    return pytest.mark.skipif(before(release), reason=_reason(release, what))


def except_in(*releases: str, what: str) -> pytest.MarkDecorator:
    """Mark a test that some releases can't pass, ``3.0`` for instance, though older ones can."""
    lacks = AIRFLOW.release[:2] in [Version(release).release[:2] for release in releases]
    reason = f"in Airflow {', '.join(releases)} {what}; delete when none of these is supported any more"
    return pytest.mark.skipif(lacks, reason=reason)


def need(release: str, what: str) -> None:
    """Skip the test that is running unless this Airflow has what came with a release."""
    if before(release):
        pytest.skip(_reason(release, what))
