-- Bans, signals of linked accounts, and the ladder.

-- name: bans_now
SELECT address, until, reason FROM bans WHERE until > :now ORDER BY address;

-- name: ban_put
INSERT INTO bans (address, until, reason) VALUES (:address, :until, :reason)
ON CONFLICT (address) DO UPDATE SET until = max(until, :until), reason = :reason;

-- name: ban_drop
DELETE FROM bans WHERE address = :address;

-- name: bans_over
SELECT address FROM bans WHERE until <= :now;

-- name: bans_purge
DELETE FROM bans WHERE until <= :now;

-- name: failure_put
INSERT INTO login_failures (address, at) VALUES (:address, :now);

-- name: failures_of
SELECT count(*) AS count FROM login_failures WHERE address = :address;

-- name: failures_purge
DELETE FROM login_failures WHERE at <= :before;

-- name: failures_drop
DELETE FROM login_failures WHERE address = :address;

-- name: signal_put
INSERT INTO signals (kind, value, tenant, seen_at) VALUES (:kind, :value, :tenant, :now) ON CONFLICT DO NOTHING;

-- name: signal_sharing
SELECT s.tenant, t.plan FROM signals s JOIN tenants t ON t.tenant = s.tenant
WHERE s.kind = :kind AND s.value = :value AND s.tenant <> :tenant;

-- name: signals_drop
DELETE FROM signals WHERE tenant = :tenant;

-- name: case_get
SELECT step, reason, at FROM abuse_cases WHERE tenant = :tenant;

-- name: case_put
INSERT INTO abuse_cases (tenant, step, reason, at) VALUES (:tenant, :step, :reason, :now)
ON CONFLICT (tenant) DO UPDATE SET step = :step, reason = :reason, at = :now;

-- name: case_drop
DELETE FROM abuse_cases WHERE tenant = :tenant;

-- name: cases_all
SELECT c.tenant, c.step, c.reason, c.at, l.account FROM abuse_cases c LEFT JOIN links l ON l.tenant = c.tenant
ORDER BY c.tenant;

-- name: link_get
SELECT account FROM links WHERE tenant = :tenant;

-- name: link_put
INSERT INTO links (tenant, account, since) VALUES (:tenant, :account, :now)
ON CONFLICT (tenant) DO UPDATE SET account = :account;

-- name: link_rename
UPDATE links SET account = :account WHERE account = :former;

-- name: link_drop
DELETE FROM links WHERE tenant = :tenant;

-- name: link_members
SELECT tenant FROM links WHERE account = :account ORDER BY tenant;

-- name: jobs_active_total
SELECT coalesce(sum(active_jobs), 0) AS total FROM tenants;
