-- Tenants and their clients.

-- name: tenant_put
INSERT INTO tenants (tenant, name, plan, overrides, created_at) VALUES (:tenant, :name, :plan, :overrides, :now)
ON CONFLICT (tenant) DO NOTHING;

-- name: plan_change_put
INSERT INTO plan_changes (tenant, plan, at, reason) VALUES (:tenant, :plan, :at, :reason)
ON CONFLICT (tenant) DO UPDATE SET plan = :plan, at = :at, reason = :reason;

-- name: plan_change_drop
DELETE FROM plan_changes WHERE tenant = :tenant;

-- name: plan_changes_due
SELECT p.tenant, p.plan AS wanted, p.reason, t.plan FROM plan_changes p JOIN tenants t ON t.tenant = p.tenant
WHERE p.at <= :now ORDER BY p.tenant;

-- name: tenants_auto_upgrade
SELECT tenant, plan, overrides FROM tenants
WHERE status = 'active' AND overrides LIKE '%auto_upgrade%' ORDER BY tenant;
