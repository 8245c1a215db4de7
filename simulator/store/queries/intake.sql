-- Accepting and cancelling jobs.

-- name: tenant_get
SELECT tenant, name, plan, status, overrides, created_at, active_jobs FROM tenants WHERE tenant = :tenant;

-- name: idempotency_get
SELECT i.job_id, i.fingerprint, j.accepted_at, j.job_type FROM idempotency i JOIN jobs j ON j.id = i.job_id
WHERE i.scope_hash = :scope_hash AND i.expires_at > :now;

-- name: idempotency_claim
-- scope_hash, job_id, fingerprint, expires_at, now. Changes nothing where the key is still held by an earlier job.
INSERT INTO idempotency (scope_hash, job_id, fingerprint, expires_at) VALUES (?, ?, ?, ?)
ON CONFLICT (scope_hash) DO UPDATE SET job_id = excluded.job_id, fingerprint = excluded.fingerprint,
  expires_at = excluded.expires_at WHERE idempotency.expires_at <= ?;

-- name: idempotency_holder
SELECT job_id FROM idempotency WHERE scope_hash = :scope_hash;

-- name: idempotency_drop
DELETE FROM idempotency WHERE scope_hash = ? AND job_id = ?;

-- name: idempotency_walk
SELECT scope_hash, expires_at FROM idempotency WHERE scope_hash > :after ORDER BY scope_hash LIMIT :most;

-- name: idempotency_page
-- The end of the next page of keys, how many it has and how many of them have expired.
SELECT coalesce(max(scope_hash), x'') AS last, count(*) AS count, coalesce(sum(expires_at <= :now), 0) AS expired
FROM (SELECT scope_hash, expires_at FROM idempotency WHERE scope_hash > :after ORDER BY scope_hash LIMIT :most);

-- name: idempotency_expire
DELETE FROM idempotency WHERE scope_hash > :after AND scope_hash <= :last AND expires_at <= :now;

-- name: usage_get
SELECT held, charged, released FROM usage WHERE tenant = :tenant AND month = :month;

-- name: usage_hold
INSERT INTO usage (tenant, month, held) VALUES (:tenant, :month, :units)
ON CONFLICT (tenant, month) DO UPDATE SET held = held + :units;

-- name: usage_settle
UPDATE usage SET held = held - :charged - :released, charged = charged + :charged, released = released + :released
WHERE tenant = :tenant AND month = :month;

-- name: tenant_active
UPDATE tenants SET active_jobs = active_jobs + :change WHERE tenant = :tenant;

-- name: job_insert
INSERT INTO jobs (id, idempotency_key, tenant, plan, job_type, priority, timeout_s, status, accepted_at, updated_at, payload_bytes,
  compute_units, parameters, parameters_sha256, callback_url, metadata, salt, traceparent)
VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: job_get
SELECT * FROM jobs WHERE id = :id;

-- name: job_cancel_requested
UPDATE jobs SET cancel_requested_at = :now, updated_at = :now WHERE id = :id AND cancel_requested_at IS NULL;

-- name: usage_linked
SELECT coalesce(sum(held + charged), 0) AS used FROM usage WHERE month = :month AND (tenant = :tenant
  OR tenant IN (SELECT b.tenant FROM links a JOIN links b ON b.account = a.account WHERE a.tenant = :tenant));
