"""A sandbox over a real socket, connections to it, and a task to run in."""

from __future__ import annotations

from support.operator_fixtures import in_doubt, no_pauses, play, sandbox, seed, server

__all__ = ["in_doubt", "no_pauses", "play", "sandbox", "seed", "server"]
