"""Chain profiles and finality."""

from __future__ import annotations

import pytest

from zjops.config import named_context
from zjops.domain.chains import PROFILES, Finality, parse_finality, profile_of
from zjops.domain.errors import UsageError

BARE = {"api_url": "", "token_url": "", "issuer": ""}


def test_profiles_are_whole_and_told_apart_by_their_id() -> None:
    assert [p.chain_id for p in PROFILES] == [31338, 31337, 2632500, 7082400]
    assert all(parse_finality(p.finality).text == p.finality for p in PROFILES)
    assert profile_of(1) is profile_of(None) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [("depth:3", Finality(3)), ("finalized", Finality(1, "finalized")), ("tag:safe", Finality(1, "safe"))],
)
def test_finality_is_a_depth_or_a_tag(text: str, meant: Finality) -> None:
    assert parse_finality(text) == meant
    assert parse_finality(meant.text) == meant


@pytest.mark.parametrize("text", ["", "depth:0", "depth:1001", "depth:x", "depth:²", "latest", "tag:latest", "3"])
def test_what_is_no_finality_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="finality is depth:N"):
        parse_finality(text)


def test_a_context_takes_finality_from_a_known_chain_unless_it_says_it() -> None:
    assert named_context("a", BARE | {"chain_id": 2632500}).finality == "depth:6"
    assert named_context("a", BARE | {"chain_id": 2632500, "finality": "finalized"}).finality == "tag:finalized"
    assert named_context("a", BARE | {"chain_id": 5}).rule() == Finality(3)
    assert named_context("a", BARE).rule() == Finality(3)
    with pytest.raises(UsageError, match="finality is depth:N"):
        named_context("a", BARE | {"finality": "soon"})
