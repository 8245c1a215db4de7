-- What the log says of each job now; the newest event in stream order decides what can change.
CREATE OR REPLACE VIEW jobs AS
SELECT job_id, any_value(tenant) AS tenant, any_value(plan) AS plan, any_value(job_type) AS job_type,
       arg_max(status, stream_seq) AS status, arg_max(charge, stream_seq) AS charge,
       max(error_code) AS error_code, max(attempt) AS attempt,
       max(payload_bytes) AS payload_bytes, max(compute_units) AS compute_units,
       epoch_ms(min(accepted_at)) AS accepted_at,
       epoch_ms(min("time") FILTER ("type" = 'processing')) AS started_at,
       epoch_ms(min("time") FILTER ("type" IN ('completed', 'failed', 'cancelled'))) AS ended_at,
       epoch_ms(min("time") FILTER ("type" = 'confirmed')) AS confirmed_at,
       max(processing_ms) AS processing_ms, max(batch_id) AS batch_id, max(chain_sequence) AS chain_sequence,
       max(gas_share) AS gas_share
FROM events_once GROUP BY job_id;
COMMENT ON VIEW jobs IS 'One row a job: where it stands now. Times are UTC.';
COMMENT ON COLUMN jobs.job_id IS 'id of the job, 16 bytes';
COMMENT ON COLUMN jobs.tenant IS 'whose job';
COMMENT ON COLUMN jobs.plan IS 'the tenant''s plan when it was accepted';
COMMENT ON COLUMN jobs.job_type IS 'compute_heavy, data_processing or ml_inference';
COMMENT ON COLUMN jobs.status IS 'status after the newest event';
COMMENT ON COLUMN jobs.charge IS 'held, charged or released';
COMMENT ON COLUMN jobs.error_code IS 'why it failed';
COMMENT ON COLUMN jobs.attempt IS 'attempts';
COMMENT ON COLUMN jobs.payload_bytes IS 'size of the submitted body';
COMMENT ON COLUMN jobs.compute_units IS 'compute units reserved';
COMMENT ON COLUMN jobs.accepted_at IS 'accepted';
COMMENT ON COLUMN jobs.started_at IS 'first attempt began; empty when it ended too quickly to be told';
COMMENT ON COLUMN jobs.ended_at IS 'completed, failed or cancelled';
COMMENT ON COLUMN jobs.confirmed_at IS 'final on chain';
COMMENT ON COLUMN jobs.processing_ms IS 'time spent computing, ms';
COMMENT ON COLUMN jobs.batch_id IS 'the batch that confirmed it';
COMMENT ON COLUMN jobs.chain_sequence IS 'its number on chain';
COMMENT ON COLUMN jobs.gas_share IS 'its share of the batch''s gas';
