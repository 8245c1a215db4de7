"""The Chain port on a real JSON-RPC endpoint: the JobRegistry contract through web3."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar, cast

import aiohttp
from eth_account import Account
from eth_typing import BlockNumber, HexStr
from eth_utils import to_checksum_address
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import (
    BlockNotFound,
    ContractCustomError,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
    Web3ValueError,
)
from web3.types import BlockIdentifier, TxReceipt

import contracts
from simulator.chain.port import ChainIdentity, Commit, Head, Outlook, Receipt, Sent, Signed
from simulator.policy.fees import Fees
from zjops.domain.blocks import Pieces, Since
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainRefused, ChainUnavailable
from zjops.domain.merkle import keccak256

T = TypeVar("T")
ANSWER_WITHIN_S = 5.0
DEPLOY_WITHIN_S = 60.0
POLL_S = 0.05
ADMIN_DELAY_S = 86_400
CONTRACT = "JobRegistry"
TOO_MANY = 429
PAUSED = "EnforcedPause()"
LIMITED = (-32005, TOO_MANY)
"""What nodes answer in JSON-RPC when they are asked too often (EIP-1474)."""
TOO_LONG = ("range", "results", "blocks")
"""Words of those that answer the same to a question about too many blocks at once."""
NOT_THIS_WAY = (400, 413)
"""By which HTTP statuses nodes refuse what was asked, and not whoever asks."""
_SAID: tuple[tuple[Sent, tuple[str, ...]], ...] = (
    (Sent.KNOWN, ("already known", "already imported", "known transaction", "alreadyknown", "existing tx with same")),
    (Sent.NONCE_USED, ("nonce too low", "nonce is too low", "oldnonce")),
    (Sent.UNDERPRICED, ("replacement transaction underpriced", "not replace existing", "to replace existing",
                        "replacementnotallowed")),
    (Sent.FEE_TOO_LOW, ("less than block base fee", "below current base fee", "transaction underpriced", "fee too low",
                        "feetoolow", "below configured minimum", "below chain minimum")),
    (Sent.UNDERPRICED, ("underpriced",)),
    (Sent.NO_FUNDS, ("insufficient funds", "insufficientfunds", "upfront cost exceeds")),
)  # fmt: skip
"""Nodes agree on no codes for these; their words are those of geth, Besu, Nethermind, Erigon, Reth and anvil. The first
that fits counts."""


def what_it_said(words: str) -> Sent | None:
    """What a node's refusal of a transaction means; None for one that is of no known kind."""
    lowered = words.lower()
    return next((meaning for meaning, known in _SAID if any(part in lowered for part in known)), None)


def _named_error(abi: list[dict[str, Any]], output: str) -> str:
    """A custom error with its arguments, as `UnexpectedSequence(5, 7)`."""
    from eth_abi import decode

    raw = bytes.fromhex(output.removeprefix("0x"))
    for item in abi:
        if item["type"] == "error":
            types = [i["type"] for i in item["inputs"]]
            if keccak256(f"{item['name']}({','.join(types)})".encode())[:4] == raw[:4]:
                return f"{item['name']}({', '.join(map(str, decode(types, raw[4:])))})"
    return f"revert {output[:74]}"


@contextlib.contextmanager
def _translating(abi: list[dict[str, Any]]) -> Iterator[None]:
    """Only errors of this project get out."""
    try:
        yield
    except (TransactionNotFound, BlockNotFound):
        # Not an error of the chain: whoever asked knows what it means.
        raise
    except (ContractCustomError, ContractLogicError) as exc:
        said = exc.data if isinstance(exc.data, str) else ""
        named = _named_error(abi, said) if len(said) >= 10 else str(exc)
        raise ChainRefused(named, "contract_paused" if named == PAUSED else "refused") from exc
    except Web3RPCError as exc:
        raise _rpc_error(exc) from exc
    except aiohttp.ClientResponseError as exc:
        if exc.status in NOT_THIS_WAY:
            raise ChainRefused(f"the chain answers by HTTP {exc.status} {exc.message}".strip()) from exc
        reason = "rpc_rate_limited" if exc.status == TOO_MANY else "rpc_unavailable"
        raise ChainUnavailable(f"the chain answers by HTTP {exc.status} {exc.message}".strip(), reason) from exc
    except TimeoutError as exc:
        raise ChainUnavailable(f"the chain does not answer within {ANSWER_WITHIN_S:.0f} s", "rpc_slow") from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise ChainUnavailable(f"the chain does not answer: {exc or type(exc).__name__}") from exc
    except (Web3Exception, Web3ValueError, ValueError) as exc:
        raise ChainUnavailable(f"the chain answers strangely: {exc}") from exc


