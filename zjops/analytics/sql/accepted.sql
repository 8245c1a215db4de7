-- How many jobs were accepted, by the events that told of it.
SELECT count(DISTINCT job_id) AS jobs FROM events WHERE type = 'submitted';
