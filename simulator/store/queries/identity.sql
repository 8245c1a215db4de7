-- Clients of tenants, and the issuer's keys.

-- name: client_get
SELECT c.client_id, c.tenant, c.secret_hash, c.secret_salt, c.scopes, t.status
FROM clients c LEFT JOIN tenants t ON t.tenant = c.tenant WHERE c.client_id = :client_id;

-- name: client_put
INSERT INTO clients (client_id, tenant, secret_hash, secret_salt, scopes, created_at)
VALUES (:client_id, :tenant, :secret_hash, :secret_salt, :scopes, :now)
ON CONFLICT (client_id) DO UPDATE SET secret_hash = :secret_hash, secret_salt = :secret_salt, scopes = :scopes;

-- name: client_of_tenant
SELECT client_id FROM clients WHERE tenant = :tenant ORDER BY created_at LIMIT 1;

-- name: keys_active
SELECT kid, jwk FROM signing_keys WHERE active = 1 ORDER BY created_at DESC;

-- name: key_put
INSERT INTO signing_keys (kid, jwk, created_at) VALUES (:kid, :jwk, :now);
