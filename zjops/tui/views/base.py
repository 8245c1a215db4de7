"""What views have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.widget import Widget

from zjops.actions.targets import Aim
from zjops.recording.reader import Recording
from zjops.tui.moment import Instant
from zjops.tui.station import Station

Hint = tuple[str, str]


class View(Widget):
    """A view: `read` runs in a thread and may take a while, `show` draws what it found."""

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    HINTS: ClassVar[tuple[Hint, ...]] = ()
    """Keys of this view, for footer and help."""
    FILTERS: ClassVar[bool] = False
    """Whether `/` opens a filter here."""
    job_id: str | None = None
    """The one job that the view is about, where it is about one."""

    def __init__(self, station: Station) -> None:
        super().__init__(id=self.NAME)
        self.station = station
        self.faults_only = False

    def read(self, recording: Recording, instant: Instant) -> Any:
        """Everything that is shown at an instant. Raises `UsageError` for a damaged recording."""
        raise NotImplementedError

    def show(self, found: Any, instant: Instant) -> None:
        """Draw it."""
        raise NotImplementedError

    def enter(self, argument: str | None) -> None:
        """Somebody opened the view, for something."""

    def copied(self) -> str | None:
        """What `c` takes along."""
        return None

    def aim(self, whole: bool) -> Aim | None:
        """What an act is about here; `whole` asks for everything that the filter shows."""
        return None if self.job_id is None else Aim(f"{self.job_id}", (self.job_id,))

    def unmark(self) -> None:
        """Forget what was marked."""

    def raw(self) -> Any:
        """What `y` shows as JSON."""
        return None

    def on_resize(self) -> None:
        """There is another number of lines to show."""
        self.app.reload()  # type: ignore[attr-defined]

    def settle(self) -> None:
        """Take the keys."""
        for child in self.query("Table, Sheet"):
            self.app.screen_stack[0].set_focus(child)
            return
