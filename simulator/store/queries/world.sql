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
