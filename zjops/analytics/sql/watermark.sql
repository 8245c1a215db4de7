-- How far the log has got: the newest outbox number in it.
SELECT greatest(
    (SELECT coalesce(max(outbox_no), 0) FROM events), (SELECT coalesce(max(outbox_no), 0) FROM ops)
) AS outbox_no;
