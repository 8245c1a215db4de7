-- Every event of a few jobs, in the order in which the stream has them, copies too: for the story of a job.
SELECT job_id, time, type, stream_seq, outbox_no, status, charge, error_code, attempt, batch_id, chain_sequence,
       compute_units
FROM events WHERE list_contains($jobs::BLOB[], job_id) ORDER BY job_id, stream_seq, outbox_no;
