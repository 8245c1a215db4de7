"""The platform's settings: one frozen tree, read once, handed to components in slices."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from zjops.domain.chains import Finality, parse_finality, profile_named, usual_finality
from zjops.domain.errors import UsageError

PREFIX = "ZJOPS_"
STORE_FILE = "store.sqlite"
"""The store's name in the folder of a platform."""
CLOCK_OFFSET_MOST_S = 10 * 365 * 86_400
BATCH_MOST = 10_000
"""The contract's own `MAX_BATCH`: a root of more jobs is refused by it for ever."""
DAY_S = 86_400
Span = Annotated[float, msgspec.Meta(gt=0, le=DAY_S)]
"""Seconds of something that takes time."""
Wait = Annotated[float, msgspec.Meta(ge=0, le=DAY_S)]
"""Seconds that may be none."""
Gwei = Annotated[float, msgspec.Meta(ge=1e-9, le=1e9)]
"""A price of a unit of gas: a wei at least."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting; durations in seconds, sizes in bytes. `ZJOPS_<NAME>` or `settings.json` in the home set them."""

    # Batches close at this many jobs or at this age of their oldest job, whichever comes first (C81).
    batch_max_jobs: Annotated[int, msgspec.Meta(ge=1, le=BATCH_MOST)] = 1000
    batch_max_age_s: Wait = 5.0
    # Or by one of the two alone: the number then only splits what closes by age.
    batch_by: Literal["count", "age", "both"] = "both"
    # The node that the relayer uses, in place of the platform's own.
    rpc_url: str = ""
    # When an outcome is final (C81): `depth:N` blocks, the block itself included, or the chain's `safe` or `finalized`;
    # empty for the rule of the chain's profile.
    finality: str = ""
    # The most that the relayer offers for a unit of gas; above it, batches wait.
    fee_ceiling_gwei: Gwei = 500.0
    # The most of it that may go to the block's maker, whatever the node suggests and however often more is offered.
    tip_ceiling_gwei: Gwei = 50.0
    # A transaction that is not mined by then, though blocks are made, is replaced by one that offers a tenth more.
    stuck_after_s: Span = 30.0
    # A keystore of the operator and the file with its password, in place of those that the home makes.
    keystore_file: str = ""
    keystore_password_file: str = ""
    block_time_s: Annotated[float, msgspec.Meta(ge=0.01, le=DAY_S)] = 1.0
    # How often the relayer looks at the chain while batches are on their way; 0 for twice in the time of a block.
    chain_poll_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 0.0
    # The node that the platform starts: its own devnet, or Foundry's anvil where that is on the machine.
    chain: Literal["devnet", "anvil"] = "devnet"
    # The chain's id; where nothing says otherwise, that of the profile of `chain`.
    chain_id: Annotated[int, msgspec.Meta(ge=1, le=2**53)] = 31338
    # Anvil's program; empty for the one on PATH or that of `make anvil`.
    anvil_binary: str = ""
    # How many seconds the devnet's clock is ahead of this machine's; negative for behind.
    chain_clock_offset_s: Annotated[int, msgspec.Meta(ge=-CLOCK_OFFSET_MOST_S, le=CLOCK_OFFSET_MOST_S)] = 0
    # Jobs that run at once in one worker process.
    worker_slots: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 2
    # How often idle services look for work that nobody announced.
    poll_s: Span = 0.25
    # How long one question to the broker may wait for messages before it is asked again.
    idle_s: Span = 5.0
    # How long a holder of a lease may be silent before another takes over.
    lease_s: Annotated[float, msgspec.Meta(ge=0.5, le=3600)] = 6.0
    # How long an idempotency key is kept (R24).
    idempotency_s: Annotated[int, msgspec.Meta(ge=1, le=366 * DAY_S)] = 86_400
    # Rows wait at most this long before they are written to the metering log.
    meter_flush_s: Wait = 1.0
    # The same for rollups of requests; less than the broker's patience with the meter (10 s).
    requests_flush_s: Annotated[float, msgspec.Meta(ge=0, lt=10)] = 5.0
    # How often the meter looks for files of an hour or a day that has ended, to make one of many.
    compact_every_s: Span = 300.0
    # Whether the supervisor probes the API (C79): a read every so many seconds, and a no-op job.
    prober: bool = True
    prober_read_s: Annotated[float, msgspec.Meta(ge=0.1)] = 1.0
    prober_job_s: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    # Whether a proxy stands before the API, the broker and the chain, which faults can make slow or cut.
    proxies: bool = False
    # A process's log begins anew at this size, and so many older files of it are kept.
    log_bytes: Annotated[int, msgspec.Meta(ge=1_000)] = 16_777_216
    logs_kept: Annotated[int, msgspec.Meta(ge=1, le=100)] = 4
    # Published outbox rows are kept this long, so that a lost tail of a stream can be published again (C82).
    outbox_keep_s: Annotated[int, msgspec.Meta(ge=1, le=366 * DAY_S)] = 3600
    # While much is under way, roles behind the API wait this long for more: fewer and larger parts cost less. With 0,
    # submissions that come close together do not wait for each other either.
    linger_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.02
    # Whether all others stay off the processor on which the API answers, while it has something to do.
    api_apart: bool = True
    # What was published is marked so at most this much later: each mark is an fsync for which submissions wait.
    outbox_mark_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.25
    audience: str = "https://api.zama.ai"
    # Tokens: strict after RFC 9068, or as Keycloak makes them (typ JWT, azp).
    token_profile: Literal["rfc9068", "keycloak"] = "rfc9068"  # noqa: S105 - the name of a profile
    # An issuer elsewhere, by its identifier and the address of its keys; then this platform issues no tokens.
    external_issuer: str = ""
    external_jwks: str = ""
    # A new signing key is published this long before it signs.
    key_lead_s: Annotated[int, msgspec.Meta(ge=0, le=DAY_S)] = 60
    # Addresses of proxies whose X-Forwarded-For is believed, separated by commas.
    trusted_proxies: str = ""
    # Admission: jobs that may be active on the platform, how late the event loop may be, how long a submission may have
    # to wait for its answer, and its job for the platform; beyond any of them submissions are shed with 503.
    admission_jobs: Annotated[int, msgspec.Meta(ge=1, le=10**9)] = 500_000
    admission_lag_s: Span = 1.0
    admission_wait_s: Span = 0.15
    admission_behind_s: Span = 5.0
    # Where webhooks may go: anywhere public; loopback too, as on this machine; or private networks too.
    webhook_targets: Literal["public", "loopback", "private"] = "loopback"
    # Waits before the second to fifth attempt of a delivery, in seconds, and the patience with one attempt.
    webhook_waits_s: tuple[Wait, ...] = (5.0, 300.0, 1800.0, 7200.0)
    webhook_timeout_s: Span = 15.0
    # Where traces go by OTLP over HTTP; empty for nowhere. And the share of them that is kept.
    otlp_endpoint: str = ""
    trace_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    # The longest that a request may wait for the end of a job by `Prefer: wait`.
    prefer_wait_most_s: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 30
    # Origins that browsers may call from, separated by commas; empty for none.
    cors_origins: str = ""
    # First and doubled delay before a failed attempt is dispatched again, and its ceiling.
    retry_first_s: Wait = 0.5
    retry_most_s: Wait = 30.0

    @property
    def final_by(self) -> Finality:
        """The rule of finality that counts. Raises `UsageError`."""
        return parse_finality(self.finality or usual_finality(self.chain_id))


