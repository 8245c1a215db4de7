-- What a world that was played hands on to a live platform.

-- name: kept_tenants
SELECT * FROM tenants ORDER BY tenant;

-- name: kept_usage
SELECT * FROM usage ORDER BY tenant, month;

-- name: kept_usage_days
SELECT * FROM usage_days ORDER BY tenant, day;

-- name: kept_plan_changes
SELECT * FROM plan_changes ORDER BY tenant;

-- name: kept_links
SELECT * FROM links ORDER BY tenant;

-- name: kept_abuse_cases
SELECT * FROM abuse_cases ORDER BY tenant;

-- name: kept_credits
SELECT * FROM credits ORDER BY n;

-- name: load_tenants
-- Every part of a world has the operator's own tenant.
INSERT INTO tenants (tenant, name, plan, status, overrides, created_at)
VALUES (:tenant, :name, :plan, :status, :overrides, :created_at) ON CONFLICT (tenant) DO NOTHING;

-- name: load_usage
INSERT INTO usage (tenant, month, held, charged, released) VALUES (:tenant, :month, :held, :charged, :released);

-- name: load_usage_days
INSERT INTO usage_days (tenant, day, jobs, charged_jobs, held, charged, released)
VALUES (:tenant, :day, :jobs, :charged_jobs, :held, :charged, :released);

-- name: load_plan_changes
INSERT INTO plan_changes (tenant, plan, at, reason) VALUES (:tenant, :plan, :at, :reason);

-- name: load_links
INSERT INTO links (tenant, account, since) VALUES (:tenant, :account, :since);

-- name: load_abuse_cases
INSERT INTO abuse_cases (tenant, step, reason, at) VALUES (:tenant, :step, :reason, :at);

-- name: load_credits
-- Their numbers are given anew: each part of a world counted its own.
INSERT INTO credits (credit_id, tenant, microusd, month, reason, job_id, granted_by, granted_at)
VALUES (:credit_id, :tenant, :microusd, :month, :reason, :job_id, :granted_by, :granted_at);

-- name: load_outbox_end
-- The last row stays where all others were purged long ago, so that the next number is the one behind it.
INSERT INTO outbox (n, stream, subject, msg_id, payload, created_at) VALUES (:n, 'WORK', 'world', 'world', x'', :now);

-- name: load_batches_end
INSERT INTO sqlite_sequence (name, seq) VALUES ('batches', :n);
