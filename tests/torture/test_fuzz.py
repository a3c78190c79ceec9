"""Noise into every parser. That the fuzzer finds what is there is tried with bugs planted for it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest
from support import planted

from airflow_provider_smscancel.gateways.base import IdType
from torture import fuzz
from torture.fuzzing import corpus, oracle
from torture.fuzzing.target import WrongClaimError
from torture.fuzzing.targets import TARGETS
from torture.plan import TINY

needs_atheris = pytest.mark.skipif(
    find_spec("atheris") is None,
    reason="atheris 3.0 has wheels for Linux on x86-64 and Python 3.11 to 3.13 only; goes with its first for this one",
)


def test_the_shares_of_all_targets_are_all_there_is() -> None:
    assert sum(target.share for target in TARGETS.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_fuzzing_starts_from_is_survived(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert len(seeds) > 5
    for data in seeds:
        TARGETS[name].run(data)


@needs_atheris
def test_every_parser_survives_some_noise() -> None:
    rows = fuzz.attack(TINY)
    assert len(rows) == len(TARGETS)
    assert [row for row in rows if not row.held] == []
    assert sum(row.tried for row in rows) >= TINY.inputs * 0.99


def test_without_atheris_the_table_says_that_nothing_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "find_spec", lambda _: None)
    rows = fuzz.attack(TINY)
    assert [row.tried for row in rows] == [0]
    assert not rows[0].held


@needs_atheris
@pytest.mark.parametrize(
    ("name", "inputs", "said", "run", "raised"),
    [
        ("crash", 60_000, "KeyError", planted.crashes_behind_four_bytes, KeyError),
        ("claim", 4_000, "WrongClaimError", planted.believes_half_an_answer, WrongClaimError),
    ],
)
def test_a_planted_bug_is_found_and_its_input_leads_to_it_again(
    name: str, inputs: int, said: str, run: Callable[[bytes], None], raised: Any
) -> None:
    came = fuzz.fuzz(f"support.planted:{name}", inputs, 1)
    assert came.tried == inputs
    (fault,) = came.found
    assert fault.startswith(said)
    with pytest.raises(raised):
        run(base64.b64decode(came.found[fault][1]))


def test_a_namespace_with_a_brace_in_it_does_not_blind_the_second_opinion() -> None:
    answer = b"""<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http:/}"><s:Body>
        <CancelMessageResponse xmlns="http://sms2.cdyne.com"><CancelMessageResult>true</CancelMessageResult>
        </CancelMessageResponse></s:Body></s:Envelope>"""
    assert oracle.esendex_says_it_stopped(200, answer, corpus.ESENDEX_ID, IdType.MESSAGE_ID)
    denied = answer.replace(b"true", b"false")
    assert not oracle.esendex_says_it_stopped(200, denied, corpus.ESENDEX_ID, IdType.MESSAGE_ID)


@needs_atheris
def test_an_input_that_takes_too_much_of_the_processors_time_is_found() -> None:
    came = fuzz.fuzz("support.planted:slow", 3, 1)
    assert list(came.found) == ["slow"]
    assert base64.b64decode(came.found["slow"][1]).count(b"[") > 40


@needs_atheris
def test_an_input_that_ends_the_process_is_found() -> None:
    came = fuzz.fuzz("support.planted:death", 100, 1)
    (fault,) = came.found
    assert "ended with" in fault
    assert len(base64.b64decode(came.found[fault][1])) > 20
    assert fuzz.row_of("a death", [came]).lost == 1


@needs_atheris
def test_the_same_seed_draws_the_same_inputs_and_another_one_others() -> None:
    first, again, other = (fuzz.fuzz("support.planted:told", 300, seed) for seed in (3, 3, 4))
    assert first.tried == 300
    assert len(first.found) == 3
    assert first == again != other


def test_every_fault_is_counted_and_told_with_its_input() -> None:
    data = base64.b64encode(b"bad").decode()
    row = fuzz.row_of(
        "x", [fuzz.Came(10, {"KeyError at a.py:1": (3, data)}), fuzz.Came(20, {"slow": (1, "")})]
    )
    assert (row.tried, row.lost) == (30, 4)
    assert data in row.found


def test_the_sandbox_answers_every_request_that_fuzzing_starts_from() -> None:
    for gateway, message_id in ((corpus.REST, corpus.CLICKATELL_ID), (corpus.HTTP, corpus.CLICKATELL_ID)):
        assert any(message_id.encode() in body for body in corpus.bodies_of(gateway, message_id))
