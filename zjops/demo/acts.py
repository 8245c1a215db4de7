"""The acts, in order. Each says what it does, does it, and checks what must have come of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.billing import invoice_for
from zjops.audit.run import audit
from zjops.client.chain import ChainReader
from zjops.client.history import read_history
from zjops.client.http import Http
from zjops.client.jobs import is_done
from zjops.demo.world import World
from zjops.domain.clock import utc_month
from zjops.domain.errors import Problem
from zjops.domain.invoices import Invoice, dollars
from zjops.domain.jobs import JobState
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import ProofView, TenantCreate
from zjops.verify import verify_proof

FREE, STARTER, PRO = "acorn", "birch", "cedar"
PLANS = {FREE: "free", STARTER: "starter", PRO: "pro"}
PRIMES = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 1_000_000}}
PRIMES_BELOW_A_MILLION = 78_498
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
WORK: tuple[dict[str, Any], ...] = (
    PRIMES,
    {"jobType": "compute_heavy", "parameters": {"algorithm": "matrix_multiply", "size": 60, "seed": 3}},
    {
        "jobType": "data_processing",
        "parameters": {
            "algorithm": "join", "on": "id",
            "left": [{"id": 1, "name": "ash"}, {"id": 2, "name": "oak"}], "right": [{"id": 2, "height": 30}],
        },
    },
    {"jobType": "ml_inference", "parameters": {"algorithm": "classify", "features": FLOWERS}},
)  # fmt: skip
PAUSE: dict[str, Any] = {"jobType": "data_processing", "parameters": {"algorithm": "synthetic", "duration_ms": 2_500}}
LONG: dict[str, Any] = {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 120_000}}
BACKEND = "backend"
PRO_FEE_CENTS = 9_900
UNITS_EACH = 100
"""What a small job costs at least (R46)."""


class Act(NamedTuple):
    """A part of the story."""

    title: str
    play: Callable[[World], None]


def _tenants(world: World) -> None:
    admin = world.admin()
    for name, plan in PLANS.items():
        made = admin.add(TenantCreate(tenant_id=name, plan=plan))
        world.open(
            ClientEntry(tenant=name, plan=plan, client_id=made.client_id, client_secret=made.client_secret, scopes=[])
        )
        world.say(f"  {name} on plan {plan}, client {made.client_id}")
    known = {view.tenant_id: view.plan for view in admin.tenants()}
    world.check("three tenants on three plans", PLANS.items() <= known.items(), ", ".join(PLANS.values()))


def _submit(world: World) -> None:
    for tenant in PLANS:
        for body in WORK:
            world.submit(tenant, body)
    count = sum(map(len, world.accepted.values()))
    types = {body["jobType"] for body in WORK}
    world.check(
        "jobs of all three types accepted", count == len(PLANS) * len(WORK) and len(types) == 3, f"{count} jobs"
    )


def _repeat(world: World) -> None:
    jobs = world.tenants[STARTER]
    key = jobs.new_key()
    first, again = world.submit(STARTER, PRIMES, key), jobs.submit(PRIMES, key)
    same = again.replayed and again.job.job_id == first
    world.check("the same idempotency key is the same job", same, f"{first}, replayed: {again.replayed}")
    try:
        jobs.submit(PRIMES | {"priority": 9}, key)
        refused = "accepted"
    except Problem as problem:
        refused = f"{problem.status} {problem.kind.code}"
    world.check("the same key with another body is refused", refused.startswith("422"), refused)


def _bad(world: World) -> None:
    body = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": -5}, "priority": 11}
    try:
        world.tenants[STARTER].submit(body)
        world.check("a bad job is refused field by field", False, "it was accepted")
    except Problem as problem:
        pointers = sorted(error.pointer for error in problem.errors)
        ok = problem.status == 422 and bool(pointers)
        world.check("a bad job is refused field by field", ok, f"{problem.status}, {', '.join(pointers)}")


def _limit(world: World) -> None:
    """Ask faster than the free plan allows, with a client that does not wait as it is told."""
    hasty = Http(world.context.api_url, auth=world.tenants[FREE].auth, tries=1)
    refusal: Problem | None = None
    with hasty:
        for _ in range(200):
            try:
                hasty.get(f"/v1/jobs/{world.accepted[FREE][0]}/status")
            except Problem as problem:
                refusal = problem
                break
    ok = refusal is not None and refusal.status == 429 and "retry-after" in refusal.headers
    detail = (
        "never refused" if refusal is None else f"{refusal.status}, Retry-After {refusal.headers.get('retry-after')} s"
    )
    world.check("the free plan's rate limit holds", ok, detail)


def _cancel(world: World) -> None:
    job_id, jobs = world.submit(PRO, LONG), world.tenants[PRO]
    world.until("the long job runs", lambda: jobs.get(job_id).status is JobState.PROCESSING)
    reply = jobs.cancel(job_id)
    world.until("the cancelled job ends", lambda: jobs.get(job_id).status is JobState.CANCELLED)
    world.check("a running job is cancelled", reply.status == "cancellation_requested", f"{job_id} was running")


def _kill(world: World) -> None:
    jobs = world.tenants[PRO]
    running = [world.submit(PRO, PAUSE) for _ in range(4)]
    world.until("a job runs", lambda: any(jobs.get(job).status is JobState.PROCESSING for job in running))
    before = _process(world)
    world.control().fault(BACKEND, "kill")
    world.say(f"  killed {BACKEND} (pid {before['pid']}) with kill -9 while jobs run")
    world.until(
        "the killed process is back",
        lambda: _process(world)["restarts"] > before["restarts"] and _process(world)["ready"],
    )
    world.check("the killed process was started again", True, f"pid {before['pid']}, then {_process(world)['pid']}")


def _process(world: World) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in world.control().status()["processes"] if p["name"] == BACKEND)
    return found


def _final(world: World) -> None:
    waiting = [(tenant, job) for tenant, ids in world.accepted.items() for job in ids]

    def all_final() -> bool:
        for tenant, job in list(waiting):
            view = world.tenants[tenant].get(job)
            if world.first_confirmation_s is None and view.blockchain_confirmation is not None:
                world.first_confirmation_s = world.elapsed_s()
            if not is_done(view, final=True):
                return False
            waiting.remove((tenant, job))
        return True

    world.until("every job is final", all_final)
    count = sum(map(len, world.accepted.values()))
    world.check("every job is final", not waiting, f"{count} jobs, {count - 1} of them on chain")
    primes = msgspec.json.decode(world.tenants[PRO].result(world.accepted[PRO][0]))
    right = primes["count"] == PRIMES_BELOW_A_MILLION
    world.check("the results are right", right, f"{primes['count']:,} primes below a million")


def _first(world: World) -> None:
    """The first job's confirmation, so that the time until it is known."""
    tenant, job = PRO, world.accepted[PRO][0]
    world.until("the first job is final", lambda: is_done(world.tenants[tenant].get(job), final=True))
    world.first_confirmation_s = world.elapsed_s()
    view = world.tenants[tenant].get(job)
    block = view.blockchain_confirmation.block_number if view.blockchain_confirmation else 0
    detail = f"{world.first_confirmation_s:.1f} s after the start, block {block}"
    world.check("the first job is final on chain", view.status is JobState.CONFIRMED, detail)


