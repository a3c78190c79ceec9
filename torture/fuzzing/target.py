"""What a target is, and what it says when something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


class WrongClaimError(AssertionError):
    """A parser said what its input does not say."""


@dataclass(frozen=True)
class Target:
    """A parser, or several that share their input's form.

    :param about: what is fed to what, for a person.
    :param share: of all inputs.
    :param longest: input, in bytes.
    :param seeds: what to begin with.
    :param run: feeds one input.
    """

    about: str
    share: float
    longest: int
    seeds: Callable[[], Iterable[bytes]]
    run: Callable[[bytes], None]


def insist(is_so: object, what: str) -> None:
    """Let a claim out as wrong.

    :raises WrongClaimError: it is not so.
    """
    if not is_so:
        raise WrongClaimError(what)
