"""Depth is refused before a parser follows it, wherever the brackets stand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.api.strictjson import MAX_DEPTH, decode
from zjops.domain.errors import Problem

TEXT = st.text(st.sampled_from('[]{}"\\,: a\n'), max_size=40)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=60
)


@pytest.fixture
def no_limit() -> Iterator[None]:
    """As a library sets it that recurses itself: the stack would end before the count does."""
    former = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(former)


@pytest.mark.usefixtures("no_limit")
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
     b'["\\"",' * 100_000, b'[[], "]]]]", ' * 200_000],
)  # fmt: skip
def test_a_deep_body_is_refused_however_deep_a_program_may_recurse(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        decode(body)
    assert (refused.value.kind.code, refused.value.kind.status) == ("malformed-request", 400)


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_the_bound_is_exact() -> None:
    assert decode(_nested(MAX_DEPTH)) is not None
    with pytest.raises(Problem, match="nested deeper than 32"):
        decode(_nested(MAX_DEPTH + 1))


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    return 1 + max((_depth(item) for item in value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 40))
def test_brackets_within_strings_do_not_count_and_all_others_do(value: Any, around: int) -> None:
    for _ in range(around):
        value = [value, "[{" * 20, {}]
    body = json.dumps(value).encode()
    if _depth(value) > MAX_DEPTH:
        with pytest.raises(Problem, match="nested deeper than"):
            decode(body)
    else:
        assert decode(body) == value
