-- What operators and rules did about a tenant's plan and money before a moment, with the event that tells of it.
SELECT event_id, stream_seq, time, kind, actor, action, reason, "values" FROM ops_once
WHERE tenant = $tenant AND time < $after_ms AND kind IN ('tenant', 'plan', 'credit')
ORDER BY time, event_id;
