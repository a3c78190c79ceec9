"""Reads the operator's parameters once they are rendered. All that is wrong with them is told before anything is sent."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow_provider_smscancel.campaigns.outcome import HARMLESS, Outcome

ON_EMPTY = ("fail", "skip", "succeed")
_NO_WORD = re.compile(r"""[\s,()\[\]'"]+""")
FAIL_ON_DEFAULT = frozenset(Outcome) - HARMLESS


def read_flag(name: str, value: object) -> bool:
    """Read a flag strictly: templates render it to text, and the text ``False`` is truthy.

    :raises ValueError: when it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(f"{name} must be true or false.")


def read_count(name: str, value: object) -> int | None:
    """Read a whole number that may have been rendered to text; ``None`` and blank text mean none.

    The text ``None`` does not: a limit must not vanish because what its template refers to is missing.

    :raises ValueError: when it is something else.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
    elif value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValueError(f"{name} must be a whole number that is not negative, or blank.")


def read_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Read one of a few words.

    :raises ValueError: naming the words.
    """
    text = str(value).strip()
    if text not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}.")
    return text


def read_outcomes(name: str, value: object) -> frozenset[Outcome]:
    """Read which outcomes fail the task: a list of words, or its text; ``None`` and blank text mean the default.

    :raises ValueError: naming the words.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return FAIL_ON_DEFAULT
    # The text may be what a template makes of a list: JSON's or Python's brackets and quotes.
    words: Iterable[Any] = _NO_WORD.split(value) if isinstance(value, str) else value  # type: ignore[assignment]
    try:
        return frozenset(Outcome(str(word).strip()) for word in words if str(word).strip())
    except (ValueError, TypeError):
        raise ValueError(f"{name} must be a list of outcomes: {', '.join(Outcome)}.") from None


def read_text(name: str, value: object) -> str | None:
    """Read an optional text; blank counts as not given.

    :raises ValueError: when it was rendered to ``None`` or is no text.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {type(value).__name__}.")
    text = value.strip()
    if text == "None":
        raise ValueError(f"{name} was rendered to the text 'None': what its template refers to is missing.")
    return text or None


def read_name(value: object) -> str | None:
    """Read a name that is only shown to people: no reason to hold up a campaign, whatever it was rendered to."""
    try:
        text = "" if value is None else str(value).strip()
    except ValueError:  # a number of more digits than Python writes
        return None
    return None if text in ("", "None") else text


def read_duration(name: str, value: object) -> timedelta:
    """Read a length of time: a timedelta, or seconds.

    :raises ValueError: when it is something else, or negative.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):  # not a number, or infinite
            value = timedelta(seconds=value)
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise ValueError(f"{name} must be a timedelta or a number of seconds, not negative.")
    return value


def one_source(sources: dict[str, object]) -> str:
    """Say which of several sources is given.

    :param sources: by name; ``None`` and blank text count as not given.
    :raises ValueError: when none is given, more than one is, or one was rendered to ``None``.
    """
    for name, value in sources.items():
        if isinstance(value, str) and value.strip() == "None":
            raise ValueError(
                f"{name} was rendered to the text 'None': what its template refers to is missing. Nothing was sent."
            )
    given = [
        name
        for name, value in sources.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    ]
    names = ", ".join(sources)
    if not given:
        raise ValueError(f"No messages to cancel: give one of {names}. Nothing was sent.")
    if len(given) > 1:
        raise ValueError(f"Give only one of {names}, not {' and '.join(given)}. Nothing was sent.")
    return given[0]
