"""Scenarios as data: what is asked of the platform, by whom, how fast and for how long, and what must hold."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from zjops.domain.errors import UsageError
from zjops.domain.jobs import JobType

SUFFIX = ".toml"
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=7 * 86_400)]
Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
Model = Literal["open", "closed"]
Arrivals = Literal["fixed", "poisson"]
NO_OP = {"algorithm": "synthetic", "duration_ms": 0, "result_bytes": 0}
Op = Literal["submit", "bulk", "poll", "subscribe", "list", "read"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a scenario."""


class Phase(Part, frozen=True, kw_only=True):
    """A stretch of time with one rate, or one that changes evenly from `rate` to `to`, in arrivals a second.

    What happens in a `warmup` is measured and shown, and judged by nobody. `flood` are the submissions a second of one
    more tenant, beside all that.
    """

    name: Name
    duration_s: Seconds
    rate: Rate = 1.0
    to: Rate | None = None
    flood: Rate | None = None
    warmup: bool = False
    thresholds: tuple[str, ...] = ()

    @property
    def last_rate(self) -> float:
        """The rate at its end."""
        return self.rate if self.to is None else self.to

    @property
    def most(self) -> float:
        """The highest rate of all arrivals in it."""
        return max(self.rate, self.last_rate) + (self.flood or 0.0)

    @property
    def arrivals(self) -> float:
        """How many arrivals it has, the flood's included."""
        return ((self.rate + self.last_rate) / 2 + (self.flood or 0.0)) * self.duration_s


class Job(Part, frozen=True, kw_only=True):
    """A kind of job that is submitted, and how often compared with the others."""

    type: JobType = JobType.ML_INFERENCE
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: dict(NO_OP))
    payload_bytes: Annotated[int, Meta(ge=100, le=10_000_000)] = 200
    weight: Weight = 1


class Tenants(Part, frozen=True, kw_only=True):
    """Tenants of the run: Enterprise, with values negotiated so that no limit of a plan is what is measured (C86)."""

    count: Annotated[int, Meta(ge=1, le=100)] = 5
    requests_per_second: Count = 100_000
    active_jobs: Annotated[int, Meta(ge=1, le=10**9)] = 10_000_000
    compute_units: Annotated[int, Meta(ge=1, le=10**14)] = 1_000_000_000_000

    def negotiated(self) -> dict[str, int]:
        """The values by the names of the plan's fields."""
        return {
            "requests_per_second": self.requests_per_second, "active_jobs": self.active_jobs,
            "compute_units": self.compute_units,
        }  # fmt: skip


class Scenario(Part, frozen=True, kw_only=True):
    """One scenario. `connections` are those of each process of the generator; times are in seconds.

    An arrival that finds all connections taken waits, and its wait is latency; one that waited `drop_after_s` is
    dropped. In the `closed` model each connection sends as soon as it was answered. Where the scenario begins
    `connected`, all connections are opened before it begins; else each is when it is first needed.
    """

    name: Name
    text: str
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    model: Model = "open"
    arrivals: Arrivals = "poisson"
    connections: Annotated[int, Meta(ge=1, le=10_000)] = 256
    connected: bool = False
    timeout_s: Seconds = 5.0
    drop_after_s: Seconds = 5.0
    final_within_s: Seconds = 60.0
    mix: dict[Op, Weight] = msgspec.field(default_factory=lambda: {"submit": 1})
    jobs: Annotated[tuple[Job, ...], Meta(min_length=1)] = (Job(),)
    bulk: Annotated[int, Meta(ge=1, le=100)] = 100
    subscribe_by: Literal["sse", "websocket"] = "sse"
    webhook_every: Annotated[int, Meta(ge=0)] = 0
    tenants: Tenants = Tenants()
    slos: tuple[str, ...] = ("availability", "latency-300ms", "latency-500ms")
    thresholds: tuple[str, ...] = ()
    search_to: Rate | None = None

    @property
    def duration_s(self) -> float:
        """How long it takes, warm-up included."""
        return sum(phase.duration_s for phase in self.phases)

    @property
    def rate(self) -> float:
        """The highest rate of all phases."""
        return max(phase.most for phase in self.phases)

    @property
    def flooded(self) -> bool:
        """Whether one more tenant floods the platform in some phase."""
        return any(phase.flood for phase in self.phases)

    def starts(self) -> list[float]:
        """When each phase begins, in seconds from the first."""
        return [sum(phase.duration_s for phase in self.phases[:number]) for number in range(len(self.phases))]

    def judged(self) -> list[int]:
        """The numbers of the phases that count."""
        return [number for number, phase in enumerate(self.phases) if not phase.warmup]


