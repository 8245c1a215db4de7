-- The newest part (from :first on) of the recording `whole`, into the main database.

-- name: about
INSERT INTO about SELECT * FROM whole.about;

-- name: jobs
INSERT INTO jobs SELECT * FROM whole.jobs WHERE n > (SELECT coalesce(max(n), 0) - :most FROM whole.jobs);

-- name: open_jobs
INSERT INTO jobs SELECT * FROM whole.jobs INDEXED BY jobs_open WHERE final_at IS NULL AND state <> 'cancelled'
  AND n <= (SELECT coalesce(max(n), 0) - :most FROM whole.jobs);

-- name: seconds
INSERT INTO seconds SELECT * FROM whole.seconds;

-- name: requests
INSERT INTO requests SELECT * FROM whole.requests WHERE second >= :first / 1000;

-- name: depths
INSERT INTO depths SELECT * FROM whole.depths WHERE at >= :first;

-- name: readings
-- Also the newest before, which still held.
INSERT INTO readings SELECT * FROM whole.readings AS reading WHERE at >= coalesce((
  SELECT max(at) FROM whole.readings AS other WHERE other.kind = reading.kind AND other.at <= :first
), :first);

-- name: batches
INSERT INTO batches SELECT * FROM whole.batches WHERE final_at IS NULL OR final_at >= :first;

-- name: acts
INSERT INTO acts SELECT * FROM whole.acts;

-- name: outages
INSERT INTO outages SELECT * FROM whole.outages;