def _rpc_error(exc: Web3RPCError) -> ChainRefused | ChainUnavailable:
    """What a node's error object says; that it is asked too often or lags behind is no refusal."""
    found = (exc.rpc_response or {}).get("error", {})
    detail: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    message = str(detail.get("message", exc))
    if detail.get("code") in LIMITED and not any(word in message.lower() for word in TOO_LONG):
        return ChainUnavailable(f"the chain is asked too often: {message}", "rpc_rate_limited")
    if "header not found" in message or "unknown block" in message:
        return ChainUnavailable(f"the node is behind: {message}", "node_behind")
    return ChainRefused(message)


def _client(rpc_url: str) -> AsyncWeb3[AsyncHTTPProvider]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    # The relayer decides what is tried again: a library that repeats by itself hides an outage from it.
    provider = AsyncHTTPProvider(rpc_url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)
    return AsyncWeb3(provider)


class Web3Chain:
    """The contract at an address, spoken to by the operator's key."""

    def __init__(
        self, rpc_url: str, *, contract: str, operator_key: str, chain_id: int, code_hash: str | None = None
    ) -> None:
        self._rpc_url, self._chain_id, self._code_hash = rpc_url, chain_id, code_hash
        self._address = to_checksum_address(contract)
        self._account = Account.from_key(operator_key)
        self._artifact = contracts.load(CONTRACT)
        self._web3 = _client(rpc_url)
        self._contract = self._web3.eth.contract(address=self._address, abi=self._artifact.abi)

    @property
    def sender(self) -> str:
        return str(self._account.address)

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        with contextlib.suppress(Exception):  # nothing is left to be done when closing fails
            await self._web3.provider.disconnect()

    async def _ask(self, question: Awaitable[T]) -> T:
        with _translating(self._artifact.abi):
            return await question

    async def identity(self) -> ChainIdentity:
        eth = self._web3.eth
        found = int(await self._ask(eth.chain_id))
        if found != self._chain_id:
            raise ChainRefused(f"{self._rpc_url} is chain {found}, not {self._chain_id}", "wrong_chain")
        code = bytes(await self._ask(eth.get_code(self._address)))
        if not code:
            raise ChainRefused(f"there is no contract at {self._address} on chain {found}", "wrong_contract")
        code_hash = "0x" + keccak256(code).hex()
        if self._code_hash not in (None, code_hash):
            raise ChainRefused(f"another contract stands at {self._address} on chain {found}", "wrong_contract")
        return ChainIdentity(found, self._address, code_hash)

    async def block(self, at: int | str) -> Head | None:
        try:
            found = await self._ask(self._web3.eth.get_block(cast("BlockIdentifier", at)))
        except BlockNotFound:
            return None
        hashes = (HexBytes(found[name]).to_0x_hex() for name in ("hash", "parentHash"))
        return Head(int(found["number"]), next(hashes), int(found["timestamp"]), next(hashes))

    async def next_sequence(self, at: int | str = "latest") -> int:
        question = self._contract.functions.nextSequence().call(block_identifier=cast("BlockIdentifier", at))
        return int(await self._ask(question))

    async def root_of(self, first: int, at: int | str = "latest") -> bytes | None:
        question = self._contract.functions.rootOf(first).call(block_identifier=cast("BlockIdentifier", at))
        root = bytes(await self._ask(question))
        return root if any(root) else None

    async def outlook(self) -> Outlook:
        eth, sender = self._web3.eth, self._account.address
        block, nonce, pending, balance, tip = await asyncio.gather(
            self._ask(eth.get_block("latest")), self._ask(eth.get_transaction_count(sender, "latest")),
            self._ask(eth.get_transaction_count(sender, "pending")), self._ask(eth.get_balance(sender)),
            self._ask(eth.max_priority_fee),
        )  # fmt: skip
        return Outlook(int(nonce), int(pending), int(balance), int(block["baseFeePerGas"]), int(tip))

    def _encoded(self, commit: Commit) -> str:
        return str(self._contract.encode_abi("commitRoot", args=[commit.first, commit.count, commit.root]))

    async def estimate(self, commit: Commit) -> int:
        call = self._contract.functions.commitRoot(commit.first, commit.count, commit.root)
        return int(await self._ask(call.estimate_gas({"from": self._account.address})))

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        fields = {
            "to": self._address, "value": 0, "data": self._encoded(commit), "nonce": nonce,
            "gas": gas, "maxFeePerGas": fees.max_fee, "maxPriorityFeePerGas": fees.max_tip, "chainId": self._chain_id,
            "type": 2,
        }  # fmt: skip
        signed = self._account.sign_transaction(fields)
        return Signed(HexBytes(signed.hash).to_0x_hex(), bytes(signed.raw_transaction))

    async def send(self, raw: bytes) -> Sent:
        try:
            await self._ask(self._web3.eth.send_raw_transaction(raw))
        except ChainRefused as exc:
            said = what_it_said(str(exc))
            if said is None:
                raise
            return said
        return Sent.TAKEN

    async def receipt(self, tx_hash: str) -> Receipt | None:
        try:
            found = await self._ask(self._web3.eth.get_transaction_receipt(HexStr(tx_hash)))
        except TransactionNotFound:
            return None
        return _receipt(found)

    async def find_root(self, first: int) -> Receipt | None:
        if await self.root_of(first) is None:
            return None
        event, head = self._contract.events.RootCommitted(), int(await self._ask(self._web3.eth.block_number))
        pieces = Pieces(await self._deployed_at(head), head)
        while (piece := pieces.piece) is not None:
            question = event.get_logs(
                from_block=BlockNumber(piece[0]), to_block=BlockNumber(piece[1]),
                argument_filters={"firstSequence": first},
            )  # fmt: skip
            try:
                found = list(await self._ask(question))
            except ChainRefused:
                if not pieces.refused():
                    raise
                continue
            if found:
                return await self.receipt(HexBytes(found[-1]["transactionHash"]).to_0x_hex())
            pieces.answered()
        return None

    async def _deployed_at(self, head: int) -> int:
        """The first block in which the contract's code stands; the chain's first where old states are refused."""
        since = Since(head)
        while (at := since.ask) is not None:
            try:
                since.told(bool(await self._ask(self._web3.eth.get_code(self._address, BlockNumber(at)))))
            except (ChainRefused, ChainUnavailable) as exc:
                if isinstance(exc, ChainUnavailable) and exc.reason != "node_behind":
                    raise
                return 0
        return since.found


