"""A platform of its own for experiments: a process for every role, proxies before the parts, gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zjops.client.platform import Platform
from zjops.config import Context, local_context

OPTIONS = (
    "--spread", "--workers", "2", "--set", "proxies=true", "--set", "prober=false", "--set", "batch_max_age_s=1",
    "--set", "block_time_s=0.5",
)  # fmt: skip


@contextmanager
def fresh_platform() -> Iterator[Context]:
    """The context of a platform that lives as long as the block. Raises `UnreachableError`, `StartError`."""
    folder = Path(tempfile.mkdtemp(prefix="zjops-chaos-"))
    platform = Platform(folder / "home", OPTIONS)
    try:
        platform.start()
        yield local_context(folder / "home")
    finally:
        platform.stop()
        shutil.rmtree(folder, ignore_errors=True)
