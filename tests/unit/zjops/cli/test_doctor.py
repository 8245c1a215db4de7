"""What doctor says of the interpreter."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

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
