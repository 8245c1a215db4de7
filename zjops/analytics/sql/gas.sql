-- The gas of each batch as it was shared out to its jobs.
SELECT batch_id, sum(gas_share)::BIGINT AS gas FROM (SELECT DISTINCT ON (event_id) * FROM events)
WHERE type = 'confirmed' GROUP BY batch_id;
