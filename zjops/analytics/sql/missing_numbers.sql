-- Numbers of a stream that its files promise and no row has, as runs from first to last; `numbers` stands for its log.
SELECT s + 1 AS first, following - 1 AS last
FROM (
    SELECT s, lead(s) OVER (ORDER BY s) AS following
    FROM (SELECT stream_seq AS s FROM numbers UNION SELECT unnest([$before::BIGINT, $after::BIGINT]))
)
WHERE following > s + 1 AND s >= $before AND following <= $after ORDER BY s;