def shipped() -> dict[str, Scenario]:
    """The scenarios of this package by their names."""
    folder = importlib.resources.files("zjops.load") / "scenarios"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(SUFFIX)), key=lambda file: file.name)
    return {file.name.removesuffix(SUFFIX): parse(file.read_text(), file.name) for file in files}


def find(given: str) -> Scenario:
    """A scenario by its name, or from a file. Raises `UsageError`."""
    if given.endswith((SUFFIX, ".json")):
        path = Path(given)
        try:
            text = path.read_text()
            return (
                parse(text, given) if given.endswith(SUFFIX) else _converted(given, lambda: msgspec.json.decode(text))
            )
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
            raise UsageError(f"scenario {given} cannot be read ({why})") from exc
    known = shipped()
    if given not in known:
        names = ", ".join(known)
        raise UsageError(f"there is no scenario {given}; there are {names}, or name a file that ends in {SUFFIX}")
    return known[given]


def parse(text: str, where: str) -> Scenario:
    """A scenario from TOML. Raises `UsageError` that names the file and the member."""
    return _converted(where, lambda: tomllib.loads(text))


def _converted(where: str, read: Callable[[], Any]) -> Scenario:
    try:
        found = msgspec.convert(read(), Scenario)
    except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as exc:
        raise UsageError(f"{where}: {exc}") from exc
    wrong = faults(found)
    if wrong:
        raise UsageError(f"{where}: {wrong[0]}")
    return found


def faults(scenario: Scenario) -> list[str]:
    """What does not fit together."""
    names = [phase.name for phase in scenario.phases]
    found = [f"phase {name} stands there twice" for name in sorted(set(names)) if names.count(name) > 1]
    if not scenario.judged():
        found.append("every phase is a warm-up; one must count")
    if sum(scenario.mix.values()) <= 0:
        found.append("mix: at least one kind of request needs a weight above 0")
    if scenario.flooded and scenario.model == "closed":
        found.append("flood: only in the open model")
    if sum(job.weight for job in scenario.jobs) <= 0:
        found.append("jobs: at least one needs a weight above 0")
    if scenario.search_to is not None and len(scenario.judged()) != 1:
        found.append("search_to: a search has one phase that counts")
    return found


def changed(
    scenario: Scenario, *, duration_s: float | None = None, rate: float | None = None, arrivals: Arrivals | None = None,
) -> Scenario:  # fmt: skip
    """The same with another length, highest rate or kind of arrivals; all phases keep their proportions.

    Raises `UsageError`.
    """
    longer = 1.0 if duration_s is None else duration_s / scenario.duration_s
    faster = 1.0 if rate is None else rate / scenario.rate
    if scenario.model == "closed" and rate is not None:
        raise UsageError(f"scenario {scenario.name} has no rate: it sends as fast as it is answered")
    phases = tuple(
        msgspec.structs.replace(
            phase, duration_s=phase.duration_s * longer, rate=phase.rate * faster,
            to=None if phase.to is None else phase.to * faster,
            flood=None if phase.flood is None else phase.flood * faster,
        )
        for phase in scenario.phases
    )  # fmt: skip
    made = msgspec.structs.replace(scenario, phases=phases, arrivals=arrivals or scenario.arrivals)
    try:
        return msgspec.convert(msgspec.to_builtins(made), Scenario)
    except msgspec.ValidationError as exc:
        raise UsageError(f"scenario {scenario.name}: {exc}") from exc
