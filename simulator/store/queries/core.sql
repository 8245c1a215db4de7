-- Leases, outbox, export: what several roles share.

-- name: lease_get
SELECT owner, epoch, expires_at FROM leases WHERE name = :name;

-- name: lease_put
INSERT INTO leases (name, owner, epoch, expires_at) VALUES (:name, :owner, :epoch, :expires_at)
ON CONFLICT (name) DO UPDATE SET owner = :owner, epoch = :epoch, expires_at = :expires_at;

-- name: lease_drop
UPDATE leases SET expires_at = 0 WHERE name = :name AND owner = :owner AND epoch = :epoch;

-- name: outbox_put
INSERT INTO outbox (stream, subject, msg_id, payload, traceparent, created_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: outbox_last
SELECT coalesce(max(n), 0) AS n FROM outbox;

-- name: outbox_after
SELECT n, subject, msg_id, payload, traceparent FROM outbox
WHERE stream = :stream AND n > :after ORDER BY n LIMIT :most;

-- name: outbox_next
-- All streams together, so that what stands between the rows of a quiet one is not looked at again and again.
SELECT n, stream, subject, msg_id, payload, traceparent FROM outbox WHERE n > :after ORDER BY n LIMIT :most;

-- name: outbox_following
-- The next row of a stream; where there is none, the number that comes next.
SELECT coalesce((SELECT n FROM outbox WHERE stream = :stream AND n > :after ORDER BY n LIMIT 1),
  (SELECT max(n) + 1 FROM outbox), 1) AS n;

-- name: outbox_find
-- What is looked for is near the end.
SELECT n FROM outbox WHERE stream = :stream AND msg_id = :msg_id ORDER BY n DESC LIMIT 1;

-- name: outbox_marked
-- Up to which number all rows have left.
SELECT coalesce(max(upto), 0) AS n FROM outbox_marks;

-- name: outbox_mark
INSERT INTO outbox_marks (upto, at)
SELECT :upto, :now WHERE :upto > coalesce((SELECT max(upto) FROM outbox_marks), 0);

-- name: outbox_purge
-- What had left before, so many of them. The last row stays.
DELETE FROM outbox WHERE n <= (SELECT max(upto) FROM outbox_marks WHERE at < :before)
  AND n < (SELECT max(n) FROM outbox) AND n < (SELECT min(n) FROM outbox) + :most;

-- name: outbox_marks_purge
-- All but the last one of them.
DELETE FROM outbox_marks WHERE upto < (SELECT max(upto) FROM outbox_marks WHERE at < :before);

-- name: outbox_unpublished
-- Numbers are dense.
SELECT max(0, coalesce((SELECT max(n) FROM outbox), 0) - coalesce((SELECT max(upto) FROM outbox_marks), 0)) AS count;

-- name: setting_get
SELECT value FROM settings WHERE name = :name;

-- name: setting_put
INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value;

-- name: setting_drop
DELETE FROM settings WHERE name = :name;

-- name: export_counts
SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT count(*) FROM batches) AS batches;

-- name: export_jobs
SELECT * FROM jobs WHERE id > :after ORDER BY id LIMIT :most;

-- name: export_batches
SELECT * FROM batches WHERE id > :after ORDER BY id LIMIT :most;
