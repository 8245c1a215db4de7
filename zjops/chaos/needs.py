"""What experiments need of a platform: asked before anything is broken, and said of all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing

from zjops.chaos.experiments import Experiment
from zjops.client.control import Control
from zjops.config import Context
from zjops.domain.errors import UsageError

PROXIES, LINK, PROCESS = "proxies", "link.delay", "stop"
"""What an experiment says that it needs, and the faults by whose targets one sees what is there."""
Kinds = Mapping[str, Sequence[str]]
"""The targets that each kind of fault has on a platform."""


def require_parts(context: Context, chosen: Iterable[Experiment]) -> None:
    """Raises `UsageError` where the platform has not got what all of the experiments need; it names each of them."""
    control = Control(context)
    with closing(control.http):
        kinds: Kinds = {kind["fault"]: kind["targets"] for kind in control.faults()["kinds"]}
    why = refusal(chosen, kinds)
    if why is not None:
        raise UsageError(why)


def refusal(chosen: Iterable[Experiment], kinds: Kinds) -> str | None:
    """Everything that is missing and how to start a platform that has it; None where nothing is."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for one in chosen:
        for what in missing(one, kinds):
            lacking[what].append(one.name)
    if not lacking:
        return None
    wanted = "; ".join(f"{', '.join(names)} {_need(names)} {what}" for what, names in lacking.items())
    there = ", ".join(kinds.get(PROCESS, ()))
    return (
        f"{wanted}. There are the processes {there}; start the platform with: zjops up --spread --set proxies=true, "
        "or give --fresh"
    )


def missing(one: Experiment, kinds: Kinds) -> list[str]:
    """What a platform with these faults has not got for an experiment, in words."""
    if PROXIES in one.needs and not kinds.get(LINK):
        return ["proxies before the platform's parts"]
    if one.target is not None and one.target not in kinds.get(PROCESS, ()):
        return [f"a process {one.target}"]
    nowhere = [step for step in one.steps if not set(step.targets) & set(kinds.get(step.fault, ()))]
    return [f"{' or '.join(step.targets)} to put {step.fault} on" for step in nowhere]


def _need(names: Sequence[str]) -> str:
    return "needs" if len(names) == 1 else "need"
