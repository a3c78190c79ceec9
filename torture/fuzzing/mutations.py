"""Mutations that keep a document a document: most of libFuzzer's own leave nothing that a parser gets far with."""

from __future__ import annotations

import re
from random import Random

_PIECES = (
    re.compile(rb"(?=(<([\w:.-]+)[^<>]*>.*?</\2>))", re.DOTALL),  # an element of XML, and those in it
    re.compile(rb'(?=(,?\s*"[^"]*"\s*:\s*(?:"[^"]*"|\{[^{}]*\}|\[[^\[\]]*\]|[\w.+-]+)))'),  # a member of JSON
    re.compile(rb"([^\n]+\n?)"),  # a line
)
_LOOKED_AT = 1024
"""How much of a document is looked at, in bytes: finding elements within elements takes ever longer."""


def rearrange(data: bytes, longest: int, seed: int) -> bytes:
    """Take a document's pieces: drop one, repeat one, or put one in the place of another.

    :param longest: result, in bytes.
    :param seed: decides.
    """
    random = Random(seed)  # noqa: S311 - reproducible on purpose
    pieces = [match.span(1) for piece in _PIECES for match in piece.finditer(data[:_LOOKED_AT])]
    if not pieces:
        return data
    start, end = random.choice(pieces)
    at, until = random.choice(pieces)
    what = random.randrange(3)
    if what == 0:
        return data[:start] + data[end:]
    return (data[:at] + data[start:end] + data[until if what == 1 else at :])[:longest]
