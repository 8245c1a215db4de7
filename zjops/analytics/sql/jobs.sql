-- One row a job, for the audit: how often each event stands in the log, and what the events say.
-- An event is told apart by its id, so that a row that stands twice counts as one event and as one copy.
WITH once AS (
    SELECT job_id, event_id, any_value(type) AS type, any_value(tenant) AS tenant, any_value(charge) AS charge,
           min(outbox_no) AS outbox_no, any_value(compute_units) AS compute_units,
           max(chain_sequence) AS chain_sequence, count(*) - 1 AS copies,
           any_value(type) IN ('completed', 'failed', 'cancelled') AS ending
    FROM events GROUP BY job_id, event_id
)
SELECT job_id, any_value(tenant) AS tenant, sum(copies)::BIGINT AS copies,
       count(*) FILTER (type = 'submitted') AS submitted, count(*) FILTER (type = 'processing') AS processing,
       count(*) FILTER (type = 'completed') AS completed, count(*) FILTER (type = 'failed') AS failed,
       count(*) FILTER (type = 'cancelled') AS cancelled, count(*) FILTER (type = 'confirmed') AS confirmed,
       count(*) FILTER (ending AND charge = 'charged') AS charged,
       count(*) FILTER (ending AND charge = 'released') AS released,
       coalesce(min(outbox_no) FILTER (type = 'submitted'), 0) AS submitted_no,
       coalesce(min(outbox_no) FILTER (ending), 0) AS ended_no,
       coalesce(min(outbox_no) FILTER (type = 'confirmed'), 0) AS confirmed_no,
       any_value(compute_units) AS compute_units, max(chain_sequence) AS chain_sequence
FROM once GROUP BY job_id;
