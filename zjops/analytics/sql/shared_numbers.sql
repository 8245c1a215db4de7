-- Numbers that more than one entry has: those of the two streams, and those of the outbox, which counts over both.
-- Their holders are gathered in a second look, and the first compares 64 bits of each: what a sum keeps of lists and of
-- text does not leave the memory.
WITH held AS (
    SELECT 'event stream' AS what, stream_seq AS number, event_id FROM events
    UNION ALL SELECT 'OPS stream', stream_seq, event_id FROM ops
    UNION ALL SELECT 'outbox', outbox_no, event_id FROM events WHERE outbox_no > 0
    UNION ALL SELECT 'outbox', outbox_no, event_id FROM ops WHERE outbox_no > 0
), shared AS (
    SELECT what, number FROM held GROUP BY what, number HAVING min(hash(event_id)) <> max(hash(event_id))
)
SELECT what, number, list_sort(list(DISTINCT event_id)) AS holders
FROM held SEMI JOIN shared USING (what, number) GROUP BY what, number ORDER BY what, number;
