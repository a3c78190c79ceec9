"""The parsers that are fuzzed, and what must hold whatever they are fed."""

from __future__ import annotations

from torture.fuzzing import answers, fields, lists, own_files
from torture.fuzzing.target import Target

TARGETS: dict[str, Target] = {**answers.TARGETS, **lists.TARGETS, **own_files.TARGETS, **fields.TARGETS}
"""Every target, by its name. Their shares add up to one."""
