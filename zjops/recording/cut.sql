-- A recording's rows between two moments (:first, :last), from the database `whole` into the main one.

-- name: jobs
INSERT INTO jobs SELECT * FROM whole.jobs
WHERE seen_at <= :last AND (final_at IS NULL OR final_at >= :first);

-- name: seconds
INSERT INTO seconds SELECT * FROM whole.seconds WHERE second BETWEEN :first / 1000 AND :last / 1000;

-- name: requests
INSERT INTO requests SELECT * FROM whole.requests WHERE second BETWEEN :first / 1000 AND :last / 1000;

-- name: depths
INSERT INTO depths SELECT * FROM whole.depths WHERE at BETWEEN :first AND :last;

-- name: readings
-- Also the newest before, which still held.
INSERT INTO readings SELECT * FROM whole.readings AS reading WHERE at <= :last AND at >= coalesce((
  SELECT max(at) FROM whole.readings AS other WHERE other.kind = reading.kind AND other.at <= :first
), :first);

-- name: batches
INSERT INTO batches SELECT * FROM whole.batches WHERE closed_at <= :last AND (final_at IS NULL OR final_at >= :first);

-- name: acts
INSERT INTO acts SELECT * FROM whole.acts WHERE at <= :last;

-- name: outages
INSERT INTO outages SELECT * FROM whole.outages WHERE since <= :last AND (until IS NULL OR until >= :first);
