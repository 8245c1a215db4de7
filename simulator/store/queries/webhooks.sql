-- Webhook endpoints, secrets and deliveries.

-- name: endpoints_active
SELECT id, url, events FROM webhook_endpoints WHERE tenant = :tenant AND status = 'active' ORDER BY id;

-- name: endpoints_all
SELECT * FROM webhook_endpoints WHERE tenant = :tenant ORDER BY id;

-- name: endpoint_get
SELECT * FROM webhook_endpoints WHERE id = :id AND tenant = :tenant;

-- name: endpoint_put
INSERT INTO webhook_endpoints (id, tenant, url, events, description, status, created_at, updated_at)
VALUES (:id, :tenant, :url, :events, :description, 'active', :now, :now);

-- name: endpoint_change
UPDATE webhook_endpoints SET url = coalesce(:url, url), events = coalesce(:events, events),
  description = coalesce(:description, description), status = coalesce(:status, status),
  failures = CASE WHEN :status = 'active' THEN 0 ELSE failures END, updated_at = :now
WHERE id = :id AND tenant = :tenant;

-- name: endpoint_delete
DELETE FROM webhook_endpoints WHERE id = :id AND tenant = :tenant;

-- name: endpoint_counted
UPDATE webhook_endpoints SET failures = CASE WHEN :delivered THEN 0 ELSE failures + 1 END WHERE id = :id;

-- name: endpoint_failed
UPDATE webhook_endpoints SET status = 'failed', updated_at = :now WHERE id = :id;

-- name: secret_get
SELECT secret, former, former_until FROM webhook_secrets WHERE owner = :owner;

-- name: secret_put
INSERT INTO webhook_secrets (owner, secret, former, former_until) VALUES (:owner, :secret, :former, :former_until)
ON CONFLICT (owner) DO UPDATE SET secret = :secret, former = :former, former_until = :former_until;

-- name: secret_delete
DELETE FROM webhook_secrets WHERE owner = :owner;

-- name: delivery_put
INSERT INTO deliveries (id, tenant, endpoint, url, job_id, type, at, state, next_at, body)
VALUES (:id, :tenant, :endpoint, :url, :job_id, :type, :at, 'pending', :at, :body);

-- name: deliveries_due
-- `full` is a JSON list of tenants that have no room for more.
SELECT * FROM deliveries WHERE next_at <= :now AND claimed_until <= :now
  AND tenant NOT IN (SELECT value FROM json_each(:full)) ORDER BY next_at LIMIT :most;

-- name: delivery_claim
UPDATE deliveries SET claimed_until = :until WHERE id = :id;

-- name: delivery_attempted
UPDATE deliveries SET state = :state, next_at = :next_at, attempts = :attempts, claimed_until = 0 WHERE id = :id;

-- name: delivery_again
-- A claim stays: two attempts at once would both be the same number. What was for an endpoint needs it.
UPDATE deliveries SET state = 'pending', next_at = :now WHERE id = :id AND tenant = :tenant
  AND (endpoint IS NULL OR endpoint IN (SELECT id FROM webhook_endpoints WHERE tenant = :tenant));

-- name: deliveries_dropped
UPDATE deliveries SET state = 'failed', next_at = NULL WHERE endpoint = :endpoint AND state = 'pending';

-- name: delivery_get
SELECT * FROM deliveries WHERE id = :id AND tenant = :tenant;

-- name: deliveries_of_job
-- `gone`: what was for an endpoint cannot be delivered any more without it.
SELECT d.*, d.endpoint IS NOT NULL AND e.id IS NULL AS gone FROM deliveries d
LEFT JOIN webhook_endpoints e ON e.id = d.endpoint AND e.tenant = d.tenant
WHERE d.job_id = :job ORDER BY d.at, d.id;

-- name: delivery_tenant
SELECT tenant FROM deliveries WHERE id = :id;

-- name: deliveries_page
SELECT * FROM deliveries WHERE tenant = :tenant AND (:before IS NULL OR (at, id) <
  (SELECT at, id FROM deliveries WHERE id = :before AND tenant = :tenant))
  AND (:endpoint IS NULL OR endpoint = :endpoint) AND (:state IS NULL OR state = :state)
ORDER BY at DESC, id DESC LIMIT :most;

-- name: job_deliveries
SELECT * FROM deliveries WHERE job_id = :job ORDER BY at DESC, id DESC LIMIT :most;

-- name: attempts_of
SELECT * FROM delivery_attempts WHERE delivery = :delivery ORDER BY n;

-- name: attempt_put
INSERT INTO delivery_attempts (delivery, n, at, status, error, ms) VALUES (:delivery, :n, :at, :status, :error, :ms);
