-- Clients of tenants, the issuer's keys, and what tokens may no longer be used.

-- name: client_get
SELECT c.client_id, c.tenant, c.secret_hash, c.secret_salt, c.scopes, t.status, k.jwks
FROM clients c LEFT JOIN tenants t ON t.tenant = c.tenant LEFT JOIN client_keys k ON k.client_id = c.client_id
WHERE c.client_id = :client_id;

-- name: client_put
INSERT INTO clients (client_id, tenant, secret_hash, secret_salt, scopes, created_at)
VALUES (:client_id, :tenant, :secret_hash, :secret_salt, :scopes, :now)
ON CONFLICT (client_id) DO UPDATE SET secret_hash = :secret_hash, secret_salt = :secret_salt, scopes = :scopes;

-- name: client_keys_put
INSERT INTO client_keys (client_id, jwks) VALUES (:client_id, :jwks) ON CONFLICT (client_id) DO UPDATE SET jwks = :jwks;

-- name: client_delete
DELETE FROM clients WHERE client_id = :client_id AND tenant = :tenant;

-- name: client_keys_delete
DELETE FROM client_keys WHERE client_id = :client_id;

-- name: client_of_tenant
SELECT client_id FROM clients WHERE tenant = :tenant ORDER BY created_at LIMIT 1;

-- name: clients_of_tenant
SELECT c.client_id, c.scopes, c.created_at, k.jwks IS NOT NULL AS has_keys
FROM clients c LEFT JOIN client_keys k ON k.client_id = c.client_id WHERE c.tenant = :tenant ORDER BY c.client_id;

-- name: keys_active
SELECT kid, jwk, created_at FROM signing_keys WHERE active = 1 ORDER BY created_at DESC, kid;

-- name: key_put
INSERT INTO signing_keys (kid, jwk, created_at) VALUES (:kid, :jwk, :now);

-- name: key_retire
UPDATE signing_keys SET active = 0 WHERE kid = :kid;

-- name: assertion_put
INSERT INTO assertions (digest, expires_at) VALUES (:digest, :expires_at) ON CONFLICT DO NOTHING;

-- name: assertions_purge
DELETE FROM assertions WHERE expires_at < :now;

-- name: issued_get
SELECT jti FROM issued WHERE client_id = :client_id;

-- name: issued_put
INSERT INTO issued (client_id, jti) VALUES (:client_id, :jti) ON CONFLICT (client_id) DO UPDATE SET jti = :jti;

-- name: revoked_put
INSERT INTO revoked (jti, expires_at) VALUES (:jti, :expires_at) ON CONFLICT DO NOTHING;

-- name: revoked_now
SELECT jti FROM revoked WHERE expires_at > :now;

-- name: revoked_purge
DELETE FROM revoked WHERE expires_at < :now;

-- name: ticket_put
INSERT INTO tickets (digest, principal, expires_at) VALUES (:digest, :principal, :expires_at);

-- name: ticket_take
DELETE FROM tickets WHERE digest = :digest RETURNING principal, expires_at;

-- name: tickets_purge
DELETE FROM tickets WHERE expires_at < :now;
