-- A log's worth of events by arithmetic: every column follows from a job's number and a seed, by DuckDB's hash.
-- `$seed` is any integer; times are Unix ms. The statements are run in this order, `chunk` and `write` for each chunk.

-- name: macros
-- A number in [0, 1) of a job, another one for each `n`.
CREATE OR REPLACE MACRO draw(j, n) AS (hash(j, n, $seed) >> 11)::DOUBLE / 9007199254740992;
-- Sixteen bytes as UUIDv7 has them: 48 bits of time, then random bits with version and variant in their places.
CREATE OR REPLACE MACRO uuid7(moment, j, n) AS
  ((moment::UBIGINT * 65536 + 28672 + (hash(j, n + 100, $seed) & 4095))::UHUGEINT * 18446744073709551616::UHUGEINT
   + ((hash(j, n + 200, $seed) >> 2) + 9223372036854775808::UBIGINT))::UUID::BLOB;
-- Plans by their share of the jobs, tenants within a plan with a few large ones in front.
CREATE OR REPLACE MACRO plan_of(u) AS
  CASE WHEN u < 0.45 THEN 'enterprise' WHEN u < 0.80 THEN 'pro' WHEN u < 0.965 THEN 'starter' ELSE 'free' END;
CREATE OR REPLACE MACRO tenant_of(u, v) AS
  CASE WHEN u < 0.45 THEN floor($enterprise * v ** 1.6)
       WHEN u < 0.80 THEN $enterprise + floor($pro * v ** 1.6)
       WHEN u < 0.965 THEN $enterprise + $pro + floor($starter * v ** 1.4)
       ELSE $enterprise + $pro + $starter + floor($free * v ** 1.1) END::BIGINT;
-- One body in twenty is large; only those who negotiated may send more than a megabyte.
CREATE OR REPLACE MACRO body_of(u, v, w) AS
  CASE WHEN v >= 0.05 THEN 150 + floor(w * 4000) WHEN u < 0.45 THEN 100000 + floor(w * 2000000)
       ELSE 100000 + floor(w * 900000) END::BIGINT;
