"""Whether the platform is healthy again after a load: each process ready, and a no-op job done within seconds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from zjops.client.control import Control
from zjops.client.http import Http
from zjops.client.jobs import Jobs
from zjops.client.oauth import ClientCredentials
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError
from zjops.domain.jobs import JobState
from zjops.load.scenario import NO_OP

WITHIN_S = 5.0
"""A no-op job that is accepted now completes within this time."""
LOOK_EVERY_S = 0.1
PROBE = {"jobType": "ml_inference", "parameters": NO_OP}
DONE = frozenset({JobState.COMPLETED, JobState.CONFIRMED})


def healthy_since(context: Context, clock: SystemClock, give_up_s: float) -> int | None:
    """The moment (Unix ms) from which on it is: that of the first try that went well. None when none does in time."""
    deadline = clock.monotonic() + give_up_s
    client = context.widest()
    own = Http(context.api_url, auth=ClientCredentials(context.token_url, client), timeout_s=WITHIN_S, tries=1,
               notify=_quiet)  # fmt: skip
    jobs = Jobs(context, client, http=own)
    with closing(Http(context.api_url, timeout_s=WITHIN_S, tries=1, notify=_quiet)) as http, closing(own):
        while clock.monotonic() < deadline:
            began_ms = clock.now_ms()
            if _ready(context, http) and _completes(jobs, clock):
                return began_ms
            clock.pause(LOOK_EVERY_S)
    return None


def _ready(context: Context, http: Http) -> bool:
    """Whether the API says so, and of a platform on this machine every process."""
    try:
        http.get("/readyz")
        if context.control_url is None:
            return True
        control = Control(context, Http(context.control_url, timeout_s=WITHIN_S, tries=1, notify=_quiet))
        with closing(control.http):
            return all(process["ready"] for process in control.status()["processes"])
    except (UnreachableError, Problem):
        return False


def _completes(jobs: Jobs, clock: SystemClock) -> bool:
    deadline = clock.monotonic() + WITHIN_S
    try:
        job_id = jobs.submit(PROBE, repeat=False).job.job_id
        return _until(lambda: jobs.get(job_id).status in DONE, deadline, clock)
    except (UnreachableError, Problem):
        return False


def _until(holds: Callable[[], bool], deadline: float, clock: SystemClock) -> bool:
    while not holds():
        if clock.monotonic() >= deadline:
            return False
        clock.pause(LOOK_EVERY_S)
    return True


def _quiet(text: str) -> None:
    """What goes wrong is what is being asked about."""
