-- Acts of the OPS log that stand there more than once.
SELECT event_id, min(stream_seq) AS stream_seq, any_value(action) AS action, count(*) AS times
FROM ops GROUP BY event_id HAVING count(*) > 1 ORDER BY 2;
