-- One row a job, for the audit: how often each event stands in the log, and what the events say.
SELECT job_id, any_value(tenant) AS tenant, count(*) - count(DISTINCT event_id) AS copies,
       count(DISTINCT event_id) FILTER (type = 'submitted') AS submitted,
       count(DISTINCT event_id) FILTER (type = 'processing') AS processing,
       count(DISTINCT event_id) FILTER (type = 'completed') AS completed,
       count(DISTINCT event_id) FILTER (type = 'failed') AS failed,
       count(DISTINCT event_id) FILTER (type = 'cancelled') AS cancelled,
       count(DISTINCT event_id) FILTER (type = 'confirmed') AS confirmed,
       count(DISTINCT event_id) FILTER (charge = 'charged' AND type IN ('completed', 'failed', 'cancelled')) AS charged,
       count(DISTINCT event_id) FILTER (charge = 'released' AND type IN ('completed', 'failed', 'cancelled')) AS released,
       coalesce(min(outbox_no) FILTER (type = 'submitted'), 0) AS submitted_no,
       coalesce(min(outbox_no) FILTER (type IN ('completed', 'failed', 'cancelled')), 0) AS ended_no,
       coalesce(min(outbox_no) FILTER (type = 'confirmed'), 0) AS confirmed_no,
       any_value(compute_units) AS compute_units, max(chain_sequence) AS chain_sequence
FROM events GROUP BY job_id;
