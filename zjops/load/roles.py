"""What the platform's processes cost: processor time by the roles that each hosts, as the control API names them."""

from __future__ import annotations

from typing import Any, NamedTuple

import psutil

from zjops.client.control import Control
from zjops.config import Context


class Usage(NamedTuple):
    """Processor seconds of a process and of all that it started, since they began."""

    pid: int
    roles: tuple[str, ...]
    cpu_s: float
    memory: int


class Cost(NamedTuple):
    """What a process took: seconds of a core, microseconds a job, and the share of a core that it was busy.

    `memory` is what it holds at the end, in bytes. All None where it was started anew meanwhile.
    """

    process: str
    roles: tuple[str, ...]
    cpu_s: float | None
    us_a_job: float | None
    core: float | None
    memory: int | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return self._asdict() | {"roles": list(self.roles)}


def usage(context: Context) -> dict[str, Usage]:
    """Every process of a local platform by its name; nothing of one elsewhere."""
    if context.control_url is None:
        return {}
    control = Control(context)
    try:
        processes = control.status()["processes"]
    finally:
        control.http.close()
    found = {}
    for one in processes:
        seen = _tree(one["pid"]) if one["pid"] else None
        if seen is not None:
            found[one["name"]] = Usage(one["pid"], tuple(one["roles"]), *seen)
    return found


def _tree(pid: int) -> tuple[float, int] | None:
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    cpu, memory = 0.0, 0
    for process in tree:
        try:
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            memory += process.memory_info().rss
        except psutil.Error:
            continue
    return cpu, memory


def costs(before: dict[str, Usage], after: dict[str, Usage], jobs: int, seconds: float) -> list[Cost]:
    """What each process took between two looks, in which so many jobs went through."""
    made = []
    for name, now in after.items():
        then = before.get(name)
        if then is None or then.pid != now.pid:
            made.append(Cost(name, now.roles, None, None, None, now.memory))
            continue
        cpu = max(0.0, now.cpu_s - then.cpu_s)
        each, core = cpu / jobs * 1e6 if jobs else None, cpu / seconds if seconds else None
        made.append(Cost(name, now.roles, cpu, each, core, now.memory))
    return made
