"""The chain as a verifier reads it: over the context's own RPC address, never through the API."""

from __future__ import annotations

from typing import Any

from zjops.config import Context
from zjops.domain.errors import ChainUnavailable, UsageError
from zjops.domain.merkle import keccak256

TIMEOUT_S = 10


class ChainReader:
    """Reads the registry contract of a context. Raises `ChainUnavailable`."""

    def __init__(self, context: Context) -> None:
        if context.rpc_url is None or context.contract is None:
            raise UsageError(f"context {context.name} names no chain (rpc_url, chain_id, contract, code_hash)")
        from web3 import HTTPProvider, Web3

        import contracts

        self._rpc_url = context.rpc_url
        self._web3 = Web3(HTTPProvider(context.rpc_url, request_kwargs={"timeout": TIMEOUT_S}))
        address = Web3.to_checksum_address(context.contract)
        self._address = address
        self._contract = self._web3.eth.contract(address=address, abi=contracts.load("JobRegistry").abi)

    def _ask(self, question: Any) -> Any:
        import requests
        from web3.exceptions import Web3Exception

        try:
            return question()
        except (requests.RequestException, Web3Exception, OSError, ValueError) as exc:
            raise ChainUnavailable(f"{self._rpc_url} does not answer as a chain ({type(exc).__name__}: {exc})") from exc

    def chain_id(self) -> int:
        """Which chain this is."""
        return int(self._ask(lambda: self._web3.eth.chain_id))

    def code_hash(self) -> str:
        """keccak-256 of the code at the contract's address."""
        return "0x" + keccak256(bytes(self._ask(lambda: self._web3.eth.get_code(self._address)))).hex()

    def head(self) -> int:
        """The newest block's number."""
        return int(self._ask(lambda: self._web3.eth.block_number))

    def root_of(self, first: int) -> bytes | None:
        """The root of the batch that begins with a number."""
        root = bytes(self._ask(lambda: self._contract.functions.rootOf(first).call()))
        return root if any(root) else None

    def next_sequence(self) -> int:
        """The number that the next batch will begin with."""
        return int(self._ask(lambda: self._contract.functions.nextSequence().call()))

    def committed_in(self, first: int) -> int | None:
        """The block in which a batch was committed, from the contract's own log."""
        event = self._contract.events.RootCommitted()
        logs = self._ask(lambda: event.get_logs(from_block=0, argument_filters={"firstSequence": first}))
        return int(logs[-1]["blockNumber"]) if logs else None
