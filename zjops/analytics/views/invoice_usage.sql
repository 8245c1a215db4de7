-- What invoices are made of: charged units by tenant, month and plan. Prices, buffers and rounding are applied to
-- the sum over a month's plans (C77), in zjops/domain/invoices.py alone.
CREATE OR REPLACE VIEW invoice_usage AS
SELECT tenant, "month", plan, count(*) AS jobs, sum(compute_units)::BIGINT AS compute_units,
       min(accepted_at) AS first_accepted_at, max(accepted_at) AS last_accepted_at
FROM charged_jobs GROUP BY ALL;
COMMENT ON VIEW invoice_usage IS 'What invoices are made of: charged units by tenant, UTC month and plan.';
COMMENT ON COLUMN invoice_usage.tenant IS 'who pays';
COMMENT ON COLUMN invoice_usage."month" IS 'UTC month of acceptance, YYYY-MM';
COMMENT ON COLUMN invoice_usage.plan IS 'the tenant''s plan when the jobs were accepted';
COMMENT ON COLUMN invoice_usage.jobs IS 'jobs charged';
COMMENT ON COLUMN invoice_usage.compute_units IS 'compute units charged';
COMMENT ON COLUMN invoice_usage.first_accepted_at IS 'the first of those jobs was accepted, UTC';
COMMENT ON COLUMN invoice_usage.last_accepted_at IS 'the last of those jobs was accepted, UTC';
