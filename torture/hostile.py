"""Hostile input, hosts and TLS: what people, files, databases and servers hand over, as an attacker would write it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from torture.hostile_hosts import attack_hosts, attack_neighbours, attack_redirects, attack_tls
from torture.hostile_input import (
    attack_credentials,
    attack_ids,
    attack_paths,
    attack_values,
)
from torture.hostile_lines import attack_answers, attack_output
from torture.hostile_manifests import attack_manifests
from torture.hostile_pages import attack_pages
from torture.plan import Plan, Row, say

Attack = Callable[[Plan], Row | list[Row]]
INPUT: tuple[Attack, ...] = (attack_ids, attack_credentials, attack_values, attack_paths, attack_manifests)
LINES: tuple[Attack, ...] = (attack_answers, attack_output)
HOSTS: tuple[Attack, ...] = (attack_hosts, attack_redirects, attack_neighbours, attack_tls)


def attack(plan: Plan) -> list[Row]:
    """Try everything; the browser beside the rest, as it mostly waits."""
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to
    try:
        with ThreadPoolExecutor(1) as pool:
            pages = pool.submit(attack_pages, plan)
            rows = attack_by((*INPUT, *LINES, *HOSTS), plan)
            return [*rows, pages.result()]
    finally:
        logging.disable(logging.NOTSET)


def attack_by(attacks: Sequence[Attack], plan: Plan) -> list[Row]:
    """Try some of it."""
    rows: list[Row] = []
    for each in attacks:
        say(f"   {each.__name__.removeprefix('attack_')}")
        found = each(plan)
        rows += found if isinstance(found, list) else [found]
    return rows
