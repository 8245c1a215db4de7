"""The proof after every run: what clients were told, the store, the log, the chain and the bill say the same.

`history` holds what clients were told, `records` reads the export and the log, `checks` compares them a job at a time,
`batches` compares them with the chain, `places` says in which blocks they are and were, `run` does it all and waits for
what is still on its way.
"""
