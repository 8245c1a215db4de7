"""How much of a world may be asked for, from `TENANTS_LEAST` of the population on."""

from __future__ import annotations

DAYS_MOST, TENANTS_MOST, JOBS_MOST = 400, 2_000, 5_000_000
JOBS_A_TENANT_DAY = 35
