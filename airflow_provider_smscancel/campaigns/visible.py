"""Texts of others, made fit for a line that people read."""

from __future__ import annotations


def visible(text: str, *, keep: str = "") -> str:
    """Write what can't be seen as an escape: line ends, control characters, ANSI codes, characters that turn the order round.

    :param text: anything, such as a name that somebody gave.
    :param keep: characters that are left as they are.
    :return: the same text, if all of it can be seen.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode()
        for each in text
    )
