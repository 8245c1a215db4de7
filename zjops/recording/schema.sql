-- The recording. Moments are Unix ms, seconds Unix s; names are those of the events and of the operators' interface.

CREATE TABLE about (
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- The newest that is known of each job, with the moment of every hop, in the order in which the jobs were first seen.
CREATE TABLE jobs (
  n INTEGER PRIMARY KEY,
  job_id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  plan TEXT NOT NULL,
  job_type TEXT NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT,
  accepted_at INTEGER NOT NULL,
  -- When the first event that was heard of it happened: before, the recording does not know it.
  seen_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  final_at INTEGER,
  attempt INTEGER NOT NULL DEFAULT 0,
  processing_ms INTEGER,
  payload_bytes INTEGER NOT NULL,
  compute_units INTEGER NOT NULL,
  charge TEXT NOT NULL,
  error_code TEXT,
  batch_id INTEGER,
  chain_sequence INTEGER,
  leaf_index INTEGER,
  tx_hash TEXT,
  block_number INTEGER,
  gas_share INTEGER,
  trace_id TEXT
) STRICT;
CREATE INDEX jobs_by_outcome ON jobs (outcome, n);
CREATE INDEX jobs_by_tenant ON jobs (tenant, n);
CREATE INDEX jobs_failed ON jobs (ended_at) WHERE error_code IS NOT NULL;
-- Jobs that something still waits for: few, and counted every second.
CREATE INDEX jobs_open ON jobs (state, coalesce(ended_at, started_at, accepted_at))
  WHERE final_at IS NULL AND state <> 'cancelled';

-- Events by the second in which they happened.
CREATE TABLE seconds (
  second INTEGER PRIMARY KEY,
  submitted INTEGER NOT NULL DEFAULT 0,
  processing INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  confirmed INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Answered requests; `bad` is what availability calls bad, the histogram's columns are those of the request log.
CREATE TABLE requests (
  second INTEGER NOT NULL,
  source TEXT NOT NULL,
  plan TEXT NOT NULL,
  total INTEGER NOT NULL,
  good INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  bad INTEGER NOT NULL,
  within_300ms INTEGER NOT NULL,
  within_500ms INTEGER NOT NULL,
  histogram TEXT NOT NULL,
  PRIMARY KEY (second, source, plan)
) STRICT, WITHOUT ROWID;

-- How many jobs waited at each stage, and since when the oldest does.
CREATE TABLE depths (
  at INTEGER NOT NULL,
  stage TEXT NOT NULL,
  jobs INTEGER NOT NULL,
  oldest_at INTEGER,
  PRIMARY KEY (at, stage)
) STRICT, WITHOUT ROWID;

-- What was read of the platform and the chain, as JSON: one row where an answer differs from the one before.
CREATE TABLE readings (
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (kind, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE batches (
  batch_id INTEGER PRIMARY KEY,
  jobs INTEGER NOT NULL,
  state TEXT NOT NULL,
  closed_at INTEGER NOT NULL,
  sent_at INTEGER,
  mined_at INTEGER,
  final_at INTEGER,
  block_number INTEGER,
  tx_hash TEXT,
  gas_used INTEGER,
  gas_price_wei TEXT,
  repairs INTEGER NOT NULL
) STRICT;
CREATE INDEX batches_by_final ON batches (final_at);

-- What operators and policies did.
CREATE TABLE acts (
  n INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  tenant TEXT,
  reason TEXT
) STRICT;
CREATE INDEX acts_by_time ON acts (at);

-- When a source did not answer, and why.
CREATE TABLE outages (
  source TEXT NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER,
  reason TEXT NOT NULL,
  PRIMARY KEY (source, since)
) STRICT, WITHOUT ROWID;
