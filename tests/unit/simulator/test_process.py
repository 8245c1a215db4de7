"""What a role process does for the others of its platform."""

from __future__ import annotations

import pytest

from simulator.config import Settings
from simulator.process import QUICK_S, STANDS_S, sharing_of
from simulator.processor import Elsewhere


@pytest.mark.parametrize("apart", [True, False])
def test_who_is_waited_for_folds_the_log_and_makes_room_for_who_holds_the_lock(apart: bool) -> None:
    sharing = sharing_of(["api", "outbox"], Settings(api_apart=apart), frozenset({0, 1}))
    assert (sharing.folds, sharing.stands_s) == (True, STANDS_S)
    assert sharing.quick_s < QUICK_S
    assert not isinstance(sharing.hurry, Elsewhere), "it is kept off no processor"


@pytest.mark.parametrize("apart", [True, False])
def test_all_others_hurry_where_they_are_kept_off_a_processor(apart: bool) -> None:
    sharing = sharing_of(["settlement", "worker"], Settings(api_apart=apart), frozenset({0, 1}))
    assert (sharing.folds, sharing.stands_s, sharing.quick_s) == (False, 0.0, QUICK_S)
    assert isinstance(sharing.hurry, Elsewhere) is apart
