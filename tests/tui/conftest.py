"""One recording for all tests of the terminal, and the terminal over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.world import END, World, log_lines
from zjops.cli.times import moment_ms
from zjops.domain.clock import ManualClock
from zjops.recording.reader import Recording
from zjops.tui.app import TopApp
from zjops.tui.applog import Logs
from zjops.tui.station import Station


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal")
    World(folder / "world.zjrec").write()
    (folder / "app").mkdir()
    (folder / "app" / "api.jsonl").write_text("\n".join(log_lines()) + "\n{cut off")
    return folder / "world.zjrec"


Make = Callable[..., TopApp]


@pytest.fixture
def make(recorded: Path) -> Make:
    """The terminal, standing at the recording's end unless a test says otherwise."""

    def made(at_ms: int | None = END - 1_000, theme: str = "dark", **more: object) -> TopApp:
        station = Station(Recording(recorded), "local", logs=Logs(recorded.parent / "app"), **more)  # type: ignore[arg-type]
        return TopApp(station, ManualClock(END), moment_ms, at_ms=at_ms, now_ms=END, theme=theme)

    return made


async def settled(app: TopApp, pilot: Pilot[int]) -> None:
    """Wait until everything that was asked for is read and drawn."""
    for _ in range(2):
        await pilot.pause()
        while app.busy:
            await app.workers.wait_for_complete()
            await pilot.pause()
