"""Accounts of a home on a fresh anvil, which knows none of them: given money once."""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils import to_checksum_address
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.types import RPCEndpoint

from zjops.domain.clock import Clock
from zjops.domain.errors import ChainUnavailable

RICH_WEI = 10**24
UP_WITHIN_S = 60.0
POLL_S = 0.05


async def fund(rpc_url: str, addresses: Sequence[str], clock: Clock) -> None:
    """Give money to accounts that never had any; waits for anvil to come up. Raises `ChainUnavailable`."""
    web3 = AsyncWeb3(AsyncHTTPProvider(rpc_url, exception_retry_configuration=None))
    deadline = clock.monotonic() + UP_WITHIN_S
    try:
        while not await web3.is_connected():
            if clock.monotonic() > deadline:
                raise ChainUnavailable(f"anvil at {rpc_url} does not answer")
            await clock.sleep(POLL_S)
        for address in map(to_checksum_address, addresses):
            if not await web3.eth.get_balance(address) and not await web3.eth.get_transaction_count(address):
                await web3.provider.make_request(RPCEndpoint("anvil_setBalance"), [address, hex(RICH_WEI)])
    finally:
        await web3.provider.disconnect()
