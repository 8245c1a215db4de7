-- The files of a log that count now, in the order of their numbers, as zjops chooses them: not those whose range lies
-- inside another's, which were merged into that one; of two with the same range the one that was folded to minutes.
-- NULL when there are none.
WITH named AS (
    SELECT file, regexp_extract(
        parse_filename(file), '^(\w+)-(\d{20})-(\d{20})\.parquet$', ['prefix', 'first', 'last']
    ) AS name
    FROM glob($pattern)
), ranged AS (
    SELECT file, name.prefix = 'minutes' AS folded, name.first::BIGINT AS first, name.last::BIGINT AS last
    FROM named WHERE name.prefix <> ''
), covered AS (
    SELECT *, max(last) OVER (
        ORDER BY first, last DESC, folded DESC, file ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before FROM ranged
)
SELECT list({file: file, first: first, last: last} ORDER BY first, last)
FROM covered WHERE before IS NULL OR last > before;
