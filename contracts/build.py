"""Compiles the contracts with a compiler that is on the machine, and writes their artifacts.

    python -m contracts.build              compile and write
    python -m contracts.build --check      compile and compare; exit 1 on a difference
    python -m contracts.build --install    first install the compiler and OpenZeppelin by npm, by name

The compiler is a native `solc` of the right version, or the npm package `solc` behind a small wrapper, driven through
py-solc-x with standard JSON. Metadata carries no hash, so the code does not depend on where it was built.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts import ARTIFACTS, FOLDER, SOURCES, source_hash

SOLC_VERSION = "0.8.37"
OPENZEPPELIN_VERSION = "5.7.0"
# The oracle of the tests of proofs; nothing that is built needs it.
MERKLE_TREE_VERSION = "1.0.8"
CONTRACTS = {"JobRegistry": "JobRegistry.sol", "OriginalConfirmations": "fixtures/OriginalConfirmations.sol"}
BUILD = FOLDER / ".build"
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "cancun",
    "viaIR": False,
    "metadata": {"bytecodeHash": "none"},
}
OUTPUT = ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"]

# solcjs prints a line about an SMT solver before its JSON; whoever reads the JSON must not see it.
WRAPPER = """\
#!/usr/bin/env node
const solc = require("solc");
if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface\\nVersion: " + solc.version());
} else {
  console.log(solc.compile(require("fs").readFileSync(0, "utf8")));
}
"""


class NoCompiler(Exception):
    """No compiler, or no OpenZeppelin, is on this machine."""


class Warned(Exception):
    """The compiler has something to say against a source."""


def install(folder: Path = BUILD) -> None:
    """Put compiler and OpenZeppelin into the build folder by npm. Raises `NoCompiler`."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoCompiler("npm is missing; install node to build the contracts (running them needs neither)")
    folder.mkdir(exist_ok=True)
    packages = (
        f"solc@{SOLC_VERSION}", f"@openzeppelin/contracts@{OPENZEPPELIN_VERSION}",
        f"@openzeppelin/merkle-tree@{MERKLE_TREE_VERSION}",
    )  # fmt: skip
    done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent", *packages], cwd=folder, check=False)
    if done.returncode:
        raise NoCompiler("npm could not install the compiler")


def compiler(folder: Path = BUILD) -> Path:
    """The compiler's program. Raises `NoCompiler`."""
    if not (folder / "node_modules/@openzeppelin/contracts/package.json").exists():
        raise NoCompiler("OpenZeppelin is missing; run: python -m contracts.build --install")
    native = shutil.which("solc")
    if native is not None:
        told = subprocess.run([native, "--version"], capture_output=True, text=True, check=False).stdout
        if SOLC_VERSION in told:
            return Path(native)
    if shutil.which("node") is None or not (folder / "node_modules/solc/package.json").exists():
        raise NoCompiler("no Solidity compiler here; run: python -m contracts.build --install")
    wrapper = folder / "solc"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    return wrapper


def _add(folder: Path, name: str, found: dict[str, dict[str, str]]) -> None:
    """Collect a source of our own or of OpenZeppelin, and what it imports."""
    if name in found:
        return
    text = (folder / "node_modules" / name if name.startswith("@") else SOURCES / name).read_text()
    found[name] = {"content": text}
    for line in text.splitlines():
        if line.startswith(("import", "} from")) and '"' in line:
            target = line.split('"')[1]
            _add(folder, _normal(Path(target) if target.startswith("@") else Path(name).parent / target), found)


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def asked(name: str, folder: Path = BUILD) -> dict[str, Any]:
    """The standard JSON input for one contract: its artifact depends on its own sources and on nothing beside them."""
    sources: dict[str, dict[str, str]] = {}
    _add(folder, CONTRACTS[name], sources)
    return {
        "language": "Solidity",
        "sources": sources,
        "settings": SETTINGS | {"outputSelection": {"*": {"*": OUTPUT}}},
    }


def compile_all(folder: Path = BUILD) -> dict[str, dict[str, Any]]:
    """Every contract's artifact. Raises `NoCompiler`, `Warned`, or what py-solc-x raises for an error in a source."""
    import solcx

    program = compiler(folder)
    made: dict[str, dict[str, Any]] = {}
    for name, path in CONTRACTS.items():
        out = solcx.compile_standard(asked(name, folder), solc_binary=program)
        made[name] = _artifact(path, out)
    return made


def _artifact(path: str, out: dict[str, Any]) -> dict[str, Any]:
    if out.get("errors"):
        # py-solc-x raises for an error; whatever is left is a warning, and a source is ready without any.
        raise Warned("\n".join(error["formattedMessage"] for error in out["errors"]))
    made = out["contracts"][path][Path(path).stem]
    evm = made["evm"]
    layout = made["storageLayout"]
    storage = [{k: v for k, v in slot.items() if k != "astId"} for slot in layout["storage"]]
    return {
        "abi": made["abi"],
        "bytecode": "0x" + evm["bytecode"]["object"],
        "deployed_bytecode": "0x" + evm["deployedBytecode"]["object"],
        "immutable_references": evm["deployedBytecode"]["immutableReferences"],
        "storage_layout": {"storage": storage, "types": layout["types"]},
        "source_hash": source_hash(path),
        "compiler": f"solc {SOLC_VERSION}, OpenZeppelin {OPENZEPPELIN_VERSION}",
        "settings": SETTINGS,
    }


def _render(artifact: dict[str, Any]) -> str:
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed, write nothing")
    parser.add_argument("--install", action="store_true", help="install compiler and OpenZeppelin by npm first")
    args = parser.parse_args()
    try:
        if args.install:
            install()
        made = compile_all()
    except (NoCompiler, Warned) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    return _compare(made) if args.check else _write(made)


def _compare(made: dict[str, dict[str, Any]]) -> int:
    status = 0
    for name, artifact in made.items():
        path = ARTIFACTS / f"{name}.json"
        same = path.exists() and path.read_text() == _render(artifact)
        print(f"{name}: {'the same' if same else 'DIFFERS'}")
        status |= not same
    return status


def _write(made: dict[str, dict[str, Any]]) -> int:
    for name, artifact in made.items():
        (ARTIFACTS / f"{name}.json").write_text(_render(artifact))
        print(f"{name}: {len(artifact['deployed_bytecode']) // 2 - 1} bytes of code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
