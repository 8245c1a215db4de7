"""The operator's toolkit for an asynchronous jobs platform whose outcomes are confirmed on an EVM chain."""

__version__ = "0.1.0"
