"""How much is tried, and what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass


def say(text: str) -> None:
    """Tell what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Plan:
    """How much is tried.

    :param messages: for every gateway and format.
    :param seeds: each of them repeats what is drawn by lot, with other draws.
    :param inputs: for the coverage-guided fuzzer, over all parsers.
    """

    messages: int
    seeds: tuple[int, ...]
    inputs: int


SHORT = Plan(messages=2_000, seeds=(1,), inputs=200_000)
"""Within ten minutes."""
FULL = Plan(messages=20_000, seeds=(1, 2, 3), inputs=10_000_000)
"""As long as it takes."""
TINY = Plan(messages=70, seeds=(1,), inputs=2_000)
"""What `make test` repeats."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    :param what: what was done to the package.
    :param tried: how often.
    :param unit: what was counted: messages, inputs, places searched, …
    :param lost: how many of them went wrong. A row that tried nothing has failed as well.
    :param found: what was counted, in words.
    """

    what: str
    tried: int
    unit: str
    lost: int
    found: str

    @property
    def held(self) -> bool:
        """Whether something was tried, and nothing was lost."""
        return self.tried > 0 and self.lost == 0
