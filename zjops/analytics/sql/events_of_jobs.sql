-- Every event of some jobs, copies included, in the order of the stream.
SELECT event_id, stream_seq, type, tenant, plan, job_id, job_type, accepted_at, payload_bytes, compute_units, charge,
       error_code, batch_id, chain_sequence, leaf_index, gas_share
FROM events WHERE job_id IN (SELECT unnest($jobs::BLOB[])) ORDER BY stream_seq;
