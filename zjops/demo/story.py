"""The acts as they are played: one after the other, here or in a thread beside a terminal that shows them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zjops.demo.acts import ACTS
from zjops.demo.world import World
from zjops.domain.errors import ZjopsError


class Story:
    """Plays the acts once. `told` is how far it is, for whoever else draws."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._act = 0
        self._thread: threading.Thread | None = None
        self._broke: BaseException | None = None

    def play(self, before: Callable[[], None] = lambda: None) -> None:
        """All acts; `before` each. An act that does not come to its end is a check that did not hold."""
        world = self.world
        try:
            for self._act, act in enumerate(ACTS, 1):
                before()
                world.say(f"\n{self._act}. {act.title}")
                try:
                    act.play(world)
                except ZjopsError as exc:
                    world.check(act.title.lower(), False, str(exc))
        finally:
            world.duration_s = world.elapsed_s()

    def begin(self) -> None:
        """Play beside what follows, once; then `finish`."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._play_beside, name="demo", daemon=True)
        self._thread.start()

    def _play_beside(self) -> None:
        try:
            self.play()
        except BaseException as exc:
            # It is raised where somebody waits for the end.
            self._broke = exc

    def finish(self) -> None:
        """Wait for its end, from the beginning where it has not begun. Raises what ended it, if that was no check."""
        if self._thread is None:
            self.play()
        else:
            self._thread.join()
        if self._broke is not None:
            raise self._broke

    @property
    def ended(self) -> bool:
        """Whether all acts are over."""
        return self.world.duration_s is not None

    def told(self) -> str:
        """In a line."""
        checks = list(self.world.checks)
        held = sum(check.ok for check in checks)
        if self._broke is not None:
            return "demo: it broke off; q to end"
        if self.ended:
            return f"demo: {held} of {len(checks)} checks held; q to end"
        if not self._act:
            return "demo: about to begin"
        broken = f", {len(checks) - held} BROKEN" if held < len(checks) else ""
        return f"demo {self._act} of {len(ACTS)}: {ACTS[self._act - 1].title}; {held} checks held{broken}"
