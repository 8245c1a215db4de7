"""Each artifact belongs to its source, and the compiler makes it again, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import contracts
from contracts import analysis, build


@pytest.mark.parametrize("name", build.CONTRACTS)
def test_the_artifact_belongs_to_the_source(name: str) -> None:
    artifact = contracts.load(name)
    assert artifact.source_hash == contracts.source_hash(build.CONTRACTS[name]), "run: make contracts"
    assert artifact.settings["evmVersion"] == "cancun"
    assert artifact.settings["optimizer"] == {"enabled": True, "runs": 200}
    assert len(artifact.deployed_bytecode) // 2 < 24_576, "EIP-170"


def test_every_source_has_an_artifact() -> None:
    sources = {path.relative_to(contracts.SOURCES).as_posix() for path in contracts.SOURCES.rglob("*.sol")}
    assert sources == set(build.CONTRACTS.values())
    assert {path.stem for path in contracts.ARTIFACTS.glob("*.json")} == set(build.CONTRACTS)


def test_the_compiler_makes_the_artifacts_again() -> None:
    try:
        made = build.compile_all()
    except build.NoCompiler as exc:
        pytest.skip(str(exc))
    committed = {name: json.loads((contracts.ARTIFACTS / f"{name}.json").read_text()) for name in build.CONTRACTS}
    assert made == committed


def test_a_missing_compiler_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(build.NoCompiler, match=r"contracts\.build --install"):
        build.compiler(tmp_path)


def test_a_source_that_the_compiler_warns_of_is_not_built() -> None:
    with pytest.raises(build.Warned, match="a shadow"):
        build._artifact("A.sol", {"errors": [{"formattedMessage": "a shadow"}], "contracts": {}})


def _slither(folder: Path, said: str, status: int) -> Path:
    program = folder / "slither"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("said", "status", "passes"),
    [
        ("input.json analyzed (27 contracts with 102 detectors), 0 result(s) found", 0, True),
        ("input.json analyzed (27 contracts with 102 detectors), 1 result(s) found", 255, False),
        ("input.json analyzed (0 contracts with 102 detectors), 0 result(s) found", 0, False),
        ("nothing of the kind", 0, False),
    ],
    ids=["clean", "a finding", "no contract seen", "no word of contracts"],
)
def test_an_analysis_passes_only_when_contracts_were_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int, passes: bool
) -> None:
    def asked(name: str) -> dict[str, Any]:
        return {"sources": {f"{name}.sol": {"content": "//"}}, "settings": {"outputSelection": {}}}

    monkeypatch.setattr(analysis, "compiler", lambda: Path("solc"))
    monkeypatch.setattr(analysis, "asked", asked)
    found, text = analysis.analyse(_slither(tmp_path, said, status), tmp_path / "laid out")
    assert (found == 0) is passes
    assert text.strip() == said
    assert (tmp_path / "laid out/JobRegistry.sol").exists()
