"""`zjops` as people run it: a process, with nothing of the machine's own settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.platform import Stage


class Cli:
    """Runs `zjops` on one platform."""

    def __init__(self, stage: Stage, config: Path) -> None:
        self.stage, self.config = stage, config

    def __call__(
        self, *arguments: str, local: bool = True, within_s: float = 120, **extra: str
    ) -> tuple[int, str, str]:  # fmt: skip
        env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_")} | extra
        env |= {"XDG_CONFIG_HOME": str(self.config)} | ({"ZJOPS_HOME": str(self.stage.home)} if local else {})
        argv = [sys.executable, "-m", "zjops", *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=env, timeout=within_s, stdin=subprocess.DEVNULL
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    def json_of(self, *arguments: str, code: int = 0) -> Any:
        """The JSON of a command that was asked for it in a way of its own."""
        status, out, err = self(*arguments)
        assert status == code, (arguments, out, err)
        return json.loads(out)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command writes."""
        status, out, err = self(*arguments, "--json")
        assert status == code, (arguments, out, err)
        return json.loads(out)
