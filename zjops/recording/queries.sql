-- name: put_job
-- What an event tells of a job, on top of what is known: a hop is told once, and what is told no more stays.
INSERT INTO jobs (
  job_id, tenant, plan, job_type, state, outcome, accepted_at, seen_at, started_at, ended_at, final_at, attempt,
  processing_ms, payload_bytes, compute_units, charge, error_code, batch_id, chain_sequence, leaf_index, tx_hash,
  block_number, gas_share, trace_id
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job_id) DO UPDATE SET
  state = excluded.state,
  outcome = coalesce(excluded.outcome, outcome),
  seen_at = min(seen_at, excluded.seen_at),
  started_at = coalesce(started_at, excluded.started_at),
  ended_at = coalesce(excluded.ended_at, ended_at),
  final_at = coalesce(excluded.final_at, final_at),
  attempt = max(attempt, excluded.attempt),
  processing_ms = coalesce(excluded.processing_ms, processing_ms),
  charge = excluded.charge,
  error_code = coalesce(excluded.error_code, error_code),
  batch_id = coalesce(excluded.batch_id, batch_id),
  chain_sequence = coalesce(excluded.chain_sequence, chain_sequence),
  leaf_index = coalesce(excluded.leaf_index, leaf_index),
  tx_hash = coalesce(excluded.tx_hash, tx_hash),
  block_number = coalesce(excluded.block_number, block_number),
  gas_share = coalesce(excluded.gas_share, gas_share),
  trace_id = coalesce(trace_id, excluded.trace_id);

-- name: add_second
INSERT INTO seconds (second, submitted, processing, completed, failed, cancelled, confirmed)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (second) DO UPDATE SET
  submitted = submitted + excluded.submitted, processing = processing + excluded.processing,
  completed = completed + excluded.completed, failed = failed + excluded.failed,
  cancelled = cancelled + excluded.cancelled, confirmed = confirmed + excluded.confirmed;

-- name: requests_of
SELECT total, good, refused, bad, within_300ms, within_500ms, histogram FROM requests
WHERE second = ? AND source = ? AND plan = ?;

