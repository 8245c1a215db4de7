-- The store's tables. Times are Unix ms; ids of jobs are the 16 bytes of their UUID; digests are 32 bytes.

CREATE TABLE IF NOT EXISTS tenants (
  tenant TEXT PRIMARY KEY, name TEXT, plan TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'active',
  overrides TEXT NOT NULL DEFAULT '{}', created_at INTEGER NOT NULL,
  active_jobs INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Plans that tenants move to later: a downgrade waits for the next month (S10).
CREATE TABLE IF NOT EXISTS plan_changes (
  tenant TEXT PRIMARY KEY, plan TEXT NOT NULL, at INTEGER NOT NULL, reason TEXT
) STRICT, WITHOUT ROWID;

-- OAuth clients: the secret is kept as a salted hash.
CREATE TABLE IF NOT EXISTS clients (
  client_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, secret_hash BLOB NOT NULL, secret_salt BLOB NOT NULL,
  scopes TEXT NOT NULL, created_at INTEGER NOT NULL
) STRICT;

-- Signing keys of the issuer, private part as JWK.
CREATE TABLE IF NOT EXISTS signing_keys (
  kid TEXT PRIMARY KEY, jwk TEXT NOT NULL, created_at INTEGER NOT NULL, active INTEGER NOT NULL DEFAULT 1
) STRICT;

-- With row numbers: rows come at its end, and a table without them splits pages all the time where rows are this long.
CREATE TABLE IF NOT EXISTS jobs (
  id BLOB PRIMARY KEY, idempotency_key BLOB, tenant TEXT NOT NULL, plan TEXT NOT NULL, job_type TEXT NOT NULL,
  priority INTEGER NOT NULL,
  timeout_s INTEGER NOT NULL, status TEXT NOT NULL, accepted_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  started_at INTEGER, completed_at INTEGER, cancel_requested_at INTEGER, progress INTEGER NOT NULL DEFAULT 0,
  payload_bytes INTEGER NOT NULL, compute_units INTEGER NOT NULL, charge TEXT NOT NULL DEFAULT 'held',
  parameters BLOB, parameters_sha256 TEXT, callback_url TEXT, metadata BLOB, salt BLOB NOT NULL, traceparent TEXT,
  attempt INTEGER NOT NULL DEFAULT 0, attempt_base INTEGER NOT NULL DEFAULT 0, retry_at INTEGER,
  result BLOB, result_sha256 TEXT, result_bytes INTEGER, result_keccak BLOB, processing_ms INTEGER,
  error_code TEXT, error_message TEXT, dead_letter INTEGER NOT NULL DEFAULT 0,
  settled_no INTEGER, batch_id INTEGER, chain_sequence INTEGER, leaf_index INTEGER,
  tx_hash TEXT, block_number INTEGER, gas_share INTEGER, confirmed_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_tenant ON jobs (tenant, accepted_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS jobs_dead ON jobs (id) WHERE dead_letter = 1;
CREATE INDEX IF NOT EXISTS jobs_to_anchor ON jobs (settled_no) WHERE settled_no IS NOT NULL AND batch_id IS NULL;
CREATE INDEX IF NOT EXISTS jobs_in_batch ON jobs (batch_id, leaf_index) WHERE batch_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_to_retry ON jobs (retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_to_cancel ON jobs (cancel_requested_at)
  WHERE cancel_requested_at IS NOT NULL AND status = 'processing';

-- Attempts of jobs that needed more than one: a job that ends with its first has no row. `outcome` is NULL while one
-- runs, and stays so where no word of its end came.
CREATE TABLE IF NOT EXISTS job_attempts (
  job_id BLOB NOT NULL, n INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER, outcome TEXT,
  error_code TEXT, error_message TEXT, next_at INTEGER, PRIMARY KEY (job_id, n)
) STRICT, WITHOUT ROWID;

-- One row an accepted key: only 202 is stored, with the job (C90).
-- The answer is not kept: it follows, byte for byte, from the job. Keys come in no order, so a group of submissions
-- touches about as many pages as it has keys: both digests are 16 bytes, which halves what a commit must write.
CREATE TABLE IF NOT EXISTS idempotency (
  scope_hash BLOB PRIMARY KEY, job_id BLOB NOT NULL, fingerprint BLOB NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Compute units of a tenant's month: held by running jobs, charged by ended ones.
CREATE TABLE IF NOT EXISTS usage (
  tenant TEXT NOT NULL, month TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0, charged INTEGER NOT NULL DEFAULT 0,
  released INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (tenant, month)
) STRICT, WITHOUT ROWID;

-- The same by the day of acceptance, with how many jobs that were and how many of them are charged.
CREATE TABLE IF NOT EXISTS usage_days (
  tenant TEXT NOT NULL, day TEXT NOT NULL, jobs INTEGER NOT NULL DEFAULT 0, charged_jobs INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0, charged INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, day)
) STRICT, WITHOUT ROWID;

-- Credits of tenants (S11), each by its own id, which is the key of the request that granted it. Micro-dollars.
CREATE TABLE IF NOT EXISTS credits (
  n INTEGER PRIMARY KEY AUTOINCREMENT, credit_id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, microusd INTEGER NOT NULL,
  month TEXT NOT NULL, reason TEXT NOT NULL, job_id BLOB, granted_by TEXT NOT NULL, granted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS credits_by_tenant ON credits (tenant, n);

-- Every event and every work message leaves from here; `n` is dense, given inside the transaction, and never given
-- again, because the last row is never purged.
CREATE TABLE IF NOT EXISTS outbox (
  n INTEGER PRIMARY KEY, stream TEXT NOT NULL, subject TEXT NOT NULL, msg_id TEXT NOT NULL,
  payload BLOB NOT NULL, traceparent TEXT, created_at INTEGER NOT NULL
) STRICT;
-- When all rows up to a number had left. A mark in each row would write every row twice.
CREATE TABLE IF NOT EXISTS outbox_marks (upto INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT, first_sequence INTEGER NOT NULL UNIQUE, count INTEGER NOT NULL,
  root BLOB NOT NULL, state TEXT NOT NULL, closed_at INTEGER NOT NULL, tx_hash TEXT, sent_at INTEGER,
  block_number INTEGER, block_hash TEXT, gas_used INTEGER, gas_price INTEGER, final_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS batches_open ON batches (id) WHERE state <> 'final';
CREATE INDEX IF NOT EXISTS batches_final ON batches (block_number, id) WHERE state = 'final';

-- What a batch was before an operator had it anchored again: one row a repair, and never changed. `final_at` stands where
-- its jobs had been told of that place.
CREATE TABLE IF NOT EXISTS batch_repairs (
  n INTEGER PRIMARY KEY AUTOINCREMENT, batch_id INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL,
  act TEXT NOT NULL, first_sequence INTEGER NOT NULL, root BLOB NOT NULL, tx_hash TEXT, block_number INTEGER,
  block_hash TEXT, gas_used INTEGER, final_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS batch_repairs_by_batch ON batch_repairs (batch_id, n);

-- Every transaction that was signed for a batch, written down before it leaves; whichever is mined counts. Fees in wei.
-- What it cost stands there once it was seen in a block, also where it was reverted: `gas_used`, `gas_price`, `mined_at`.
CREATE TABLE IF NOT EXISTS batch_transactions (
  n INTEGER PRIMARY KEY AUTOINCREMENT, tx_hash TEXT NOT NULL UNIQUE, batch_id INTEGER NOT NULL, sender TEXT NOT NULL,
  nonce INTEGER NOT NULL, gas INTEGER NOT NULL, max_fee INTEGER NOT NULL, max_tip INTEGER NOT NULL, raw BLOB NOT NULL,
  signed_at INTEGER NOT NULL, gas_used INTEGER, gas_price INTEGER, mined_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS batch_transactions_mined ON batch_transactions (mined_at) WHERE mined_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS batch_transactions_by_batch ON batch_transactions (batch_id, n);
CREATE INDEX IF NOT EXISTS batch_transactions_by_nonce ON batch_transactions (sender, nonce);

CREATE TABLE IF NOT EXISTS leases (
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each process that settles is behind (`simulator.policy.backlog`), once a second while that is worth telling.
CREATE TABLE IF NOT EXISTS behind (
  owner TEXT PRIMARY KEY, at INTEGER NOT NULL, wait_ms INTEGER NOT NULL, per_s REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit_log (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  target TEXT, reason TEXT, details TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX IF NOT EXISTS audit_by_time ON audit_log (at);

-- Accounts that share one allowance (R63): tenants with the same account name.
CREATE TABLE IF NOT EXISTS links (
  tenant TEXT PRIMARY KEY, account TEXT NOT NULL, since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_account ON links (account);

-- Public keys (JWKS) of clients that authenticate by private_key_jwt.
CREATE TABLE IF NOT EXISTS client_keys (client_id TEXT PRIMARY KEY, jwks TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- Assertions that were used: each counts once (RFC 7523).
CREATE TABLE IF NOT EXISTS assertions (
  digest BLOB PRIMARY KEY, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Revoked access tokens by jti (RFC 7009), until they would have expired.
CREATE TABLE IF NOT EXISTS revoked (jti TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
-- The newest token of each client, so that the audit log can name the one before (C22).
CREATE TABLE IF NOT EXISTS issued (client_id TEXT PRIMARY KEY, jti TEXT NOT NULL) STRICT, WITHOUT ROWID;
-- One-time tickets for the WebSocket (C28).
CREATE TABLE IF NOT EXISTS tickets (
  digest BLOB PRIMARY KEY, principal TEXT NOT NULL, expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS bans (
  address TEXT PRIMARY KEY, until INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Failed logins within the window, counted for all processes of the API together (R59).
CREATE TABLE IF NOT EXISTS login_failures (
  n INTEGER PRIMARY KEY, address TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS login_failures_by_address ON login_failures (address);
CREATE INDEX IF NOT EXISTS login_failures_by_time ON login_failures (at);
-- By what accounts are seen to belong together (R61); values are digests.
CREATE TABLE IF NOT EXISTS signals (
  kind TEXT NOT NULL, value BLOB NOT NULL, tenant TEXT NOT NULL, seen_at INTEGER NOT NULL,
  PRIMARY KEY (kind, value, tenant)
) STRICT, WITHOUT ROWID;
-- Where a tenant stands on the ladder of actions (R64).
CREATE TABLE IF NOT EXISTS abuse_cases (
  tenant TEXT PRIMARY KEY, step TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Webhook endpoints of tenants (S3).
CREATE TABLE IF NOT EXISTS webhook_endpoints (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, description TEXT,
  status TEXT NOT NULL, failures INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhook_endpoints_by_tenant ON webhook_endpoints (tenant, id);
-- Signing secrets: of an endpoint, or of a tenant's callback addresses; the former one signs on until it ends.
CREATE TABLE IF NOT EXISTS webhook_secrets (
  owner TEXT PRIMARY KEY, secret TEXT NOT NULL, former TEXT, former_until INTEGER
) STRICT, WITHOUT ROWID;
-- One row an event and target; written in the transaction of the change that it tells of.
CREATE TABLE IF NOT EXISTS deliveries (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL, endpoint TEXT, url TEXT NOT NULL, job_id BLOB NOT NULL,
  type TEXT NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER, claimed_until INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS deliveries_by_tenant ON deliveries (tenant, at, id);
CREATE INDEX IF NOT EXISTS deliveries_by_job ON deliveries (job_id);
CREATE TABLE IF NOT EXISTS delivery_attempts (
  delivery TEXT NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, status INTEGER, error TEXT, ms INTEGER NOT NULL,
  PRIMARY KEY (delivery, n)
) STRICT, WITHOUT ROWID;
