"""The contract's README against the artifact and against what is hashed here: nothing is missing, nothing is untrue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eth_abi.abi import encode

import contracts
from zjops.domain.merkle import Leaf, job_key_digest, keccak256, result_digest_of, usage_digest

README = (Path(__file__).parents[2] / "contracts/README.md").read_text()
ARTIFACT = contracts.load("JobRegistry")
SALT, KECCAK, USAGE = keccak256(b"salt"), keccak256(b"result"), (120, 100, 1_793_000_000_000)
INHERITED = ("AccessControl", "DefaultAdmin", "Role")


def _told(kind: str) -> list[str]:
    """Signatures of the ABI as the README has to write them, or the bare names of what is OpenZeppelin's."""
    return [
        f"{one['name']}({', '.join(_argument(given) for given in one['inputs'])})"
        for one in ARTIFACT.abi
        if one["type"] == kind and not one["name"].startswith(INHERITED)
    ]


def _argument(given: dict[str, str]) -> str:
    return f"{given['type']}{' indexed' if given.get('indexed') else ''} {given['name']}"


@pytest.mark.parametrize("signature", _told("event") + _told("error"))
def test_every_event_and_error_is_told(signature: str) -> None:
    assert signature in README or f"`{signature.partition('(')[0]}`" in README


def test_compiler_and_constructor_are_those_of_the_artifact() -> None:
    (constructor,) = (one for one in ARTIFACT.abi if one["type"] == "constructor")
    assert f"constructor({', '.join(map(_argument, constructor['inputs']))})" in README
    compiler, library = ARTIFACT.compiler.split(", ")
    assert f"Built with {compiler} (optimizer, 200 runs, no IR, EVM `cancun`" in README
    assert f"{library}:" in README
    assert ARTIFACT.settings["optimizer"] == {"enabled": True, "runs": 200}
    assert (ARTIFACT.settings["evmVersion"], ARTIFACT.settings["viaIR"]) == ("cancun", False)
    assert not [one for one in ARTIFACT.abi if one.get("stateMutability") == "payable"]


def _hashed(name: str, **values: object) -> bytes:
    """What a formula of the README gives, by another library's ABI encoding."""
    (formula,) = re.findall(rf"^{name} += (.*?\))$", README, re.MULTILINE | re.DOTALL)
    (inner,) = re.findall(r"abi\.encode\((.*?)\)", formula, re.DOTALL)
    types, names = zip(*(argument.split() for argument in inner.split(",")), strict=True)
    digest = keccak256(encode(types, [values[one] for one in names]))
    return keccak256(digest) if formula.count("keccak256") == 2 else digest


def test_the_formulas_give_what_is_hashed() -> None:
    ids, size = (
        {"tenantId": "acme", "jobId": "job_1"},
        dict(zip(("payloadBytes", "computeUnits", "acceptedAtUnixMs"), USAGE, strict=True)),
    )
    key = _hashed("jobKey", **ids, salt=SALT)
    result, usage = (
        _hashed("resultDigest", salt=SALT, resultKeccak=KECCAK),
        _hashed("usageDigest", **ids, **size, salt=SALT),
    )
    assert key == job_key_digest("acme", "job_1", SALT)
    assert result == result_digest_of(SALT, KECCAK)
    assert usage == usage_digest(SALT, "acme", "job_1", *USAGE)
    leaf = _hashed("leafHash", sequence=7, jobKey=key, resultDigest=result, usageDigest=usage, status=2)
    assert leaf == Leaf(7, key, result, usage, 2).hash()
