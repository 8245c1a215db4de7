"""The confirmation chain: one port, a real EVM and memory behind it."""
