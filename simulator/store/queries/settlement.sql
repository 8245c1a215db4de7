-- From outcomes to states.

-- name: job_started
UPDATE jobs SET status = 'processing', started_at = coalesce(started_at, :started_at), attempt = :attempt,
  updated_at = :now WHERE id = :id;

-- name: job_progress
UPDATE jobs SET progress = :percent, updated_at = :now
WHERE id = :id AND status = 'processing' AND attempt = :attempt AND progress < :percent;

-- name: job_settled
UPDATE jobs SET status = :status, charge = :charge, attempt = :attempt, started_at = coalesce(started_at, :started_at),
  completed_at = :completed_at, updated_at = :now, progress = :progress, result = :result,
  result_sha256 = :result_sha256, result_bytes = :result_bytes, result_keccak = :result_keccak,
  processing_ms = :processing_ms, error_code = :error_code, error_message = :error_message,
  dead_letter = :dead_letter, settled_no = :settled_no, retry_at = NULL
WHERE id = :id;

-- name: job_retry_later
UPDATE jobs SET attempt = :attempt, attempt_base = :attempt, retry_at = :retry_at, status = :status,
  started_at = coalesce(started_at, :started_at), updated_at = :now WHERE id = :id;

-- name: jobs_to_retry
SELECT * FROM jobs WHERE retry_at <= :now ORDER BY retry_at LIMIT :most;

-- name: job_dispatched
UPDATE jobs SET retry_at = NULL, updated_at = :now WHERE id = :id;

-- name: jobs_to_cancel
SELECT id, tenant, retry_at FROM jobs WHERE cancel_requested_at IS NOT NULL AND status = 'processing' LIMIT :most;
