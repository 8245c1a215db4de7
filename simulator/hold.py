"""The right to write below a folder, one process at a time: the kernel frees it however its holder ends (flock(2))."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from zjops.domain.errors import StoreUnavailable


class Hold:
    """A folder that is held, or is to be. Each object stands for itself, also within one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether it is held now; False while somebody else does. Raises `StoreUnavailable`."""
        if self._descriptor is not None:
            return True
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder, os.O_RDONLY)
        except OSError as exc:
            raise StoreUnavailable(f"folder {self._folder}: {exc.strerror}; check its rights") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def let_go(self) -> None:
        """Leave it to others; safe when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
