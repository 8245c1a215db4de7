-- The store's tables. Times are Unix ms; ids of jobs are the 16 bytes of their UUID; digests are 32 bytes.

CREATE TABLE IF NOT EXISTS tenants (
  tenant TEXT PRIMARY KEY, name TEXT, plan TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'active',
  overrides TEXT NOT NULL DEFAULT '{}', created_at INTEGER NOT NULL,
  active_jobs INTEGER NOT NULL DEFAULT 0
) STRICT;

-- OAuth clients: the secret is kept as a salted hash.
CREATE TABLE IF NOT EXISTS clients (
  client_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, secret_hash BLOB NOT NULL, secret_salt BLOB NOT NULL,
  scopes TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT;

-- Signing keys of the issuer, private part as JWK.
CREATE TABLE IF NOT EXISTS signing_keys (
  kid TEXT PRIMARY KEY, jwk TEXT NOT NULL, created_at INTEGER NOT NULL, active INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE IF NOT EXISTS jobs (
  id BLOB PRIMARY KEY, tenant TEXT NOT NULL, plan TEXT NOT NULL, job_type TEXT NOT NULL, priority INTEGER NOT NULL,
  timeout_s INTEGER NOT NULL, status TEXT NOT NULL, accepted_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  started_at INTEGER, completed_at INTEGER, cancel_requested_at INTEGER, progress INTEGER NOT NULL DEFAULT 0,
  payload_bytes INTEGER NOT NULL, compute_units INTEGER NOT NULL, charge TEXT NOT NULL DEFAULT 'held',
  parameters BLOB, parameters_sha256 TEXT, callback_url TEXT, metadata BLOB, salt BLOB NOT NULL, traceparent TEXT,
  attempt INTEGER NOT NULL DEFAULT 0, attempt_base INTEGER NOT NULL DEFAULT 0, retry_at INTEGER,
  result BLOB, result_sha256 TEXT, result_bytes INTEGER, result_keccak BLOB, processing_ms INTEGER,
  error_code TEXT, error_message TEXT, dead_letter INTEGER NOT NULL DEFAULT 0,
  settled_no INTEGER, batch_id INTEGER, chain_sequence INTEGER, leaf_index INTEGER,
  tx_hash TEXT, block_number INTEGER, gas_share INTEGER, confirmed_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, accepted_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS jobs_to_anchor ON jobs (settled_no) WHERE settled_no IS NOT NULL AND batch_id IS NULL;
CREATE INDEX IF NOT EXISTS jobs_in_batch ON jobs (batch_id, leaf_index) WHERE batch_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_active ON jobs (tenant) WHERE status IN ('pending', 'processing');
CREATE INDEX IF NOT EXISTS jobs_to_retry ON jobs (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_to_cancel ON jobs (cancel_requested_at)
  WHERE cancel_requested_at IS NOT NULL AND status = 'processing';

-- One row an accepted key: only 202 is stored, with the job (C90).
CREATE TABLE IF NOT EXISTS idempotency (
  scope_hash BLOB PRIMARY KEY, job_id BLOB NOT NULL, idempotency_key TEXT NOT NULL, fingerprint BLOB NOT NULL,
  response BLOB NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_by_job ON idempotency (job_id);

-- Compute units of a tenant's month: held by running jobs, charged by ended ones.
CREATE TABLE IF NOT EXISTS usage (
  tenant TEXT NOT NULL, month TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0, charged INTEGER NOT NULL DEFAULT 0,
  released INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (tenant, month)
) STRICT, WITHOUT ROWID;

-- Every event and every work message leaves from here; `n` is dense and given inside the transaction.
CREATE TABLE IF NOT EXISTS outbox (
  n INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, subject TEXT NOT NULL, msg_id TEXT NOT NULL,
  payload BLOB NOT NULL, traceparent TEXT, created_at INTEGER NOT NULL, published_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_of_stream ON outbox (stream, n);
CREATE INDEX IF NOT EXISTS outbox_unpublished ON outbox (stream, n) WHERE published_at IS NULL;
CREATE INDEX IF NOT EXISTS outbox_by_msg_id ON outbox (msg_id);
CREATE INDEX IF NOT EXISTS outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT, first_sequence INTEGER NOT NULL UNIQUE, count INTEGER NOT NULL,
  root BLOB NOT NULL, state TEXT NOT NULL, closed_at INTEGER NOT NULL, tx_hash TEXT, sent_at INTEGER,
  block_number INTEGER, block_hash TEXT, gas_used INTEGER, gas_price INTEGER, final_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS batches_open ON batches (id) WHERE state <> 'final';

CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit_log (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  target TEXT, reason TEXT, details TEXT NOT NULL DEFAULT '{}'
) STRICT;

-- Accounts that share one allowance (R63): tenants with the same account name.
CREATE TABLE IF NOT EXISTS links (
  tenant TEXT PRIMARY KEY, account TEXT NOT NULL, since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_account ON links (account);
