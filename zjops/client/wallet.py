"""An account that signs on this machine; the library that signs is loaded only where something is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zjops.client.rpc import Rpc
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainRefused, ChainUnavailable, UsageError

PASSWORD = "password"  # noqa: S105 - the name of a file
MINED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1
FEE_FACTOR = 2


def admin_key(home: Path) -> str:
    """The key of a home's administrator, who is funded on its devnet and pauses its contract. Raises `UsageError`."""
    from eth_account import Account

    folder = home / "chain"
    try:
        store = (folder / "admin.keystore.json").read_text()
        return "0x" + bytes(Account.decrypt(store, (folder / PASSWORD).read_text().strip())).hex()
    except OSError as exc:
        raise UsageError(f"there is no administrator's keystore in {home} ({exc.strerror}: {exc.filename})") from exc
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"the administrator's keystore in {home} does not open with its password") from None


def key_of(context: Context, key_file: Path | None) -> str:
    """The account to act by: of a file, or of the local platform's administrator. Raises `UsageError`."""
    if key_file is not None:
        try:
            return key_file.read_text().strip()
        except OSError as exc:
            raise UsageError(f"{key_file} cannot be read ({exc.strerror})") from exc
    if context.home is None:
        raise UsageError(f"context {context.name} has no account on this machine; name a key with --key-file")
    return admin_key(Path(context.home))


class Wallet:
    """Sends transactions of one account in order. The key is kept from every text that this makes."""

    def __init__(self, rpc: Rpc, key: str, clock: SystemClock | None = None) -> None:
        from eth_account import Account

        try:
            self._account = Account.from_key(key)
        except ValueError:
            raise UsageError("the account's key is damaged") from None
        self.rpc, self._clock = rpc, clock or SystemClock()
        self._chain_id = rpc.number("eth_chainId")
        self._nonce: int | None = None

    @property
    def address(self) -> str:
        """Its address, with checksum."""
        return str(self._account.address)

    def balance(self) -> int:
        """Its wei."""
        return self.rpc.number("eth_getBalance", self.address, "latest")

    def send(self, to: str | None, data: str, gas: int) -> str:
        """Sign and send without waiting; `to` None makes a contract. Returns the hash."""
        if self._nonce is None:
            self._nonce = self.rpc.number("eth_getTransactionCount", self.address, "pending")
        tip = self.rpc.number("eth_maxPriorityFeePerGas")
        base = int(self.rpc.block().get("baseFeePerGas", "0x0"), 16)
        fields: dict[str, Any] = {
            "type": 2, "chainId": self._chain_id, "nonce": self._nonce, "gas": gas, "value": 0, "data": data,
            "maxPriorityFeePerGas": tip, "maxFeePerGas": FEE_FACTOR * base + tip,
        }  # fmt: skip
        signed = self._account.sign_transaction(fields | ({"to": to} if to else {}))
        raw = "0x" + bytes(signed.raw_transaction).hex()
        sent = self.rpc.ask("eth_sendRawTransaction", raw, repeat=False)
        self._nonce += 1
        return str(sent)

    def mined(self, tx_hash: str, within_s: float = MINED_WITHIN_S) -> dict[str, Any]:
        """The receipt, once it is mined. Raises `ChainUnavailable` when it is not in time, `ChainRefused` on revert."""
        deadline = self._clock.monotonic() + within_s
        while True:
            found = self.rpc.ask("eth_getTransactionReceipt", tx_hash)
            if isinstance(found, dict):
                if int(found["status"], 16) != 1:
                    raise ChainRefused(f"transaction {tx_hash} was refused by the contract")
                return found
            if self._clock.monotonic() > deadline:
                raise ChainUnavailable(f"transaction {tx_hash} was not mined within {within_s:g} s")
            self._clock.pause(LOOK_EVERY_S)
