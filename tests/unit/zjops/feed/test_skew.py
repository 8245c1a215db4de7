"""Clocks that differ by minutes: time is the platform's, nothing that is shown is negative, and nothing is empty."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.shown import shown
from tests.unit.zjops.recording.told import START, answered, life
from zjops.domain.clock import ManualClock
from zjops.feed.feed import Feed, Intake
from zjops.feed.messages import Pulse
from zjops.feed.skew import SKEW_FROM_MS, ahead_ms
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.tui.moment import Instant, TimeMachine
from zjops.tui.views import overview

SECONDS = 60
NEGATIVE = re.compile(r"(?<![\w:.-])-\d")


@given(st.integers(-3_600_000, 3_600_000), st.integers(0, 3_000), st.integers(0, 999))
def test_what_is_found_is_near_what_is_so(ahead: int, took_ms: int, told_after: int) -> None:
    """To the second that an answer tells, and to the time that it took."""
    sent = START + 123
    told_at = sent + min(told_after, took_ms) + ahead
    found = ahead_ms(formatdate(told_at // 1000, usegmt=True), sent, sent + took_ms)
    if found == 0:
        assert abs(ahead) <= SKEW_FROM_MS + took_ms + 999
    else:
        assert abs(found - ahead) <= (took_ms + 999) // 2 + 1
    again = ahead_ms(formatdate(told_at // 1000, usegmt=True), sent, sent + took_ms, found)
    assert again == found, "what is known stays while it may be right"


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_an_answer_without_a_date_changes_nothing(date: str | None) -> None:
    assert ahead_ms(date, START, START, 5_000) == 5_000


class Skewed(ManualClock):
    """Tells a platform's traffic, second by second, whose clock differs from this one."""

    def __init__(self, ahead: int, told: Callable[[Intake, int], None]) -> None:
        super().__init__(START - ahead)
        self.intake: Intake | None = None
        self._ahead, self._told, self._left = ahead, told, SECONDS

    async def sleep(self, seconds: float) -> None:
        assert self.intake is not None
        self._left -= 1
        if self._left < 0:
            raise asyncio.CancelledError
        self.advance(1)
        self._told(self.intake, self.now_ms() + self._ahead)


def _traffic(intake: Intake, at_ms: int) -> None:
    """A second of a platform, by its own clock; workers stamp half a second behind the API."""
    number, before = (at_ms - START) // 1000, at_ms - 1_000
    answered(intake.changes, before // 1000, count=7)
    ended = None if number % 5 == 0 else before + 400
    life(intake.changes, number, accepted=before, started=before - 500, ended=ended,
         outcome="failed" if number % 7 == 0 else "completed")  # fmt: skip


def _played(path: Path, ahead: int, *, known: bool) -> list[Pulse]:
    clock, pulses = Skewed(ahead, _traffic), list[Pulse]()
    feed = Feed([], clock, pulses.append, Recorder(path, {"context": "local"}), every_s=1.0)
    clock.intake = feed.intake
    feed.intake.ahead_ms = ahead if known else 0

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await feed.run()

    asyncio.run(main())
    return pulses


@pytest.mark.parametrize(
    ("ahead", "known"), [(0, True), (600_000, True), (-600_000, True), (180_000, False), (-180_000, False)],
    ids=["none", "ahead, by the API's word", "behind, by the API's word", "ahead, by events alone",
         "behind, by events alone"],
)  # fmt: skip
def test_panels_are_neither_negative_nor_empty(tmp_path: Path, ahead: int, known: bool) -> None:
    path = tmp_path / "skewed.zjrec"
    machine = TimeMachine(START - ahead + 1_000)
    for pulse in _played(path, ahead, known=known):
        machine.moved(pulse.at_ms, pulse.ahead_ms)
    recording, at_ms = Recording(path), machine.instant.at_ms
    seen = shown(recording, at_ms)
    lines = ["".join(text for text, _ in line) for line in overview.draw(seen["overview"], 160, 50)]
    assert not [line for line in lines if NEGATIVE.search(line)], lines
    facts = seen["overview"].facts
    assert sum(total for _, total, _ in facts.requests) >= (SECONDS - 1) * 7
    assert sum(row.submitted for row in facts.series) >= SECONDS - 1
    assert seen["count"] >= SECONDS - 1
    assert seen["errors"]
    if known:
        assert abs(at_ms - (START + SECONDS * 1000)) <= 1_000, "now is the platform's now"
        assert facts.recent.submitted == 10
        (queue,) = [stage for stage in seen["overview"].stages if stage.name == "workers"]
        assert 0 < (queue.oldest_ms or 0) <= SECONDS * 1000
    recording.close()


def test_the_time_machine_goes_where_the_platform_is_and_then_only_on() -> None:
    machine = TimeMachine(START)
    machine.moved(START + 250)
    machine.moved(START - 600_000, -600_000)
    assert machine.instant == Instant(START - 600_000, 300, True)
    machine.moved(START - 600_500, -600_000)
    assert machine.now_ms == START - 600_000
    machine.moved(START - 599_000, -600_000)
    assert machine.now_ms == START - 599_000
