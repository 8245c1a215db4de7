-- What is billed (C70): the endings whose reservation was charged, in the UTC month of acceptance (C76).
CREATE OR REPLACE VIEW charged_jobs AS
SELECT job_id, tenant, plan, job_type, "type" AS ended_as, error_code,
       epoch_ms(accepted_at) AS accepted_at, epoch_ms("time") AS ended_at,
       epoch_ms(accepted_at)::DATE AS "day", strftime(epoch_ms(accepted_at), '%Y-%m') AS "month",
       payload_bytes, compute_units
FROM events_once
WHERE "type" IN ('completed', 'failed', 'cancelled') AND charge = 'charged';
COMMENT ON VIEW charged_jobs IS 'One row a job whose compute units were charged. Times are UTC.';
COMMENT ON COLUMN charged_jobs.job_id IS 'id of the job, 16 bytes';
COMMENT ON COLUMN charged_jobs.tenant IS 'who pays';
COMMENT ON COLUMN charged_jobs.plan IS 'the tenant''s plan when the job was accepted';
COMMENT ON COLUMN charged_jobs.job_type IS 'compute_heavy, data_processing or ml_inference';
COMMENT ON COLUMN charged_jobs.ended_as IS 'completed, failed or cancelled';
COMMENT ON COLUMN charged_jobs.error_code IS 'why it failed';
COMMENT ON COLUMN charged_jobs.accepted_at IS 'accepted';
COMMENT ON COLUMN charged_jobs.ended_at IS 'ended, which is when it was charged';
COMMENT ON COLUMN charged_jobs."day" IS 'UTC day of acceptance';
COMMENT ON COLUMN charged_jobs."month" IS 'UTC month of acceptance, YYYY-MM: the month that pays';
COMMENT ON COLUMN charged_jobs.payload_bytes IS 'size of the submitted body';
COMMENT ON COLUMN charged_jobs.compute_units IS 'compute units charged';
