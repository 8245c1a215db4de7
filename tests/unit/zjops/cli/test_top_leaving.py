"""What the command gives the terminal, and how it leaves: a thread of keys that does not end is noticed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.drivers import linux_driver

from tests.unit.zjops.client.test_clients import CONTEXT
from zjops.cli import top
from zjops.cli.top import INPUT, reads_still
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.recording.files import Limits
from zjops.recording.recorder import Recorder
from zjops.tui.station import Station


def test_a_thread_of_keys_that_lives_on_is_noticed() -> None:
    assert not reads_still()
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name=INPUT, daemon=True)
    thread.start()
    assert reads_still()
    ended.set()
    thread.join()
    assert not reads_still()


def test_it_has_the_name_that_the_driver_gives_it() -> None:
    assert f'name="{INPUT}"' in Path(linux_driver.__file__).read_text()


def test_whoever_shows_a_recording_is_known_to_who_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a disk that takes nothing does not stop what is shown."""
    made: list[Recorder] = []

    def recorder(context: Context, clock: SystemClock, limits: Limits) -> Recorder:
        made.append(Recorder(tmp_path / "r.zjrec", {"context": context.name}, limits))
        return made[0]

    def run(station: Station, *rest: Any) -> None:
        assert made[0].reader is station.recording

    monkeypatch.setattr(top, "resolve", lambda *_: CONTEXT)
    monkeypatch.setattr("zjops.feed.recordings.new_recorder", recorder)
    monkeypatch.setattr(top, "_run", run)
    top.watch(SystemClock(), Limits(), None, tmp_path)
    assert made
