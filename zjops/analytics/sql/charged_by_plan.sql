-- What was charged in a month (C70, C76), by tenant and by the plan under which the job was accepted; a plan whose jobs were
-- all released stands there with nothing. The month is that of acceptance, so that neither the arrival nor the end of a
-- job moves it to another invoice. `events_within` holds each event once, of the jobs that were accepted in the month. The
-- three kinds that end no job are named instead of those that do: the scan itself leaves such rows out, a quarter faster.
SELECT tenant, plan, coalesce(sum(charged_units), 0)::BIGINT AS units, count(charged_units) AS jobs
FROM (
    SELECT tenant, plan, CASE WHEN charge = 'charged' THEN coalesce(compute_units, 0) END AS charged_units
    FROM events_within
    WHERE type NOT IN ('submitted', 'processing', 'confirmed')
      AND ($tenant IS NULL OR tenant = $tenant)
)
GROUP BY tenant, plan;
