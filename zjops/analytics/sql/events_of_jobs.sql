-- Every event of some jobs, copies included, in the order of the stream.
SELECT event_id, stream_seq, type, time, tenant, plan, job_id, job_type, accepted_at, payload_bytes, compute_units,
       charge, status, error_code, attempt, batch_id, chain_sequence, leaf_index, tx_hash, block_number, block_hash,
       gas_share
FROM events WHERE job_id IN (SELECT unnest($jobs::BLOB[])) ORDER BY stream_seq;
