"""Foundry's anvil in place of the devnet: the real program, found on this machine, its state in the home.

As a program, `python -m simulator.supervisor.anvil PARENT STATE PROGRAM ARGS…`, it makes sure of the state file and
becomes anvil. Anvil writes its state once a second and in place: a kill loses the last second, the transactions that
wait, and what calls into older blocks need; in the middle of writing it spoils the file, so the last good one is kept
beside.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path

from simulator.config import Settings
from simulator.process_death import die_with_parent
from simulator.supervisor.ports import HOST
from simulator.supervisor.readiness import rpc_ready
from simulator.supervisor.spec import ChildSpec
from zjops.domain.errors import UsageError

STATE_FILE = "anvil.json"
CHECKOUT = Path(__file__).parents[2] / ".anvil" / "node_modules"
"""Where `make anvil` puts it."""


def anvil_binary(chosen: str = "") -> Path:
    """The program: the one that a setting names, or on PATH, or from `make anvil`. Raises `UsageError`."""
    found = chosen or shutil.which("anvil") or next(map(str, CHECKOUT.glob("@foundry-rs/anvil-*/bin/anvil")), "")
    path = Path(found).expanduser().resolve() if found else Path()
    if not found or not path.is_file():
        where = f"there is no anvil at {chosen}" if chosen else "anvil is not on this machine"
        raise UsageError(f"{where}; install it with: make anvil (or name it by --set anvil_binary=PATH)")
    if path.name == "bin.mjs":
        # npm's wrapper would outlive, or be outlived by, the program that it starts.
        return next(path.parents[1].glob("anvil-*/bin/anvil"), path)
    return path


def check_home(home: Path, chain: str) -> None:
    """A home keeps the chain that it began with. Raises `UsageError`."""
    former = {"devnet": "devnet.sqlite", "anvil": STATE_FILE}
    for name, file in former.items():
        if name != chain and (home / "chain" / file).exists():
            raise UsageError(f"{home} began with --chain {name}; start {chain} in a new folder with --home")


def anvil_spec(home: Path, settings: Settings, port: int) -> ChildSpec:
    """How anvil is started: loopback, our chain id and block time, none of its well-known accounts."""
    state = home / "chain" / STATE_FILE
    options = (
        "--host", HOST, "--port", str(port), "--chain-id", str(settings.chain_id), "--accounts", "0",
        "--block-time", str(settings.block_time_s), "--slots-in-an-epoch", "1", "--hardfork", "cancun",
        "--state", str(state), "--state-interval", "1", "--quiet", "--no-cors",
    )  # fmt: skip
    binary = str(anvil_binary(settings.anvil_binary))
    argv = (sys.executable, "-m", "simulator.supervisor.anvil", str(os.getpid()), str(state), binary, *options)
    return ChildSpec("chain", ("chain",), argv, partial(rpc_ready, port, settings.chain_id), port)


def keep_good_state(state: Path) -> None:
    """Copy a whole state file aside; put the last whole one in place of a spoilt one."""
    state.parent.mkdir(parents=True, exist_ok=True)
    good, part = state.with_suffix(".good"), state.with_suffix(".part")
    try:
        json.loads(state.read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        if good.exists():
            shutil.copyfile(good, part)
            part.replace(state)
        else:
            state.unlink()
        return
    shutil.copyfile(state, part)
    part.replace(good)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    keep_good_state(Path(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - no shell: the point is to become the program
