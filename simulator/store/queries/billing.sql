-- Usage by day, and credits.

-- name: usage_day_hold
INSERT INTO usage_days (tenant, day, jobs, held) VALUES (:tenant, :day, :jobs, :units)
ON CONFLICT (tenant, day) DO UPDATE SET jobs = jobs + :jobs, held = held + :units;

-- name: usage_day_settle
UPDATE usage_days SET held = held - :charged - :released, charged = charged + :charged, released = released + :released,
  charged_jobs = charged_jobs + :jobs
WHERE tenant = :tenant AND day = :day;

-- name: usage_days_of
SELECT day, jobs, charged_jobs, held, charged, released FROM usage_days
WHERE tenant = :tenant AND day BETWEEN :first AND :last ORDER BY day;

-- name: credit_put
INSERT INTO credits (credit_id, tenant, microusd, month, reason, job_id, granted_by, granted_at)
VALUES (:credit_id, :tenant, :microusd, :month, :reason, :job_id, :granted_by, :now);

-- name: credit_get
SELECT * FROM credits WHERE credit_id = :credit_id;

-- name: credits_of
SELECT * FROM credits WHERE tenant = :tenant AND n > :after AND (:month IS NULL OR month = :month)
ORDER BY n LIMIT :most;
