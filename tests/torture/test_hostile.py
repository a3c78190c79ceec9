"""A small form of what `make torture` does with hostile input, hosts and TLS."""

from __future__ import annotations

import pytest

from torture import hostile
from torture.hostile import Attack
from torture.plan import TINY


@pytest.mark.parametrize(
    "attack", [*hostile.INPUT, *hostile.LINES, *hostile.HOSTS], ids=lambda attack: attack.__name__[7:]
)
def test_nothing_is_lost_leaked_or_broken(attack: Attack) -> None:
    for row in hostile.attack_by([attack], TINY):
        assert row.held, row
