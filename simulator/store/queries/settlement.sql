-- From outcomes to states.

-- name: jobs_to_settle
-- Up to 16 at once; places that are not needed are NULL.
SELECT id, tenant, plan, job_type, status, accepted_at, payload_bytes, compute_units, charge, error_code, attempt,
  attempt_base, processing_ms, progress, cancel_requested_at, callback_url, tx_hash, block_number, traceparent
FROM jobs WHERE id IN (:k0, :k1, :k2, :k3, :k4, :k5, :k6, :k7, :k8, :k9, :k10, :k11, :k12, :k13, :k14, :k15);

-- name: behind_put
INSERT INTO behind VALUES (:owner, :now, :wait_ms, :per_s) ON CONFLICT (owner) DO UPDATE SET
  at = excluded.at, wait_ms = excluded.wait_ms, per_s = excluded.per_s;

-- name: behind_forget
DELETE FROM behind WHERE at < :before;

-- name: behind_now
SELECT wait_ms, per_s FROM behind WHERE at BETWEEN :since AND :until;

-- name: job_started
-- started_at, attempt, now, id.
UPDATE jobs SET status = 'processing', started_at = coalesce(started_at, ?), attempt = ?, updated_at = ? WHERE id = ?;

-- name: job_progress
-- percent, now, id, attempt.
UPDATE jobs SET progress = ?1, updated_at = ?2
WHERE id = ?3 AND status = 'processing' AND attempt = ?4 AND progress < ?1;

-- name: job_settled
-- As `settled_row` has them.
UPDATE jobs SET status = ?, charge = ?, attempt = ?, started_at = coalesce(started_at, ?), completed_at = ?,
  updated_at = ?, progress = ?, result = ?, result_sha256 = ?, result_bytes = ?, result_keccak = ?,
  processing_ms = ?, error_code = ?, error_message = ?, dead_letter = ?, settled_no = ?, retry_at = NULL
WHERE id = ?;

-- name: job_retry_later
-- attempt, attempt again, retry_at, status, started_at, now, id.
UPDATE jobs SET attempt = ?, attempt_base = ?, retry_at = ?, status = ?, started_at = coalesce(started_at, ?),
  updated_at = ? WHERE id = ?;

-- name: job_attempt_put
-- job_id, n, started_at, ended_at, outcome, error_code, error_message, next_at.
INSERT INTO job_attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, n) DO UPDATE SET
  started_at = excluded.started_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
  error_code = excluded.error_code, error_message = excluded.error_message, next_at = excluded.next_at;

-- name: job_attempts_of
SELECT * FROM job_attempts WHERE job_id = :job ORDER BY n;

-- name: jobs_to_retry
SELECT * FROM jobs WHERE retry_at <= :now ORDER BY retry_at, id LIMIT :most;

-- name: job_dispatched
UPDATE jobs SET retry_at = NULL, updated_at = :now WHERE id = :id;

-- name: jobs_to_cancel
SELECT id, tenant, retry_at FROM jobs WHERE cancel_requested_at IS NOT NULL AND status = 'processing'
ORDER BY cancel_requested_at, id LIMIT :most;
