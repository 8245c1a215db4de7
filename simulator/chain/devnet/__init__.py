"""A development chain as a process of its own: Ethereum JSON-RPC over HTTP in front of eth-tester's EVM.

`state` keeps the chain and its key-value store, `pool` decides what waits and what goes next, `node` makes blocks,
`methods` answers, `front` speaks JSON-RPC.
"""
