-- Credits.

-- name: credit_put
INSERT INTO credits (credit_id, tenant, microusd, month, reason, job_id, granted_by, granted_at)
VALUES (:credit_id, :tenant, :microusd, :month, :reason, :job_id, :granted_by, :now);

-- name: credit_get
SELECT * FROM credits WHERE credit_id = :credit_id;

-- name: credits_of
SELECT * FROM credits WHERE tenant = :tenant AND n > :after AND (:month IS NULL OR month = :month)
ORDER BY n LIMIT :most;
