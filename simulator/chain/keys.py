"""The accounts of a home's chain: made once, kept in files that only their owner reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from eth_keys.datatypes import PrivateKey
from eth_keys.exceptions import ValidationError

from zjops.domain.errors import ChainUnavailable
from zjops.domain.ids import Ids


@dataclass(frozen=True, repr=False)
class Keys:
    """Private keys as 0x-prefixed hex, never shown, and the accounts that they speak for."""

    admin: str
    operator: str
    admin_address: str
    operator_address: str


def ensure_keys(home: Path, ids: Ids) -> Keys:
    """The keys of a home, made when there are none. Raises `ChainUnavailable` for an unreadable file."""
    folder = home / "chain"
    folder.mkdir(parents=True, exist_ok=True)
    admin, operator = (_ensure(folder / f"{name}.key", ids) for name in ("admin", "operator"))
    return Keys(admin, operator, _address(admin, folder), _address(operator, folder))


def _ensure(path: Path, ids: Ids) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("0x" + ids.token(32).hex())
        try:
            # Two processes may make keys at once: the first link wins and both read it.
            os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            beside.unlink()
        return path.read_text().strip()


def _address(key: str, folder: Path) -> str:
    try:
        return str(PrivateKey(bytes.fromhex(key.removeprefix("0x"))).public_key.to_checksum_address())
    except (ValueError, ValidationError) as exc:
        raise ChainUnavailable(f"a key in {folder} is damaged; restore it or start in a new folder") from exc