def _proof(world: World) -> None:
    job, jobs, chain = world.accepted[PRO][0], world.tenants[PRO], ChainReader(world.context)
    proof, result = jobs.proof(job), jobs.result(job)
    world.keep("proof.json", proof)
    (world.evidence / "result.json").write_bytes(result)

    def wrong(claim: ProofView, content: bytes) -> list[str]:
        return [check.name for check in verify_proof(claim, content, world.context, chain) if not check.ok]

    with closing(chain.http):
        found = wrong(proof, result)
        against = f"batch {proof.batch.id} in block {proof.transaction.block_number}, contract {proof.contract[:10]}…"
        world.check("a proof holds against the chain", not found, ", ".join(found) or against)
        forged = wrong(proof, result.replace(b"78498", b"78499"))
        world.check("a forged result is refused", "result" in forged, f"wrong: {', '.join(forged)}")
        bent = wrong(_bend(proof), result)
        world.check("a forged bill is refused", "usage" in bent, f"wrong: {', '.join(bent)}")


def _bend(proof: ProofView) -> ProofView:
    """The same with ten times fewer units billed."""
    usage = msgspec.structs.replace(proof.usage, compute_units=proof.usage.compute_units // 10)
    return msgspec.structs.replace(proof, usage=usage)


def _invoice(world: World) -> None:
    now_ms, log_dir = world.clock.now_ms(), world.home / "log"

    def draft() -> Invoice:
        return invoice_for(log_dir, PRO, utc_month(now_ms), now_ms)

    # Every accepted job of this tenant is charged: those that completed, and the one cancelled while it ran.
    wanted = len(world.accepted[PRO])
    world.until("the log has every charged job", lambda: draft().jobs == wanted, 30)
    made = draft()
    world.keep("invoice.json", made)
    for line in made.lines:
        world.say(f"    {line.description:<28} {line.quantity:>8,} {line.unit:<6} {dollars(line.amount_cents):>8}")
    world.say(f"    {'Total':<28} {'':>8} {'':<6} {dollars(made.total_cents):>8}")
    units = made.units.included + made.units.buffer + made.units.overage
    right = made.total_cents == PRO_FEE_CENTS and made.jobs == wanted and units == wanted * UNITS_EACH
    world.check("the invoice adds up", right, f"{wanted} jobs, {units} units, {dollars(made.total_cents)}")


def _audit(world: World) -> None:
    admin, chain = world.admin(), ChainReader(world.context)
    target = world.evidence / "export.jsonl"

    def take() -> Path:
        admin.export(target)
        return target

    with closing(admin.http), closing(chain.http):
        report = audit(
            list(read_history(world.history_file)), take, world.home / "log", chain, expect_settled=True, wait_s=15,
            clock=world.clock,
        )  # fmt: skip
    world.audit = report.as_json()
    world.keep("audit.json", world.audit)
    for finding in report.findings[:10]:
        world.say(f"    {finding.kind}: {finding.job_id} {finding.text}")
    count = sum(map(len, world.accepted.values()))
    whole = report.ok and world.audit["client_accepted"] == world.audit["accepted"] == count
    names = ("lost", "doubled", "double_billed", "double_confirmed")
    words = ("lost", "doubled", "billed twice", "confirmed twice")
    detail = ", ".join(f"{world.audit[name]} {word}" for name, word in zip(names, words, strict=True))
    world.check("nothing lost, doubled or billed twice", whole, f"{count} jobs: {detail}")


ACTS = (
    Act("Three tenants on three plans", _tenants),
    Act("Real work of three types: primes, matrices, a join, a classifier", _submit),
    Act("The same request twice is one job", _repeat),
    Act("A bad request is told what is wrong with it", _bad),
    Act("A tenant that asks too fast is slowed down", _limit),
    Act("A running job is cancelled", _cancel),
    Act("From accepted to final on chain", _first),
    Act("The worker's process is killed while jobs run", _kill),
    Act("Every job ends, and its outcome is final on chain", _final),
    Act("Anyone can check an outcome, and a forgery does not pass", _proof),
    Act("The invoice", _invoice),
    Act("The audit: clients, store, log and chain, job by job", _audit),
)
