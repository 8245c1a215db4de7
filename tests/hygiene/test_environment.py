"""`.ci/venv` makes an environment with pip, whatever the interpreter brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VENV = Path(__file__).parents[2] / ".ci/venv"
WITHOUT = f"""#!/bin/sh
case "$*" in *ensurepip*) exit 1 ;; esac
exec {sys.executable} "$@"
"""
"""An interpreter that has no ensurepip."""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    made = tmp_path / "bin/python3"
    made.parent.mkdir()
    made.write_text(WITHOUT)
    made.chmod(0o755)
    return made


def _make(python: Path, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": path}
    return subprocess.run([VENV, python, folder], capture_output=True, text=True, env=environment, check=False)


def test_an_interpreter_without_pip_gets_that_of_another(bare: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    lender = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    made = _make(bare, folder, lender)
    assert made.returncode == 0, made.stderr
    told = subprocess.run([folder / "bin/python", "-m", "pip", "--version"], capture_output=True, text=True, check=True)
    assert str(folder) in told.stdout
    assert (folder / "bin/pip").exists()


def test_where_nobody_has_pip_it_says_what_to_do_and_leaves_nothing(bare: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    made = _make(bare, folder, f"{bare.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert made.returncode == 1
    assert made.stderr == (
        f"error: {bare} brings no pip, and python3 lends it none: install python3-venv, or name another by PYTHON=\n"
    )
    assert not folder.exists()
