-- The batches that became final, from the confirmations of their jobs.
CREATE OR REPLACE VIEW batches AS
SELECT batch_id, count(*) AS jobs, count(DISTINCT tenant) AS tenants,
       min(chain_sequence) AS first_sequence, max(chain_sequence) AS last_sequence,
       min(tx_hash) AS tx_hash, sum(gas_share)::BIGINT AS gas_used, epoch_ms(max("time")) AS confirmed_at
FROM events_once WHERE "type" = 'confirmed' GROUP BY batch_id;
COMMENT ON VIEW batches IS 'One row a batch that is final on chain.';
COMMENT ON COLUMN batches.batch_id IS 'number of the batch';
COMMENT ON COLUMN batches.jobs IS 'jobs that it confirmed';
COMMENT ON COLUMN batches.tenants IS 'tenants whose jobs it confirmed';
COMMENT ON COLUMN batches.first_sequence IS 'first number on chain';
COMMENT ON COLUMN batches.last_sequence IS 'last number on chain';
COMMENT ON COLUMN batches.tx_hash IS 'its transaction, 32 bytes';
COMMENT ON COLUMN batches.gas_used IS 'gas of its receipt, the sum of the jobs'' shares';
COMMENT ON COLUMN batches.confirmed_at IS 'last confirmation was told, UTC';
