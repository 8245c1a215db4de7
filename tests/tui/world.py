"""Ten minutes that are always the same: traffic, failures, a relayer that pauses, an API that goes away."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec

from tests.unit.zjops.client.test_standing import QUIET
from tests.unit.zjops.recording.told import START, TRACE, job_id
from zjops.domain.clock import rfc3339
from zjops.domain.events import JobEvent
from zjops.domain.requests import LATENCY_BOUNDS_MS, rollup_of
from zjops.domain.wire import TenantView
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import BatchView
from zjops.feed.readings import CHAIN_HEAD, PLATFORM, RELAYER, TENANTS, ChainHead
from zjops.recording.changes import Changes
from zjops.recording.recorder import Recorder
from zjops.recording.rows import Act, Outage

SECONDS = 600
END = START + SECONDS * 1000
PAUSED_S, RESUMED_S = 480, 600
"""The relayer pauses in the eighth minute and does not go on."""
AWAY_S, BACK_S = 300, 320
EVIL = "tenant\x1b[31m\u202e"
"""A name that would paint the terminal red and turn its text round."""
TENANTS_OF = ("acme", "globex", "initech", EVIL)
PLANS = {"acme": "pro", "globex": "enterprise", "initech": "starter", EVIL: "free"}


class World:
    """Writes second by second, as a feed would."""

    def __init__(self, path: Path) -> None:
        self.recorder = Recorder(path, {"context": "local", "finality": "depth:3"})
        self.random = random.Random(7)
        self.jobs = self.batches = 0
        self.waiting: list[tuple[JobEvent, int]] = []
        self.used = dict.fromkeys(TENANTS_OF, 0)

    def write(self) -> None:
        """All ten minutes."""
        for second in range(SECONDS):
            changes, at = Changes(), START + second * 1000
            self._requests(changes, second)
            self._jobs(changes, at, second)
            if second % 10 == 9:
                self._batch(changes, at, second)
            self._readings(changes, at, second)
            if second == PAUSED_S:
                changes.acts.append(Act(at, "relayer", "ada", "relayer.pause", None, "drill: gas is too dear"))
            if second == BACK_S:
                changes.outages.append((Outage("API", START + AWAY_S * 1000, "Connection refused"), at))
            self.recorder.write(changes, at)
        self.recorder.close()

    def _requests(self, changes: Changes, second: int) -> None:
        if AWAY_S <= second < BACK_S:
            return
        for plan in sorted(set(PLANS.values())):
            counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
            for _ in range(self.random.randrange(1, 6)):
                counts[min(len(counts) - 1, int(self.random.expovariate(0.5)))] += 1
            status = 503 if second % 97 == 5 and plan == "starter" else 200
            changes.rollup(rollup_of(
                counts, second=START // 1000 + second, process="api", route="/v1/jobs", method="POST", status=status,
                plan=plan,
            ))  # fmt: skip

    def _jobs(self, changes: Changes, at: int, second: int) -> None:
        for _ in range(self.random.randrange(0, 3)):
            self.jobs += 1
            tenant = TENANTS_OF[self.jobs % 4]
            known: dict[str, Any] = {
                "tenant": tenant, "plan": PLANS[tenant], "job_id": job_id(self.jobs), "payload_bytes": 83,
                "job_type": ("ml_inference", "compute_heavy", "data_processing")[self.jobs % 3], "accepted_at": at,
                "compute_units": 100,
            }  # fmt: skip
            fate = "failed" if self.jobs % 13 == 4 else "cancelled" if self.jobs % 41 == 3 else "completed"
            self._events(changes, at, second, known, fate)

    def _events(self, changes: Changes, at: int, second: int, known: dict[str, Any], fate: str) -> None:
        wait, run = self.random.randrange(3, 400), self.random.randrange(5, 900)
        changes.event("submitted", at, JobEvent(status="pending", **known), TRACE)
        if second >= SECONDS - 2:
            return
        changes.event("processing", at + wait, JobEvent(status="processing", attempt=1, **known), TRACE)
        if second >= SECONDS - 5:
            return
        error = ("gpu_lost", "invalid_parameters", "bad\x07bell")[self.jobs % 3] if fate == "failed" else None
        charge = "charged" if fate == "completed" else "released"
        done = JobEvent(status=fate, charge=charge, attempt=1, processing_ms=run, error_code=error, **known)
        changes.event(fate, at + wait + run, done, TRACE)
        if charge == "charged":
            self.used[known["tenant"]] += 100
        if fate != "cancelled":
            self.waiting.append((done, second))

    def _batch(self, changes: Changes, at: int, second: int) -> None:
        if second >= PAUSED_S or not self.waiting:
            return
        self.batches += 1
        view = BatchView(
            batch_id=self.batches, first_sequence=1, count=len(self.waiting), root="0x", state="final",
            closed_at=rfc3339(at), sent_at=rfc3339(at + 120), final_at=rfc3339(at + 3_400),
            tx_hash="0x" + f"{self.batches:02x}" * 32, block_number=1_000 + second, block_hash=None, gas_used=54_503,
            gas_price_wei="1000000007",
        )  # fmt: skip
        changes.batch(msgspec.structs.replace(view, state="mined", final_at=None), at + 1_300)
        changes.batch(view, at + 3_400)
        for index, (done, _) in enumerate(self.waiting):
            status = "confirmed" if done.status == "completed" else done.status
            changes.event("confirmed", at + 3_400, msgspec.structs.replace(
                done, status=status, batch_id=self.batches, chain_sequence=index + 1, leaf_index=index,
                tx_hash=view.tx_hash, block_number=view.block_number, gas_share=54_503 // len(self.waiting),
            ), TRACE)  # fmt: skip
        self.waiting = []

    def _readings(self, changes: Changes, at: int, second: int) -> None:
        paused = second >= PAUSED_S
        oldest = None if not self.waiting else (second - self.waiting[0][1]) * 1000
        changes.reading(PLATFORM, at, PlatformState(
            active_jobs=3, unpublished=second % 3, oldest_unpublished_ms=(second % 3) * 90 or None, open_batches=0,
            dead_letters=1, relayer_paused=paused, loop_lag_seconds=0.0, versions=[],
        ))  # fmt: skip
        changes.reading(RELAYER, at, msgspec.structs.replace(
            QUIET, owner="r-1", state="active", paused=paused, waiting_jobs=len(self.waiting), finality="depth:3",
            oldest_waiting_ms=oldest, balance_wei=str(48 * 10**18), address="0x" + "84" * 20, spent_wei=str(10**16),
            spent_seconds=600.0, block_time_seconds=1.0,
        ))  # fmt: skip
        changes.reading(CHAIN_HEAD, at, ChainHead(height=1_000 + second, made_s=at // 1000, base_fee_wei=7))
        if second % 60 == 0:
            changes.reading(TENANTS, at, [self._tenant(tenant) for tenant in TENANTS_OF])

    def _tenant(self, tenant: str) -> TenantView:
        limits = {"acme": 20_000, "globex": 1_000_000_000, "initech": 40_000, EVIL: 30_000}
        return TenantView(
            tenant_id=tenant, name=None, plan=PLANS[tenant], status="suspended" if tenant == "globex" else "active",
            overrides={"compute_units": limits[tenant]}, client_id=tenant, created_at=rfc3339(START), month="2026-11",
            compute_units_limit=limits[tenant], compute_units_held=100, compute_units_charged=self.used[tenant],
            active_jobs=1,
        )  # fmt: skip


def log_lines() -> list[str]:
    """What the processes wrote in that time."""
    made = []
    for index, (level, message) in enumerate(
        [("info", "ready"), ("warning", "the node answers slowly"), ("error", "no relay\x1b[2Jcleared")]
    ):
        line = {
            "timestamp": rfc3339(START + 60_000 * (index + 1)), "level": level,
            "service": ("api", "backend")[index % 2], "message": message, "trace_id": TRACE.split("-")[1],
            "job_id": job_id(5), "metadata": {"attempt": index},
        }  # fmt: skip
        made.append(msgspec.json.encode(line).decode())
    return made
