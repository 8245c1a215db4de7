-- The negotiated values that an operator last gave a tenant before the month's end.
SELECT arg_max("values", time) AS chosen FROM ops
WHERE tenant = $tenant AND time < $after_ms AND action IN ('tenant.create', 'tenant.change')
  AND json_extract("values", '$.overrides') IS NOT NULL AND json_type("values", '$.overrides') = 'OBJECT';
