"""What doctor says of the interpreter and the disk."""

from __future__ import annotations

import errno
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from zjops.cli import doctor
from zjops.cli.doctor import _machine


@pytest.mark.parametrize(
    ("options", "prefix", "plain"),
    [
        ("'--prefix=/opt/python' '--enable-shared'", "/opt/python", True),
        ("'--enable-optimizations' '--with-lto'", "/opt/python", False),
        # Debian builds with profiles by targets of its own, and its options say nothing of them.
        ("'--enable-shared' '--prefix=/usr'", "/usr", False),
        (None, "/opt/python", False),
    ],
)
def test_an_interpreter_that_was_built_without_profiles_is_told_of(
    options: str | None, prefix: str, plain: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: options)
    monkeypatch.setattr(sys, "base_prefix", prefix)
    row = next(_machine(tmp_path))
    assert (row["check"], row["state"]) == ("Python", "ok")
    assert ("without optimisation" in row["detail"], bool(row["mend"])) == (plain, plain)


def test_a_version_that_nothing_was_built_for_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    row = next(_machine(tmp_path))
    assert (row["state"], row["detail"]) == ("fail", "3.10.2")


def _disk_row(home: Path) -> dict[str, Any]:
    return next(row for row in _machine(home) if row["check"] == "disk")


def test_the_disk_is_tried_where_the_platform_would_write(tmp_path: Path) -> None:
    row = _disk_row(tmp_path / "not" / "there" / "yet")
    assert row["state"] in ("ok", "warn")
    assert row["detail"].startswith("a durable write takes ")
    assert list(tmp_path.iterdir()) == [], "and nothing is left of it"


def test_one_write_that_stands_still_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_durable_writes", lambda folder: [0.0004] * 99 + [0.25])
    row = _disk_row(tmp_path)
    assert (row["state"], row["detail"]) == ("warn", "a durable write takes 0.4 ms, the slowest of 100 took 250 ms")
    assert "--home" in row["mend"]


def test_a_disk_that_takes_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fdatasync", full, raising=False)
    row = _disk_row(tmp_path)
    assert (row["state"], row["detail"]) == ("fail", f"{tmp_path}: No space left on device")
