"""The acts, in order. Each says what it does, does it, and checks what must have come of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from zjops.client.http import Http
from zjops.client.jobs import is_done
from zjops.demo.world import World
from zjops.domain.clock import utc_month
from zjops.domain.errors import Problem
from zjops.domain.invoices import dollars
from zjops.domain.jobs import JobState
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import ProofView, TenantCreate

FREE, STARTER, PRO = "acorn", "birch", "cedar"
PLANS = {FREE: "free", STARTER: "starter", PRO: "pro"}
PRIMES = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 1_000_000}}
PRIMES_BELOW_A_MILLION = 78_498
ROWS = {"generate": {"rows": 20_000, "seed": 7}}
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
    job = world.accepted[PRO][0]
    jobs = world.tenants[PRO]
    proof, result = jobs.proof(job), jobs.result(job)
    files = world.evidence / "proof.json", world.evidence / "result.json"
    files[0].write_bytes(msgspec.json.format(msgspec.json.encode(proof)))
    files[1].write_bytes(result)
    code, answer = world.zjops("jobs", "verify", "--file", str(files[0]), "--result", str(files[1]))
    against = f"root of batch {proof.batch.id}, {len(answer.get('checks', []))} checks"
    world.check("a proof holds against the chain", code == 0 and answer.get("ok") is True, against)
    forged = world.evidence / "forged-result.json"
    forged.write_bytes(result.replace(b"78498", b"78499"))
    code, answer = world.zjops("jobs", "verify", "--file", str(files[0]), "--result", str(forged))
    world.check("a forged result is refused", code == 4, _refused(answer))
    bent = world.evidence / "forged-proof.json"
    bent.write_bytes(msgspec.json.encode(_bend(proof)))
    code, answer = world.zjops("jobs", "verify", "--file", str(bent), "--result", str(files[1]))
    world.check("a forged proof is refused", code == 4, _refused(answer))


def _bend(proof: ProofView) -> ProofView:
    """The same with ten times fewer units billed."""
    usage = msgspec.structs.replace(proof.usage, compute_units=proof.usage.compute_units // 10)
    return msgspec.structs.replace(proof, usage=usage)


def _refused(answer: Any) -> str:
    wrong = [check["name"] for check in answer.get("checks", []) if not check["ok"]]
    return f"exit 4, wrong: {', '.join(wrong)}" if wrong else str(answer)[:100]


def _invoice(world: World) -> None:
    month = utc_month(world.clock.now_ms())

    def billed() -> dict[str, Any]:
        code, answer = world.zjops("invoice", PRO, "--month", month)
        return answer if code == 0 else {"jobs": 0, "units": {}, "lines": [], "total_cents": -1}

    # Every accepted job of this tenant is charged: those that completed, and the one cancelled while it ran.
    wanted = len(world.accepted[PRO])
    world.until("the log has every charged job", lambda: billed()["jobs"] == wanted, 15)
    answer = billed()
    (world.evidence / "invoice.json").write_bytes(msgspec.json.format(msgspec.json.encode(answer)))
    for line in answer["lines"]:
        amount = dollars(line["amount_cents"])
        world.say(f"    {line['description']:<28} {line['quantity']:>8,} {line['unit']:<6} {amount:>8}")
    world.say(f"    {'Total':<28} {'':>8} {'':<6} {dollars(answer['total_cents']):>8}")
    right = answer["total_cents"] == 9_900 and answer["jobs"] == wanted
    world.check("the invoice adds up", right, f"{wanted} jobs, {dollars(answer['total_cents'])}")


def _audit(world: World) -> None:
    code, answer = world.zjops("audit", "--history", str(world.history_file), "--settled", "--wait", "15")
    world.audit = answer
    (world.evidence / "audit.json").write_bytes(msgspec.json.format(msgspec.json.encode(answer)))
    count = sum(map(len, world.accepted.values()))
    whole = answer.get("ok") is True and answer.get("client_accepted") == count
    zero = all(answer.get(name) == 0 for name in ("lost", "doubled", "double_billed", "double_confirmed"))
    names = ("accepted", "confirmed", "charged", "lost", "doubled", "double_billed", "double_confirmed")
    detail = ", ".join(f"{name} {answer.get(name)}" for name in names) if whole else str(answer)[:200]
    world.check("nothing lost, doubled or billed twice", code == 0 and whole and zero, detail)


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
