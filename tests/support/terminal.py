"""`zjops` in a real terminal, as a person has it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping

WITHIN_S = 30.0


class Terminal:
    """A program in a real terminal of 120x40: keys go in, and everything that it ever drew is read."""

    def __init__(self, extra: Mapping[str, str], *arguments: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_") and k != "NO_COLOR"}
        env |= {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"} | dict(extra)
        self._master, slave = pty.openpty()
        argv = [sys.executable, "-m", "zjops", *arguments]
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        self.drawn = self._cut = ""

    def until(self, pattern: str) -> str:
        """Read until something is drawn; the rest is looked at for the next one."""
        deadline = time.monotonic() + WITHIN_S
        while (found := re.search(pattern, self.drawn)) is None:
            assert time.monotonic() < deadline, f"{pattern} was not drawn:\n{self.drawn[-2_000:]}"
            assert self._read(0.5), f"it ended without {pattern}:\n{self.drawn[-2_000:]}"
        self.drawn = self.drawn[found.end() :]
        return found[0]

    def forget(self, seconds: float) -> None:
        """Take in what is drawn for a while, as a terminal does, and forget it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self._read(left):
            self.drawn = ""

    def _read(self, within_s: float) -> bool:
        """Take in what comes in that time, without what only moves and colours; False at the end."""
        if not select.select([self._master], [], [], within_s)[0]:
            return True
        try:
            part = os.read(self._master, 65_536)
        except OSError:
            return False
        text = self._cut + part.decode("utf-8", "replace")
        begun = re.search(r"\x1b[^a-zA-Z]*$", text)
        self._cut = begun[0] if begun else ""
        self.drawn += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text[: begun.start()] if begun else text)
        return bool(part)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    def close(self) -> int:
        """Quit, and the exit code. What is still drawn is read, so that nobody waits for a reader."""
        self.press("q")
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None and time.monotonic() < deadline and self._read(0.1):
            self.drawn = ""
        code = self.process.wait(WITHIN_S)
        os.close(self._master)
        return code
