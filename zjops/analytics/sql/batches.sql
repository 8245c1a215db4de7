-- What the events told of each batch: its gas as it was shared out, and where it was confirmed.
-- All events of a batch are made in one transaction; `places` counts the different ones that they name.
SELECT batch_id, sum(gas_share)::BIGINT AS gas, any_value(tx_hash) AS tx_hash, any_value(block_number) AS block_number,
       any_value(block_hash) AS block_hash, count(DISTINCT (tx_hash, block_number, block_hash)) AS places
FROM (SELECT DISTINCT ON (event_id) * FROM events)
WHERE type = 'confirmed' GROUP BY batch_id;
