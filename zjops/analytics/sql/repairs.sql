-- What operators had anchored again, an event each: the batches by what was done with them, as JSON.
SELECT any_value("values") AS batches FROM ops WHERE action = 'relayer.reanchored' GROUP BY event_id;
