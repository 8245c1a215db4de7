"""The accounts of a home's chain: keystores (Web3 Secret Storage, version 3) and a password that only the owner reads.

A private key leaves its keystore only in the process that signs with it. It is never in a log, an argument or the
environment, and a stolen copy of the keystores alone opens nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json
from eth_utils import to_checksum_address

from zjops.domain.errors import ChainUnavailable
from zjops.domain.ids import Ids, base58

NAMES = ("admin", "operator")
PASSWORD_FILE = "password"  # noqa: S105 - the name of a file
SCRYPT_N = 2**14
"""About 50 ms a key. The password is 32 random bytes, so that nobody guesses it however fast a guess is."""


@dataclass(frozen=True)
class Keystore:
    """A keystore file and the file with its password."""

    file: Path
    password_file: Path

    @property
    def address(self) -> str:
        """The account, which stands there in the clear. Raises `ChainUnavailable`."""
        try:
            return str(to_checksum_address(self._read()["address"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise ChainUnavailable(f"keystore {self.file} names no account; restore it") from exc

    def _read(self) -> dict[str, Any]:
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError) as exc:
            raise ChainUnavailable(
                f"keystore {self.file} is missing or damaged ({exc}); restore it or start in a new folder"
            ) from exc

    def unlock(self) -> str:
        """The private key as 0x-prefixed hex. Raises `ChainUnavailable`."""
        try:
            password = self.password_file.read_text().strip()
        except OSError as exc:
            raise ChainUnavailable(f"password file {self.password_file}: {exc.strerror}; restore it") from exc
        try:
            return "0x" + bytes(decode_keyfile_json(self._read(), password.encode())).hex()
        except (ValueError, KeyError, TypeError, NotImplementedError) as exc:
            # What the library says may quote what it was given: nothing of it is repeated.
            raise ChainUnavailable(f"keystore {self.file} does not open with {self.password_file}") from exc


@dataclass(frozen=True)
class Accounts:
    """The keystores of a home."""

    admin: Keystore
    operator: Keystore


@dataclass(frozen=True)
class Keys:
    """Private keys as 0x-prefixed hex, never shown, and the accounts that they speak for."""

    admin: str = field(repr=False)
    operator: str = field(repr=False)
    admin_address: str
    operator_address: str


def ensure_accounts(home: Path, ids: Ids, keystore_file: str = "", password_file: str = "") -> Accounts:
    """The keystores of a home, made when there are none; the operator's may be named instead."""
    folder = home / "chain"
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / PASSWORD_FILE
    _put_once(password, base58(ids.token(32)).encode())
    made = {name: Keystore(folder / f"{name}.keystore.json", password) for name in NAMES}
    if keystore_file:
        made["operator"] = Keystore(Path(keystore_file), Path(password_file or password))
    for name, store in made.items():
        if store.password_file == password:
            _ensure(store, folder / f"{name}.key", ids)
    return Accounts(**made)


def ensure_keys(home: Path, ids: Ids) -> Keys:
    """Both keys of a home, unlocked. Raises `ChainUnavailable` for an unreadable file."""
    accounts = ensure_accounts(home, ids)
    return Keys(
        accounts.admin.unlock(), accounts.operator.unlock(), accounts.admin.address, accounts.operator.address
    )  # fmt: skip


def _ensure(store: Keystore, plain: Path, ids: Ids) -> None:
    """Make a keystore, from the plain key of a home of an earlier version if there is one, which then goes."""
    if not store.file.exists():
        secret = _read_plain(plain) or ids.token(32)
        password = store.password_file.read_text().strip().encode()
        sealed = create_keyfile_json(secret, password, kdf="scrypt", iterations=SCRYPT_N)
        _put_once(store.file, msgspec.json.encode(sealed))
    former = _read_plain(plain)
    if former is not None and bytes.fromhex(store.unlock()[2:]) == former:
        plain.unlink(missing_ok=True)


def _read_plain(path: Path) -> bytes | None:
    try:
        secret = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
        if len(secret) == 32:
            return secret
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        pass
    raise ChainUnavailable(f"key {path} is damaged; restore it or start in a new folder")


def _put_once(path: Path, content: bytes) -> None:
    """Write a file of mode 600 unless it is there: of two processes at once the first wins and both read it."""
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()
