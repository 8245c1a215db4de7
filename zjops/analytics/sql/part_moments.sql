-- Moments of acceptance by which the log falls into parts of about as many events: at these fractions of all of them.
SELECT approx_quantile(accepted_at, $fractions::FLOAT[]) AS moments FROM events;
