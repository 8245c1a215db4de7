-- Charged usage by tenant, UTC day of acceptance and job type.
CREATE OR REPLACE VIEW usage_daily AS
SELECT tenant, "day", job_type, count(*) AS jobs, sum(compute_units)::BIGINT AS compute_units,
       sum(payload_bytes)::BIGINT AS payload_bytes
FROM charged_jobs GROUP BY ALL;
COMMENT ON VIEW usage_daily IS 'Charged usage by tenant, UTC day of acceptance and job type.';
COMMENT ON COLUMN usage_daily.tenant IS 'who pays';
COMMENT ON COLUMN usage_daily."day" IS 'UTC day of acceptance';
COMMENT ON COLUMN usage_daily.job_type IS 'compute_heavy, data_processing or ml_inference';
COMMENT ON COLUMN usage_daily.jobs IS 'jobs charged';
COMMENT ON COLUMN usage_daily.compute_units IS 'compute units charged';
COMMENT ON COLUMN usage_daily.payload_bytes IS 'bytes submitted by those jobs';