-- Each division rounds up; DuckDB's own rounds towards zero.
CREATE OR REPLACE MACRO units_of(body) AS
  CASE WHEN body > 1000000 THEN ((body + 999) // 1000 * 6 + 4) // 5 ELSE greatest((body + 999) // 1000, 100) END::BIGINT;
-- How a job ends: 0 completed, 1 the client's fault, 2 a failure, 3 out of time, 4 cancelled while it waited.
CREATE OR REPLACE MACRO fate_of(v) AS
  CASE WHEN v < 0.965 THEN 0 WHEN v < 0.981 THEN 1 WHEN v < 0.993 THEN 2 WHEN v < 0.996 THEN 3 ELSE 4 END;
CREATE OR REPLACE MACRO type_of(v) AS
  CASE WHEN v < 0.3 THEN 'compute_heavy' WHEN v < 0.62 THEN 'data_processing' ELSE 'ml_inference' END;
CREATE OR REPLACE MACRO running_ms(j, fate) AS
  CASE WHEN fate = 3 THEN 60000 ELSE least(20 + floor(-ln(1 - draw(j, 5)) * 900), 59000) END::BIGINT;
CREATE OR REPLACE MACRO ended_ms(j, accepted, fate) AS
  CASE WHEN fate = 4 THEN accepted + 500 ELSE accepted + 5 + floor(draw(j, 6) * 55)::BIGINT + running_ms(j, fate) END;
CREATE OR REPLACE MACRO batch_of(ended) AS (ended - $start) // $batch_ms + 1;
CREATE OR REPLACE MACRO final_ms(ended) AS $start + batch_of(ended) * $batch_ms + $final_ms;

-- name: chunk
-- The events between two moments, in order, as narrow rows: when, which (0 submitted to 3 confirmed), of which job.
-- `hours` has the jobs of each hour: when it begins, the first job's number and that behind the last. `$life_ms` after its
-- acceptance nothing happens to a job any more.
CREATE OR REPLACE TEMP TABLE chunk AS
WITH jobs AS (
  SELECT j, begin_ms + ((j - first) * 3600000 + floor(draw(j, 1) * 3600000)::BIGINT) // (after - first) AS accepted,
    fate_of(draw(j, 4)) AS fate
  FROM (SELECT begin_ms, first, after, unnest(range(first, after)) AS j FROM hours
        WHERE begin_ms + 3600000 + $life_ms > $from AND begin_ms < $until)
), ends AS (SELECT j, accepted, fate, ended_ms(j, accepted, fate) AS ended FROM jobs),
anchored AS (
  SELECT j, accepted, fate, ended, final_ms(ended) AS final, batch_of(ended) AS batch FROM ends
  WHERE fate <> 4 AND final_ms(ended) >= $from AND final_ms(ended) < $until
), told AS (
  SELECT accepted AS time, 0::TINYINT AS kind, j, accepted, fate, NULL::BIGINT AS sequence, NULL::BIGINT AS leaf,
    NULL::BIGINT AS leaves FROM jobs
  UNION ALL
  SELECT CASE WHEN ended - accepted > 260 THEN ended - running_ms(j, fate) + 200 ELSE ended END, 1, j, accepted, fate,
    NULL, NULL, NULL FROM ends WHERE fate <> 4
  UNION ALL
  SELECT ended, 2, j, accepted, fate, NULL, NULL, NULL FROM ends
  UNION ALL
  SELECT final, 3, j, accepted, fate, $sequence + row_number() OVER (ORDER BY ended, j),
    row_number() OVER (PARTITION BY batch ORDER BY ended, j) - 1, count(*) OVER (PARTITION BY batch) FROM anchored
)
SELECT * FROM told WHERE time >= $from AND time < $until ORDER BY time, kind, j;

-- name: write
-- All columns of the metering log from the narrow rows; in the outbox the tenants' creation comes before them.
SELECT uuid7(time, j, kind) AS event_id, $tenants + $offset + rowid + 1 AS outbox_no, $offset + rowid + 1 AS stream_seq,
  CASE kind WHEN 0 THEN 'submitted' WHEN 1 THEN 'processing' WHEN 3 THEN 'confirmed'
    ELSE CASE fate WHEN 0 THEN 'completed' WHEN 4 THEN 'cancelled' ELSE 'failed' END END AS type,
  time, 'tenant-' || lpad(tenant_of(u, draw(j, 3))::VARCHAR, 5, '0') AS tenant, plan_of(u) AS plan,
  uuid7(accepted, j, 9) AS job_id, type_of(draw(j, 7)) AS job_type, accepted AS accepted_at, body AS payload_bytes,
  units_of(body) AS compute_units,
  CASE WHEN kind < 2 THEN 'held' WHEN fate < 2 THEN 'charged' ELSE 'released' END AS charge,
  CASE kind WHEN 0 THEN 'pending' WHEN 1 THEN 'processing'
    ELSE CASE fate WHEN 0 THEN CASE kind WHEN 2 THEN 'completed' ELSE 'confirmed' END WHEN 4 THEN 'cancelled'
      ELSE 'failed' END END AS status,
  CASE WHEN kind < 2 THEN NULL ELSE [NULL, 'invalid_parameters', 'synthetic', 'timeout', NULL][fate + 1] END
    AS error_code,
  CASE WHEN kind = 0 OR fate = 4 THEN 0 ELSE 1 END::INTEGER AS attempt,
  CASE WHEN kind >= 2 AND fate <> 4 THEN running_ms(j, fate) END AS processing_ms,
  CASE WHEN kind = 3 THEN batch_of(ended_ms(j, accepted, fate)) END AS batch_id, sequence AS chain_sequence,
  leaf::INTEGER AS leaf_index,
  CASE WHEN kind = 3 THEN uuid7(time, batch_of(ended_ms(j, accepted, fate)), 11)
    || uuid7(time, batch_of(ended_ms(j, accepted, fate)), 12) END AS tx_hash,
  CASE WHEN kind = 3 THEN (time - $start) // 12000 END AS block_number,
  CASE WHEN kind = 3 THEN uuid7(time, batch_of(ended_ms(j, accepted, fate)), 13)
    || uuid7(time, batch_of(ended_ms(j, accepted, fate)), 14) END AS block_hash,
  CASE WHEN kind = 3 THEN $gas // leaves + (leaf < $gas % leaves)::BIGINT END AS gas_share,
  NULL::VARCHAR AS traceparent
FROM (SELECT *, rowid, draw(j, 2) AS u, body_of(draw(j, 2), draw(j, 8), draw(j, 10)) AS body FROM chunk)

-- name: tenants
-- The creation of every tenant, as the operators' log has it.
SELECT uuid7($start, t, 21) AS event_id, t + 1 AS outbox_no, t + 1 AS stream_seq, $start AS time, 'tenant' AS kind,
  'volume' AS actor, 'tenant.create' AS action, 'tenant-' || lpad(t::VARCHAR, 5, '0') AS tenant,
  NULL::VARCHAR AS reason,
  '{"overrides":{},"plan":"' || CASE WHEN t < $enterprise THEN 'enterprise' WHEN t < $enterprise + $pro THEN 'pro'
    WHEN t < $enterprise + $pro + $starter THEN 'starter' ELSE 'free' END || '"}' AS "values"
FROM range($enterprise + $pro + $starter + $free) r(t)
