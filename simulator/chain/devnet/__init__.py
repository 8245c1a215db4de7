"""A development chain as a process of its own: Ethereum JSON-RPC over HTTP in front of eth-tester's EVM.

`mirror` makes writes durable, `state` keeps the chain on it, `pool` decides what waits and what goes next, `node` makes
blocks, `sight` says what is seen of them, `methods` and `control` answer, `front` speaks JSON-RPC.
"""
