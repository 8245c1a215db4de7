"""Actions and probes of the experiments, called by Chaos Toolkit: `{type: python, module: zjops.chaos.activities}`.

All go through the platform's interfaces: the control API for faults, the operators' door, a tenant's client, the node.
The platform is the one that `zjops` finds: `$ZJOPS_HOME`, or the context of `$ZJOPS_CONTEXT`. What faults do by
chance is the same again for the same `$ZJOPS_CHAOS_SEED`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from zjops.client.admin import BASE, Admin
from zjops.client.control import Control
from zjops.client.jobs import Jobs
from zjops.client.webhooks import Received, Receiver, Webhooks
from zjops.config import Context, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError, UsageError
from zjops.domain.jobs import TERMINAL, JobState
from zjops.domain.wire_webhooks import EndpointCreate

AGAIN_S = 0.2
WEBHOOK_JOBS = 5
QUICK: dict[str, Any] = {"jobType": "data_processing", "parameters": {"algorithm": "synthetic", "duration_ms": 5}}
POISON: dict[str, Any] = {
    "jobType": "data_processing",
    "parameters": {"algorithm": "synthetic", "duration_ms": 5, "failure": {"kind": "retry", "probability": 1.0}},
}
"""A job whose every attempt fails: it ends as a dead letter."""
CLOCK = SystemClock()


def _context() -> Context:
    return resolve(os.environ.get("ZJOPS_CONTEXT") or None, None)


@contextmanager
def _control() -> Iterator[Control]:
    context = _context()
    control = Control(context)
    with closing(control.http):
        yield control


@contextmanager
def _client() -> Iterator[Jobs]:
    context = _context()
    jobs = Jobs(context, context.widest(), timeout_s=10)
    with closing(jobs.http):
        yield jobs


def _numbers(params: Mapping[str, Any] | None) -> dict[str, float]:
    return {name: float(value) for name, value in (params or {}).items()}


def _seed() -> int | None:
    """Raises `UsageError`."""
    given = os.environ.get("ZJOPS_CHAOS_SEED")
    if given and not given.isdecimal():
        raise UsageError(f"ZJOPS_CHAOS_SEED is a whole number, not {given}")
    return int(given) if given else None


def inject(targets: list[str], fault: str, lease_s: float, params: Mapping[str, Any] | None = None) -> int:
    """Begin a fault of the catalogue (`GET /faults` of the control API) at those of the parts that are here.

    Returns at how many. Raises `Problem` when it is none.
    """
    with _control() as control:
        there: list[str] = next((kind["targets"] for kind in control.faults()["kinds"] if kind["fault"] == fault), [])
        chosen = [target for target in targets if target in there]
        for target in chosen or targets[:1]:
            control.fault(target, fault, float(lease_s), _numbers(params), _seed())
    return len(chosen)


def heal_all() -> int:
    """End every fault; returns how many there were."""
    with _control() as control:
        return control.heal_all()


def wait(seconds: float) -> float:
    """Let time pass, as an experiment's own `pauses` do."""
    CLOCK.pause(float(seconds))
    return float(seconds)


def healed(within_s: float) -> bool:
    """Whether no fault is active any more, at the latest by then."""
    with _control() as control:
        return _until(lambda: not control.faults()["active"], float(within_s))


def every_process_is_ready(within_s: float) -> bool:
    """Whether each process of the platform answers, at the latest by then."""
    with _control() as control:
        return _until(lambda: all(process["ready"] for process in control.status()["processes"]), float(within_s))


def a_job_is_confirmed(within_s: float) -> bool:
    """Whether a job that is submitted now goes the whole way to finality, at the latest by then."""
    deadline = CLOCK.monotonic() + float(within_s)
    with _client() as jobs:
        job_id = jobs.submit(QUICK).job.job_id
        return _until(lambda: jobs.get(job_id).status == JobState.CONFIRMED, deadline - CLOCK.monotonic())


def a_poison_job_ends_as_a_dead_letter(within_s: float) -> bool:
    """Submit a job that can never succeed; whether it has been given up, at the latest by then."""
    admin = Admin(_context())
    with _client() as jobs, closing(admin.http):
        job_id = jobs.submit(POISON).job.job_id
        ended = _until(lambda: jobs.get(job_id).status in TERMINAL, float(within_s))
        return ended and job_id in {row.job.job_id for row in admin.dead_letters()}


def rotate_signing_key() -> str:
    """Have the issuer sign by a new key from now on; returns its id."""
    with closing(Admin(_context()).http) as http:
        return str(http.request("POST", f"{BASE}/signing-keys/rotate").json()["kid"])


def reorganise(depth: int) -> int:
    """Replace the newest blocks of the development chain; their transactions wait for a block again."""
    from zjops.client.development import Development
    from zjops.client.rpc import node_of

    with node_of(_context()) as rpc:
        Development(rpc).reorganise(int(depth), drop=False)
    return int(depth)


def receive_badly(how: str, seconds: float) -> int:
    """Be a webhook endpoint that hangs (`hang`) or answers 500 (`500`) for a while; returns how often it was asked."""
    heard: list[Received] = []
    receiver = Receiver(heard.append, fail="hang" if how == "hang" else "500")
    receiver.start()
    try:
        with _client() as jobs:
            webhooks = Webhooks(jobs.http)
            made = webhooks.create(EndpointCreate(url=receiver.url, description="zjops chaos"))
            try:
                for _ in range(WEBHOOK_JOBS):
                    jobs.submit(QUICK)
                CLOCK.pause(float(seconds))
            finally:
                webhooks.delete(made.endpoint_id)
    finally:
        receiver.stop()
    return len(heard)


def _until(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether something holds at the latest by then; a platform that does not answer is one of which it does not."""
    deadline = CLOCK.monotonic() + within_s
    while True:
        try:
            if holds():
                return True
        except (UnreachableError, Problem):
            pass
        if CLOCK.monotonic() >= deadline:
            return False
        CLOCK.pause(AGAIN_S)
