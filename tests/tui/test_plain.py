"""`zjops top --plain` between other programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_a_reader_that_leaves_early_is_no_error(recorded: Path) -> None:
    command = [sys.executable, "-m", "zjops", "top", "--plain", "--replay", str(recorded), "--speed", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
        assert (run.wait(), said) == (0, b"")