def _receipt(found: TxReceipt) -> Receipt:
    return Receipt(
        HexBytes(found["transactionHash"]).to_0x_hex(), int(found["blockNumber"]),
        HexBytes(found["blockHash"]).to_0x_hex(), int(found["status"]), int(found["gasUsed"]),
        int(found["effectiveGasPrice"]),
    )  # fmt: skip


async def deploy(rpc_url: str, *, admin_key: str, operator: str, chain_id: int, clock: Clock) -> tuple[str, str]:
    """Deploy the contract; returns its address and the hash of its code. Waits for the chain to come up.

    The admin's key also pauses; whoever wants them apart grants the role to another account.
    """
    web3, artifact, account = _client(rpc_url), contracts.load(CONTRACT), Account.from_key(admin_key)
    deadline = clock.monotonic() + DEPLOY_WITHIN_S
    try:
        nonce = await _patiently(web3, account.address, clock, deadline)
        with _translating(artifact.abi):
            factory = web3.eth.contract(abi=artifact.abi, bytecode=HexStr(artifact.bytecode))
            call = factory.constructor(ADMIN_DELAY_S, account.address, operator, account.address)
            built = await call.build_transaction({"from": account.address, "nonce": nonce, "chainId": chain_id})
            sent = await web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)
        return await _deployed(web3, sent, clock, deadline)
    finally:
        await web3.provider.disconnect()


async def _patiently(web3: AsyncWeb3[AsyncHTTPProvider], address: Any, clock: Clock, deadline: float) -> int:
    """The account's next nonce, asked until the chain is there."""
    while True:
        try:
            with _translating([]):
                return int(await web3.eth.get_transaction_count(address, "pending"))
        except ChainUnavailable:
            if clock.monotonic() > deadline:
                raise
            await clock.sleep(POLL_S)


async def _deployed(
    web3: AsyncWeb3[AsyncHTTPProvider], sent: HexBytes, clock: Clock, deadline: float
) -> tuple[str, str]:
    while clock.monotonic() < deadline:
        with _translating([]), contextlib.suppress(TransactionNotFound):
            receipt = await web3.eth.get_transaction_receipt(sent)
            if receipt["status"] != 1 or receipt["contractAddress"] is None:
                raise ChainRefused("the contract's constructor refused")
            code = bytes(await web3.eth.get_code(receipt["contractAddress"]))
            return str(receipt["contractAddress"]), "0x" + keccak256(code).hex()
        await clock.sleep(POLL_S)
    raise ChainUnavailable("the contract was not mined in time")
