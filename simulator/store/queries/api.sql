-- What the API reads.

-- name: tenant_usage
SELECT t.*, coalesce(u.held, 0) AS held, coalesce(u.charged, 0) AS charged
FROM tenants t LEFT JOIN usage u ON u.tenant = t.tenant AND u.month = :month WHERE t.tenant = :tenant;

-- name: tenants_usage
SELECT t.*, coalesce(u.held, 0) AS held, coalesce(u.charged, 0) AS charged,
  (SELECT client_id FROM clients c WHERE c.tenant = t.tenant ORDER BY created_at LIMIT 1) AS client_id
FROM tenants t LEFT JOIN usage u ON u.tenant = t.tenant AND u.month = :month ORDER BY t.tenant;

-- name: jobs_count
SELECT count(*) AS total FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until);

-- name: jobs_newest
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
ORDER BY accepted_at DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: jobs_sorted_asc
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
ORDER BY CASE :sort WHEN 'status' THEN status WHEN 'updated_at' THEN updated_at ELSE accepted_at END, id
LIMIT :limit OFFSET :offset;

-- name: jobs_sorted_desc
SELECT * FROM jobs WHERE tenant = :tenant
  AND (:status IS NULL OR status = :status) AND (:job_type IS NULL OR job_type = :job_type)
  AND (:since IS NULL OR accepted_at >= :since) AND (:until IS NULL OR accepted_at < :until)
ORDER BY CASE :sort WHEN 'status' THEN status WHEN 'updated_at' THEN updated_at ELSE accepted_at END DESC, id DESC
LIMIT :limit OFFSET :offset;

-- name: tenant_change
UPDATE tenants SET plan = coalesce(:plan, plan), status = coalesce(:status, status),
  overrides = coalesce(:overrides, overrides) WHERE tenant = :tenant;

-- name: dead_letters
SELECT * FROM jobs WHERE dead_letter = 1 AND id > :after ORDER BY id LIMIT :most;

-- name: audit_put
INSERT INTO audit_log (at, actor, action, target, reason, details)
VALUES (:now, :actor, :action, :target, :reason, :details);
