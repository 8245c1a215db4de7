-- Numbers that more than one entry has: those of the two streams, and those of the outbox, which counts over both.
WITH held AS (
    SELECT 'event stream' AS what, stream_seq AS number, event_id FROM events
    UNION ALL SELECT 'OPS stream', stream_seq, event_id FROM ops
    UNION ALL SELECT 'outbox', outbox_no, event_id FROM events WHERE outbox_no > 0
    UNION ALL SELECT 'outbox', outbox_no, event_id FROM ops WHERE outbox_no > 0
)
SELECT what, number, list_sort(list(DISTINCT event_id)) AS holders
FROM held GROUP BY what, number HAVING min(event_id) <> max(event_id) ORDER BY what, number;
