"""A development chain for as long as something is measured on it: a process of its own in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from zjops.client.platform import Said, StartError, platform_module
from zjops.domain.errors import UnreachableError

GONE_WITHIN_S = 20.0


@contextlib.contextmanager
def temporary_devnet(settings: Sequence[str] = ()) -> Iterator[tuple[str, Path]]:
    """Start the platform's development chain alone; gives its address and folder, and ends both."""
    with tempfile.TemporaryDirectory(prefix="zjops-devnet-") as folder:
        options = [item for setting in settings for item in ("--set", setting)]
        argv = [sys.executable, "-m", platform_module(), "devnet", "--home", folder, "--parent", str(os.getpid())]
        process = subprocess.Popen(
            [*argv, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            yield _address(process), Path(folder)
        finally:
            _end(process)


def _address(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(msgspec.MsgspecError):
            said = msgspec.json.decode(line, type=Said)
            if said.event == "error":
                raise StartError(said)
            if said.event == "up" and said.message:
                return said.message
    raise UnreachableError("the development chain ended by itself; try: python -m simulator devnet --home DIR")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GONE_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
