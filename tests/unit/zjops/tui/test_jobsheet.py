"""One job as lines."""

from __future__ import annotations

import pytest

from zjops.tui.jobsheet import Hop, _way

HOPS = [Hop("accepted", 1_000, "36 bytes"), Hop("started", 1_021, "attempt 1"), Hop("completed", 1_100),
        Hop("sent", None, "0xab")]  # fmt: skip


@pytest.mark.parametrize("width", [80, 160])
def test_a_time_and_the_note_beside_it_are_two_things(width: int) -> None:
    accepted, started, completed, sent = (
        "".join(text for text, _ in line).rstrip() for line in _way(HOPS, 2_000, width)
    )  # fmt: skip
    assert accepted.endswith(" 36 bytes")
    assert "·" not in accepted.removesuffix("36 bytes")[-14:], "there is no time that it could run into"
    assert started.endswith("  21 ms later · attempt 1")
    assert completed.endswith("  79 ms later")
    assert sent.endswith("time not seen         0xab")
