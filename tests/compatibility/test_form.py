"""The connection form, as this Airflow serves it to a browser."""

from __future__ import annotations

import re

import pytest
from support.airflow_stack import AirflowStack
from support.versions import AIRFLOW, before

from airflow_provider_smscancel.provider_info import CONNECTION_TYPES, ConnectionType

pytestmark = pytest.mark.system


def fields_served(airflow: AirflowStack, kind: ConnectionType) -> set[str]:
    """Ask for the form's extra fields, by the way that this release has."""
    if before("3"):
        from support.airflow_2_stack import Airflow2Stack

        assert isinstance(airflow, Airflow2Stack)
        airflow.log_in()
        page = airflow.fetch("/connection/add").text
        return set(re.findall(rf'name="extra__{kind.name}__(\w+)"', page))
    (found,) = (
        row
        for row in airflow.fetch("/ui/connections/hook_meta").json()
        if row["connection_type"] == kind.name
    )
    return set(found["extra_fields"] or ())


@pytest.mark.parametrize("kind", CONNECTION_TYPES.values(), ids=lambda kind: kind.name)
def test_the_form_has_its_extra_fields(any_airflow: AirflowStack, kind: ConnectionType) -> None:
    expected = {extra.name for extra in kind.extra_fields}
    if AIRFLOW.release[:2] == (3, 0):
        expected = set()  # without the FAB provider it draws nobody's: extras are written as JSON
    assert fields_served(any_airflow, kind) == expected
