"""The artifact belongs to the source, and the compiler makes it again, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import contracts
from contracts import build


def test_the_artifact_belongs_to_the_source() -> None:
    artifact = contracts.load("JobRegistry")
    assert artifact.source_hash == contracts.source_hash("JobRegistry.sol"), "run: make contracts"
    assert artifact.settings["evmVersion"] == "cancun"
    assert len(artifact.deployed_bytecode) // 2 < 24_576, "EIP-170"


def test_the_compiler_makes_the_artifact_again() -> None:
    try:
        made = build.compile_all()
    except build.NoCompiler as exc:
        pytest.skip(str(exc))
    committed = json.loads((contracts.ARTIFACTS / "JobRegistry.json").read_text())
    assert made["JobRegistry"] == committed


def test_a_missing_compiler_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(build.NoCompiler, match=r"contracts\.build --install"):
        build.compiler(tmp_path)


def test_an_unknown_contract_has_no_artifact() -> None:
    with pytest.raises(FileNotFoundError):
        contracts.load("Nothing")
