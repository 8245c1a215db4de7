-- The devnet's file. Everything that a block changes is written in one transaction.

-- Format and identity of the chain in this file.
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- The EVM's key-value store: trie nodes, code, headers, lookups. The first byte of a value says how it is packed.
CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- Which blocks hold a log of an address or topic, so that a filter never walks the chain.
CREATE TABLE IF NOT EXISTS marks (mark BLOB NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (mark, block)) WITHOUT ROWID;

-- Accepted transactions that wait, in order of arrival.
CREATE TABLE IF NOT EXISTS waiting (place INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, raw BLOB NOT NULL);
