-- Tenants and their clients.

-- name: tenant_put
INSERT INTO tenants (tenant, name, plan, overrides, created_at) VALUES (:tenant, :name, :plan, :overrides, :now)
ON CONFLICT (tenant) DO NOTHING;
