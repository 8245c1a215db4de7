-- Whether files hold what their names say, each sequence once: as many rows, the same sum and sum of squares. Files that
-- share sequences have more rows than sequences.
SELECT (count(*), sum(stream_seq), sum(stream_seq::HUGEINT * stream_seq)) IS NOT DISTINCT FROM (
    SELECT (
        sum(f.last - f.first + 1),
        sum((f.first + f.last)::HUGEINT * (f.last - f.first + 1) // 2),
        sum(f.last::HUGEINT * (f.last + 1) * (2 * f.last + 1) // 6 - f.first::HUGEINT * (f.first - 1) * (2 * f.first - 1) // 6)
    ) FROM (SELECT unnest($files) AS f)
) AND NOT EXISTS (
    FROM (SELECT f.first AS first, lag(f.last) OVER (ORDER BY f.first) AS before FROM (SELECT unnest($files) AS f))
    WHERE first <= before
)
FROM read_parquet($paths, hive_partitioning = false)
