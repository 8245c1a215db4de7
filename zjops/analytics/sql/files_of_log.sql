-- The files of a log that count now, in the order of their sequences, as zjops chooses them: not those whose range lies
-- inside another's, which were compacted. NULL when there are none.
WITH named AS (
    SELECT file, regexp_extract(
        parse_filename(file), '^(\w+)-(\d{20})-(\d{20})\.parquet$', ['prefix', 'first', 'last']
    ) AS name
    FROM glob($pattern)
), ranged AS (
    SELECT file, name.prefix AS prefix, name.first::BIGINT AS first, name.last::BIGINT AS last
    FROM named WHERE name.prefix <> ''
), covered AS (
    SELECT *, max(last) OVER (
        PARTITION BY prefix ORDER BY first, last DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM ranged
)
SELECT list({file: file, prefix: prefix, first: first, last: last} ORDER BY prefix, first)
FROM covered WHERE before IS NULL OR last > before
