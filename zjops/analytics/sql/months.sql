-- The UTC months in which jobs of the log were accepted.
SELECT DISTINCT strftime(make_timestamp(accepted_at * 1000), '%Y-%m') AS month FROM events ORDER BY month;