def load_settings(home: Path | None, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Defaults, then `settings.json` of the home, then the environment, then arguments. Raises `UsageError`.

    What cannot work is refused here, before anything is started by it or remembers it.
    """
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    path = home / "settings.json" if home else None
    try:
        if path and path.exists():
            values |= msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        source = os.environ if environ is None else environ
        values |= {name: source[PREFIX + name.upper()] for name in known if PREFIX + name.upper() in source}
        values |= overrides
        chosen = msgspec.convert(values, Settings, strict=False)
    except (msgspec.MsgspecError, OSError) as exc:
        raise UsageError(f"settings: {_named(exc, values)}") from exc
    if "chain_id" not in values:
        chosen = msgspec.structs.replace(chosen, chain_id=profile_named(chosen.chain).chain_id)
    _check(chosen)
    return chosen


def _named(exc: Exception, values: Mapping[str, Any]) -> str:
    """What was wrong, with the name of the setting and what it was to be."""
    found = re.search(r" - at `\$\.(\w+)", str(exc))
    if found is None or found[1] not in values:
        return str(exc)
    return f"{found[1]} is {values[found[1]]!r:.60}: {str(exc)[: found.start()]}"


def _check(chosen: Settings) -> None:
    """What a field's own bounds do not say. Raises `UsageError`."""
    try:
        _ = chosen.final_by
    except UsageError as exc:
        raise UsageError(f"settings: {exc}") from exc
    for name in ("rpc_url", "external_jwks", "otlp_endpoint"):
        url = getattr(chosen, name)
        if url and not _is_http(url):
            raise UsageError(f"settings: {name} is {url!r:.60}, which is no http:// or https:// address")
    if chosen.keystore_password_file and not chosen.keystore_file:
        raise UsageError("settings: keystore_password_file goes with keystore_file, which is not set")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
