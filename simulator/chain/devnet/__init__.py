"""The devnet: an EVM chain in one process behind Ethereum JSON-RPC. py-evm executes under eth-tester's backend; the
pool, the block timer, the files and the JSON-RPC front are ours."""

from simulator.chain.devnet.server import serve

__all__ = ["serve"]