-- name: put_requests
INSERT OR REPLACE INTO requests (
  second, source, plan, total, good, refused, bad, within_300ms, within_500ms, histogram
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: open_jobs
SELECT state, count(*), min(coalesce(ended_at, started_at, accepted_at)) FROM jobs INDEXED BY jobs_open
WHERE final_at IS NULL AND state <> 'cancelled' GROUP BY state;

-- name: put_depth
INSERT OR REPLACE INTO depths (at, stage, jobs, oldest_at) VALUES (?, ?, ?, ?);

-- name: put_reading
INSERT OR REPLACE INTO readings (kind, at, body) VALUES (?, ?, ?);

-- name: put_batch
INSERT INTO batches (
  batch_id, jobs, state, closed_at, sent_at, mined_at, final_at, block_number, tx_hash, gas_used, gas_price_wei, repairs
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (batch_id) DO UPDATE SET
  state = excluded.state, sent_at = excluded.sent_at, mined_at = coalesce(mined_at, excluded.mined_at),
  final_at = excluded.final_at, block_number = excluded.block_number, tx_hash = excluded.tx_hash,
  gas_used = excluded.gas_used, gas_price_wei = excluded.gas_price_wei, repairs = excluded.repairs;

-- name: put_act
INSERT INTO acts (at, kind, actor, action, tenant, reason) VALUES (?, ?, ?, ?, ?, ?);

-- name: put_outage
INSERT INTO outages (source, since, until, reason) VALUES (?, ?, ?, ?)
ON CONFLICT (source, since) DO UPDATE SET until = excluded.until, reason = excluded.reason;

-- name: oldest_minute
-- The first moment of the oldest minute that holds anything.
SELECT min(second) / 60 * 60000 FROM (
  SELECT min(second) AS second FROM seconds UNION ALL SELECT min(second) FROM requests
  UNION ALL SELECT min(at) / 1000 FROM depths
);

-- name: drop_readings
-- The newest of each kind up to a moment still holds then.
DELETE FROM readings WHERE at < (
  SELECT max(at) FROM readings AS other WHERE other.kind = readings.kind AND other.at <= ?
);

-- name: first_job_from
SELECT n FROM jobs WHERE accepted_at >= ? ORDER BY n LIMIT 1;

-- name: last_job
SELECT max(n) FROM jobs;

-- name: series
-- Events by so many seconds, both ends of the range included.
SELECT min(:first + (second - :first) / :bucket * :bucket), sum(submitted), sum(processing), sum(completed),
  sum(failed), sum(cancelled), sum(confirmed)
FROM seconds WHERE second BETWEEN :first AND :last GROUP BY (second - :first) / :bucket ORDER BY 1;

-- name: request_sums
SELECT source, plan, sum(total), sum(good), sum(bad), sum(within_300ms), sum(within_500ms) FROM requests
WHERE second BETWEEN ? AND ? GROUP BY source, plan;

-- name: request_series
SELECT min(:first + (second - :first) / :bucket * :bucket), sum(total), sum(bad) FROM requests
WHERE second BETWEEN :first AND :last AND source = 'api' GROUP BY (second - :first) / :bucket ORDER BY 1;

-- name: traffic
SELECT second, source, plan, total, good, refused, bad, within_300ms, within_500ms, histogram FROM requests
WHERE second BETWEEN ? AND ? ORDER BY second;

-- name: depths_at
SELECT stage, jobs, oldest_at FROM depths WHERE at = (SELECT max(at) FROM depths WHERE at <= ?);

-- name: depths_from
SELECT at, stage, jobs, oldest_at FROM depths WHERE at >= ? ORDER BY at;

-- name: jobs_from
-- Jobs to which something happened from a moment on, in the places of `put_job`.
SELECT job_id, tenant, plan, job_type, state, outcome, accepted_at, seen_at, started_at, ended_at, final_at, attempt,
  processing_ms, payload_bytes, compute_units, charge, error_code, batch_id, chain_sequence, leaf_index, tx_hash,
  block_number, gas_share, trace_id
FROM jobs WHERE max(seen_at, coalesce(started_at, 0), coalesce(ended_at, 0), coalesce(final_at, 0)) >= ? ORDER BY n;

-- name: depth_series
SELECT at / 1000, stage, jobs FROM depths WHERE at BETWEEN ? AND ? ORDER BY at;

-- name: oldest_series
SELECT at, oldest_at FROM depths WHERE stage = ? AND at <= ? ORDER BY at;

-- name: readings_until
SELECT at, body FROM readings WHERE kind = ? AND at <= ? ORDER BY at;

-- name: reading_at
SELECT at, body FROM readings WHERE kind = ? AND at <= ? ORDER BY at DESC LIMIT 1;

-- name: first_reading
SELECT at, body FROM readings WHERE kind = ? ORDER BY at LIMIT 1;

-- name: outages_at
SELECT source, since, reason FROM outages WHERE since <= ? AND (until IS NULL OR until > ?) ORDER BY source;

-- name: outage_spans
SELECT source, since, until, reason FROM outages WHERE since <= ? ORDER BY since;

-- name: away_ms
SELECT sum(min(coalesce(until, :last), :last) - max(since, :first)) FROM outages
WHERE source = :source AND since < :last AND coalesce(until, :last) > :first;

-- name: job_span
-- Places are dense: jobs are only added at the end and dropped at the beginning.
SELECT (SELECT min(n) FROM jobs), (SELECT max(n) FROM jobs);

-- name: batches_at
-- Batches that were closed by a moment, newest first.
SELECT batch_id, jobs, closed_at, sent_at, mined_at, final_at, block_number, tx_hash, gas_used, gas_price_wei, repairs
FROM batches WHERE closed_at <= ? ORDER BY batch_id DESC LIMIT ?;

-- name: open_batches_at
-- Batches that were not final at a moment by their state: how many, their jobs, the oldest's moment, the newest's number.
SELECT CASE WHEN mined_at <= :at THEN 'mined' WHEN sent_at <= :at THEN 'sent' ELSE 'closed' END AS state,
  count(*), sum(jobs), min(closed_at), max(batch_id)
FROM batches WHERE closed_at <= :at AND (final_at IS NULL OR final_at > :at) GROUP BY state;

-- name: batch_after
-- The first batch that was closed after a moment (:from) and was not final at another one.
SELECT batch_id, jobs, closed_at, sent_at, mined_at, final_at, block_number, tx_hash, gas_used, gas_price_wei, repairs
FROM batches WHERE closed_at BETWEEN :from AND :at AND (final_at IS NULL OR final_at > :at) ORDER BY batch_id LIMIT 1;

-- name: batch_spans
SELECT closed_at, final_at FROM batches WHERE closed_at <= ? ORDER BY closed_at;

-- name: batch_series
SELECT closed_at / 1000, count(*) FROM batches WHERE closed_at BETWEEN ? AND ? GROUP BY 1;

-- name: batch
SELECT batch_id, jobs, closed_at, sent_at, mined_at, final_at, block_number, tx_hash, gas_used, gas_price_wei, repairs
FROM batches WHERE batch_id = ?;

-- name: acts_at
SELECT at, kind, actor, action, tenant, reason FROM acts WHERE at <= ? ORDER BY at DESC LIMIT ?;

-- name: errors
-- Failures of a range by their code and type of job: how many, first and last seen, tenants, the newest as a sample.
SELECT error_code, job_type, count(*), min(ended_at), max(ended_at), count(DISTINCT tenant), max(n) FROM jobs
WHERE error_code IS NOT NULL AND ended_at BETWEEN ? AND ?
GROUP BY error_code, job_type ORDER BY count(*) DESC, error_code, job_type;

-- name: job_named
SELECT {columns} FROM jobs WHERE job_id = ? AND seen_at <= ?;

-- name: job_numbered
SELECT {columns} FROM jobs WHERE n = ?;

-- name: tenants_seen
-- From one to the next by the index: looking at every job would take a while.
WITH RECURSIVE seen (tenant) AS (
  SELECT min(tenant) FROM jobs
  UNION ALL SELECT (SELECT min(tenant) FROM jobs WHERE tenant > seen.tenant) FROM seen WHERE tenant IS NOT NULL
)
SELECT tenant FROM seen WHERE tenant IS NOT NULL LIMIT ?;

-- name: span
SELECT min(first), max(last) FROM (
  SELECT min(second) * 1000 AS first, max(second) * 1000 + 999 AS last FROM seconds
  UNION ALL SELECT min(second) * 1000, max(second) * 1000 + 999 FROM requests
  UNION ALL SELECT min(at), max(at) FROM depths
);
