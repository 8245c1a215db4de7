"""The platform's settings: one frozen tree, read once, handed to components in slices."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from zjops.domain.chains import profile_named
from zjops.domain.errors import UsageError

PREFIX = "ZJOPS_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting; durations in seconds, sizes in bytes. `ZJOPS_<NAME>` or `settings.json` in the home set them."""

    # Batches close at this many jobs or at this age of their oldest job, whichever comes first (C81).
    batch_max_jobs: int = 1000
    batch_max_age_s: float = 5.0
    # Or by one of the two alone: the number then only splits what closes by age.
    batch_by: Literal["count", "age", "both"] = "both"
    # The node that the relayer uses, in place of the platform's own.
    rpc_url: str = ""
    # When an outcome is final (C81): `depth:N` blocks, the block itself included, or the chain's `safe` or `finalized`.
    finality: str = "depth:3"
    # The most that the relayer offers for a unit of gas; above it, batches wait.
    fee_ceiling_gwei: float = 500.0
    # A transaction that is not mined by then is replaced by one that offers a tenth more.
    stuck_after_s: float = 30.0
    # A keystore of the operator and the file with its password, in place of those that the home makes.
    keystore_file: str = ""
    keystore_password_file: str = ""
    block_time_s: float = 1.0
    # The node that the platform starts: its own devnet, or Foundry's anvil where that is on the machine.
    chain: Literal["devnet", "anvil"] = "devnet"
    # The chain's id; where nothing says otherwise, that of the profile of `chain`.
    chain_id: int = 31338
    # Anvil's program; empty for the one on PATH or that of `make anvil`.
    anvil_binary: str = ""
    # Jobs that run at once in one worker process.
    worker_slots: int = 2
    # How often idle services look for work that nobody announced.
    poll_s: float = 0.25
    # How long one question to the broker may wait for messages before it is asked again.
    idle_s: float = 5.0
    # How long a holder of a lease may be silent before another takes over.
    lease_s: float = 6.0
    # How long an idempotency key is kept (R24).
    idempotency_s: int = 86_400
    # Rows wait at most this long before they are written to the metering log.
    meter_flush_s: float = 1.0
    # The same for rollups of requests; less than the broker's patience with the meter (10 s).
    requests_flush_s: float = 5.0
    # How often the meter looks for files of an hour or a day that has ended, to make one of many.
    compact_every_s: float = 300.0
    # Whether the supervisor probes the API (C79): a read every so many seconds, and a no-op job.
    prober: bool = True
    prober_read_s: Annotated[float, msgspec.Meta(ge=0.1)] = 1.0
    prober_job_s: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    # A process's log begins anew at this size, and so many older files of it are kept.
    log_bytes: Annotated[int, msgspec.Meta(ge=1_000)] = 16_777_216
    logs_kept: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    # Published outbox rows are kept this long, so that a lost tail of a stream can be published again (C82).
    outbox_keep_s: int = 3600
    audience: str = "https://api.zama.ai"
    # Tokens: strict after RFC 9068, or as Keycloak makes them (typ JWT, azp).
    token_profile: Literal["rfc9068", "keycloak"] = "rfc9068"  # noqa: S105 - the name of a profile
    # An issuer elsewhere, by its identifier and the address of its keys; then this platform issues no tokens.
    external_issuer: str = ""
    external_jwks: str = ""
    # A new signing key is published this long before it signs.
    key_lead_s: int = 60
    # Addresses of proxies whose X-Forwarded-For is believed, separated by commas.
    trusted_proxies: str = ""
    # Admission: jobs that may be active on the platform, and how late the event loop may be.
    admission_jobs: int = 500_000
    admission_lag_s: float = 1.0
    # Where webhooks may go: anywhere public; loopback too, as on this machine; or private networks too.
    webhook_targets: Literal["public", "loopback", "private"] = "loopback"
    # Waits before the second to fifth attempt of a delivery, in seconds, and the patience with one attempt.
    webhook_waits_s: tuple[float, ...] = (5.0, 300.0, 1800.0, 7200.0)
    webhook_timeout_s: float = 15.0
    # Where traces go by OTLP over HTTP; empty for nowhere. And the share of them that is kept.
    otlp_endpoint: str = ""
    trace_share: float = 1.0
    # The longest that a request may wait for the end of a job by `Prefer: wait`.
    prefer_wait_most_s: int = 30
    # Origins that browsers may call from, separated by commas; empty for none.
    cors_origins: str = ""
    # First and doubled delay before a failed attempt is dispatched again, and its ceiling.
    retry_first_s: float = 0.5
    retry_most_s: float = 30.0


def load_settings(home: Path | None, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Defaults, then `settings.json` of the home, then the environment, then arguments. Raises `UsageError`."""
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    path = home / "settings.json" if home else None
    try:
        if path and path.exists():
            values |= msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        source = os.environ if environ is None else environ
        values |= {name: source[PREFIX + name.upper()] for name in known if PREFIX + name.upper() in source}
        chosen = msgspec.convert(values | overrides, Settings, strict=False)
        given = "chain_id" in values or "chain_id" in overrides
        return chosen if given else msgspec.structs.replace(chosen, chain_id=profile_named(chosen.chain).chain_id)
    except (msgspec.MsgspecError, OSError) as exc:
        raise UsageError(f"settings: {exc}") from exc
