-- The charged jobs of a tenant's month that the log got to know after an invoice was made, with the event that charged each.
SELECT job_id, event_id, stream_seq, type, accepted_at, compute_units, compute_units AS counted
FROM events_once
WHERE type IN ('completed', 'failed', 'cancelled') AND charge = 'charged' AND tenant = $tenant
  AND accepted_at >= $first_ms AND accepted_at < $after_ms AND stream_seq > $through
ORDER BY accepted_at, job_id;
