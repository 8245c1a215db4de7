"""How much of a world may be asked for, from `TENANTS_LEAST` of the population on."""

from __future__ import annotations

from zjops.domain.errors import UsageError

DAYS_MOST, TENANTS_MOST, JOBS_MOST = 400, 2_000, 5_000_000
JOBS_A_TENANT_DAY = 35
SEED_MOST = 2**31 - 1


def within(option: str, value: int, least: int, most: int) -> int:
    """A value that may be asked for. Raises `UsageError` that names the option."""
    if not least <= value <= most:
        raise UsageError(f"{option} goes from {least} to {most}")
    return value
