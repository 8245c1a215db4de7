"""Where the demo's talk goes: to the screen, or to the platform's logs while a terminal is on the screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from zjops.domain.clock import Clock, rfc3339

NAME = "demo.jsonl"


class Talk:
    """Said by one thread, while another may take the screen."""

    def __init__(self, clock: Clock, quiet: bool = False) -> None:
        self._clock, self._quiet = clock, quiet
        self._log: Path | None = None
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """A line or some of it."""
        with self._lock:
            if self._log is not None:
                self._write(self._log, text)
            elif not self._quiet:
                print(text, flush=True)

    @contextmanager
    def to_logs(self, home: Path) -> Iterator[None]:
        """Until then it is an entry of the platform's logs, where the terminal shows it."""
        with self._lock:
            self._log = home / "log" / "app" / NAME
            self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            with self._lock:
                self._log = None

    def _write(self, log: Path, text: str) -> None:
        said = text.strip()
        entry = {
            "timestamp": rfc3339(self._clock.now_ms()), "level": "error" if said.startswith("✗") else "info",
            "service": "demo", "message": said,
        }  # fmt: skip
        with log.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
