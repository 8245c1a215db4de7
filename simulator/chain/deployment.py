"""Which contract this home's chain carries: written once after the deployment, read by every role."""

from __future__ import annotations

from pathlib import Path

import msgspec

from simulator.chain.port import ChainIdentity
from zjops.domain.errors import ChainUnavailable

CONTRACT_FILE = "contract.json"


def contract_path(home: Path) -> Path:
    """Where the deployment of a home is written down."""
    return home / "chain" / CONTRACT_FILE


def load_deployment(home: Path) -> ChainIdentity | None:
    """The deployment of a home, None before there is one. Raises `ChainUnavailable` for an unreadable file."""
    try:
        return msgspec.json.decode(contract_path(home).read_bytes(), type=ChainIdentity)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise ChainUnavailable(f"{contract_path(home)} cannot be read ({exc}); start in a new folder") from exc


def save_deployment(home: Path, identity: ChainIdentity) -> None:
    """Write a deployment down, beside and then renamed."""
    target = contract_path(home)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(identity))
    beside.replace(target)
