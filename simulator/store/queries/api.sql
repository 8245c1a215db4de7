-- What the API reads.

-- name: tenant_usage
SELECT t.*, coalesce(u.held, 0) AS held, coalesce(u.charged, 0) AS charged
FROM tenants t LEFT JOIN usage u ON u.tenant = t.tenant AND u.month = :month WHERE t.tenant = :tenant;

-- name: tenants_usage
SELECT t.*, coalesce(u.held, 0) AS held, coalesce(u.charged, 0) AS charged,
  (SELECT client_id FROM clients c WHERE c.tenant = t.tenant ORDER BY created_at LIMIT 1) AS client_id,
  p.plan AS next_plan, p.at AS next_plan_from
FROM tenants t LEFT JOIN usage u ON u.tenant = t.tenant AND u.month = :month
LEFT JOIN plan_changes p ON p.tenant = t.tenant ORDER BY t.tenant;

-- name: jobs_count
SELECT count(*) AS total FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until);

-- name: jobs_newest
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
  AND (accepted_at, id) < (:value, :id)
ORDER BY accepted_at DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: jobs_oldest
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
  AND (accepted_at, id) > (:value, :id)
ORDER BY accepted_at, id LIMIT :limit OFFSET :offset;

-- name: jobs_sorted_asc
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
  AND (NOT :has OR (CASE :sort WHEN 'status' THEN status ELSE updated_at END, id) > (:value, :id))
ORDER BY CASE :sort WHEN 'status' THEN status ELSE updated_at END, id LIMIT :limit OFFSET :offset;

-- name: jobs_sorted_desc
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
  AND (NOT :has OR (CASE :sort WHEN 'status' THEN status ELSE updated_at END, id) < (:value, :id))
ORDER BY CASE :sort WHEN 'status' THEN status ELSE updated_at END DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: tenant_change
UPDATE tenants SET plan = coalesce(:plan, plan), status = coalesce(:status, status),
  overrides = coalesce(:overrides, overrides) WHERE tenant = :tenant;

-- name: dead_letters
SELECT * FROM jobs WHERE dead_letter = 1 AND id > :after ORDER BY id LIMIT :most;

-- name: jobs_across
SELECT * FROM jobs WHERE id > :after AND (:tenant IS NULL OR tenant = :tenant)
  AND (:charge IS NULL OR charge = :charge)
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type) ORDER BY id LIMIT :most;

-- name: dead_letter_resumed
UPDATE jobs SET dead_letter = 2 WHERE id = :id AND dead_letter = 1;

-- name: live_row
SELECT id, tenant, status, job_type, accepted_at, started_at, completed_at, confirmed_at, updated_at, progress,
  CASE WHEN result_bytes <= 20000 THEN result END AS result, result_bytes, error_code, error_message, tx_hash,
  block_number
FROM jobs WHERE id = :id;

-- name: audit_page
SELECT * FROM audit_log WHERE n > :after AND n < :before AND at >= :since AND (:actor IS NULL OR actor = :actor)
  AND (:action IS NULL OR action = :action) AND (:reads OR NOT (action LIKE '%.read' OR action LIKE '%.list'
  OR action LIKE '%.export' OR action = 'token.refresh')) ORDER BY n LIMIT :most;

-- name: audit_newest
-- The same from the other end.
SELECT * FROM audit_log WHERE n > :after AND n < :before AND at >= :since AND (:actor IS NULL OR actor = :actor)
  AND (:action IS NULL OR action = :action) AND (:reads OR NOT (action LIKE '%.read' OR action LIKE '%.list'
  OR action LIKE '%.export' OR action = 'token.refresh')) ORDER BY n DESC LIMIT :most;

-- name: audit_from
-- The lowest number of an entry from a moment on: not always that of the first, for a clock may have been set back by
-- as much as :back since.
SELECT min(n) AS n FROM audit_log
WHERE at BETWEEN :since AND (SELECT min(at) FROM audit_log WHERE at >= :since) + :back;

-- name: platform_state
SELECT (SELECT coalesce(sum(active_jobs), 0) FROM tenants) AS active_jobs,
  max(0, coalesce((SELECT max(n) FROM outbox), 0) - coalesce((SELECT max(upto) FROM outbox_marks), 0)) AS unpublished,
  (SELECT created_at FROM outbox WHERE n > coalesce((SELECT max(upto) FROM outbox_marks), 0) ORDER BY n LIMIT 1)
    AS oldest,
  (SELECT count(*) FROM batches WHERE state <> 'final') AS open_batches,
  (SELECT count(*) FROM jobs WHERE dead_letter = 1) AS dead_letters;

-- name: tenant_exists
SELECT 1 AS found FROM tenants WHERE tenant = :tenant;

-- name: tenant_detail
SELECT t.*, coalesce(u.held, 0) AS held, coalesce(u.charged, 0) AS charged, coalesce(u.released, 0) AS released,
  (SELECT client_id FROM clients c WHERE c.tenant = t.tenant ORDER BY created_at LIMIT 1) AS client_id,
  l.account, a.step, p.plan AS next_plan, p.at AS next_plan_from
FROM tenants t LEFT JOIN usage u ON u.tenant = t.tenant AND u.month = :month
LEFT JOIN plan_changes p ON p.tenant = t.tenant LEFT JOIN links l ON l.tenant = t.tenant LEFT JOIN abuse_cases a ON a.tenant = t.tenant WHERE t.tenant = :tenant;

-- name: audit_put
INSERT INTO audit_log (at, actor, action, target, reason, details)
VALUES (:now, :actor, :action, :target, :reason, :details);
