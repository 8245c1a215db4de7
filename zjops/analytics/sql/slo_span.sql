-- From which to which moment each log says something, Unix ms; nothing where it is empty. Not from event times alone: an event of now
-- shows that the log has got there, a request row counts the whole of its second.
SELECT (SELECT min("second") * 1000 FROM requests)::BIGINT AS requests_since_ms,
       (SELECT (max("second") + 1) * 1000 FROM requests)::BIGINT AS requests_until_ms,
       (SELECT min("time") FROM events)::BIGINT AS events_since_ms,
       (SELECT max("time") + 1 FROM events)::BIGINT AS events_until_ms;
