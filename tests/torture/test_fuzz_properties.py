"""Whatever bytes a parser is fed, what must hold holds: the properties of the fuzzer, tried without it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torture.fuzzing import corpus
from torture.fuzzing.mutations import rearrange
from torture.fuzzing.targets import TARGETS

SEEDS = {name: list(target.seeds()) for name, target in TARGETS.items()}
TOKENS = st.lists(st.sampled_from(corpus.TOKENS), max_size=12).map("".join)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(corpus.TOKENS),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(corpus.TOKENS), inner, max_size=4)
    ),
    max_leaves=12,
).map(json.dumps)
NOISE = st.binary(max_size=300) | TOKENS.map(str.encode) | JSON.map(str.encode)
WAYS = st.binary(min_size=3, max_size=3)
"""How a target reads what follows: see each of them."""


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150)
@given(WAYS, NOISE)
def test_noise_is_survived(name: str, how: bytes, noise: bytes) -> None:
    TARGETS[name].run(how + noise)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150)
@given(st.data())
def test_what_is_left_of_something_sound_is_survived(name: str, data: st.DataObject) -> None:
    what = data.draw(st.sampled_from(SEEDS[name]))
    seed = data.draw(st.integers(0, 2**32))
    changed = (
        rearrange(what, 8192, seed),
        what[: seed % (len(what) + 1)],
        what.replace(b"0", b"9" * 4400),
        what.upper(),
        what.replace(b'"', b"'"),
        what + what,
        what[:2] + b"\xef\xbb\xbf" + what[2:],
        what[:2] + what[2:].decode("latin-1").encode("utf-16"),
        what.replace(b" ", b"\0"),
    )
    TARGETS[name].run(data.draw(st.sampled_from(changed)))


@given(st.binary(max_size=400), st.integers(1, 400), st.integers())
def test_a_rearranged_document_has_the_length_it_may_have(data: bytes, longest: int, seed: int) -> None:
    assert len(rearrange(data, longest, seed)) <= max(longest, len(data))
    assert rearrange(data, longest, seed) == rearrange(data, longest, seed)
