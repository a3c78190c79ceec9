"""Parsers with a bug planted in each, for the fuzzer to find."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

from airflow_provider_smscancel.gateways.base import Answer, Finding, IdType
from torture.fuzzing import corpus, oracle
from torture.fuzzing.target import Target, insist


def crashes_behind_four_bytes(data: bytes) -> None:
    """Crash on one beginning in four billion, which only coverage leads to."""
    if data[:1] == b"S" and data[1:2] == b"\x9d" and data[2:3] == b"\0" and data[3:4] == b"<":
        raise KeyError(data)


def believes_half_an_answer(data: bytes) -> None:
    """Take an answer that breaks off behind the status for a whole one."""
    cancelled = (
        b'"messageStatus":"006"' in data
        or corpus.REST.read_stop(corpus.CLICKATELL_ID, IdType.MESSAGE_ID, Answer(200, {}, data)).finding
        is Finding.CANCELLED
    )
    said = oracle.rest_says_cancelled(200, data, corpus.CLICKATELL_ID, IdType.MESSAGE_ID)
    insist(said or not cancelled, "cancelled, though the gateway does not say so")


def takes_its_time(data: bytes) -> None:
    """Keep the processor busy for as long as many brackets are nested."""
    until = time.process_time_ns() + 120_000_000
    while data.count(b"[") > 40 and time.process_time_ns() < until:
        pass


def ends_its_process(data: bytes) -> None:
    """Die as a library written in C does."""
    if len(data) > 20:
        os.abort()


class _Fed:
    """Do as it should, but say each hundred inputs what they were."""

    def __init__(self) -> None:
        self._count = 0
        self._digest = hashlib.sha256()

    def __call__(self, data: bytes) -> None:
        self._count += 1
        self._digest.update(data + b"\n")
        insist(self._count % 100, self._digest.hexdigest())


def _answers() -> Iterator[bytes]:
    return corpus.bodies_of(corpus.REST, corpus.CLICKATELL_ID)


def _nothing() -> Iterator[bytes]:
    yield b"something to start from"


def _brackets() -> Iterator[bytes]:
    yield b"[" * 50


TARGETS = {
    "crash": Target("a crash", 1, 64, _nothing, crashes_behind_four_bytes),
    "claim": Target("a claim", 1, 512, _answers, believes_half_an_answer),
    "slow": Target("a hang", 1, 64, _brackets, takes_its_time),
    "death": Target("a death", 1, 64, _nothing, ends_its_process),
    "told": Target("what it was fed", 1, 64, _nothing, _Fed()),
}
