"""What the generator's lines add up to: by phase, by second, by kind of request."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from zjops.load.histogram import Histogram
from zjops.load.records import Cpu, Head, Line, Tail, Tick, Webhook
from zjops.load.scenario import Scenario

COUNTS = (
    "offered", "started", "late", "accepted", "shed", "errors", "server_errors", "timeouts", "dropped", "jobs",
)  # fmt: skip
EVERY = ""
"""Stands for all arrivals of the schedule, whatever they ask for."""


class Tally:
    """Counts and times of some requests; see `Tick` for what each one is."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.latency, self.service, self.lag = Histogram(), Histogram(), Histogram()

    def __getitem__(self, name: str) -> int:
        return self.counts[name]

    @property
    def achieved(self) -> int:
        """Arrivals that were sent within their phase."""
        return self.counts["started"] - self.counts["late"]

    @property
    def refused(self) -> int:
        """Arrivals that were not accepted, for whatever reason."""
        return self["shed"] + self.failed

    @property
    def failed(self) -> int:
        """Arrivals that were neither accepted nor shed."""
        return self["errors"] + self["timeouts"] + self["dropped"]

    def take(self, tick: Tick) -> None:
        """Add a line."""
        for name in COUNTS:
            self.counts[name] += getattr(tick, name)
        self.statuses.update(tick.statuses)
        self.latency.merge(tick.latency)
        self.service.merge(tick.service)
        self.lag.merge(tick.lag)

    def merge(self, other: Tally) -> None:
        """Add another."""
        self.counts.update(other.counts)
        self.statuses.update(other.statuses)
        self.latency.merge(other.latency.counts)
        self.service.merge(other.service.counts)
        self.lag.merge(other.lag.counts)


class Measured:
    """A run so far. Take its lines as they come."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.head: Head | None = None
        self.seconds: dict[tuple[int, int], Tally] = defaultdict(Tally)
        """Arrivals by phase and second."""
        self.ops: dict[tuple[int, str], Tally] = defaultdict(Tally)
        """Requests by phase and kind, what follows upon arrivals included; all arrivals together under `EVERY`."""
        self.cpu: list[Cpu] = []
        self.webhooks: list[Webhook] = []
        self.tails: dict[int, Tail] = {}

    def take(self, line: Line) -> None:
        """Add a line."""
        match line:
            case Tick():
                self.ops[line.phase, line.op].take(line)
                if line.primary:
                    self.ops[line.phase, EVERY].take(line)
                    self.seconds[line.phase, line.second].take(line)
            case Cpu():
                self.cpu.append(line)
            case Webhook():
                self.webhooks.append(line)
            case Tail():
                self.tails[line.worker] = line
            case Head():
                self.head = line

    def read(self, lines: Iterable[Line]) -> Measured:
        """Add all of them."""
        for line in lines:
            self.take(line)
        return self

    @property
    def whole(self) -> bool:
        """Whether the schedule was gone through to its end by every process."""
        wanted = self.head.workers if self.head else 1
        return len(self.tails) >= wanted and all(tail.whole for tail in self.tails.values())

    @property
    def ran_s(self) -> float:
        """How far the run has got."""
        told = max((tail.ran_s for tail in self.tails.values()), default=None)
        reached = max((cpu.to_s for cpu in self.cpu), default=0.0) if told is None else told
        return min(self.scenario.duration_s, reached)

    @property
    def jobs(self) -> int:
        """Jobs that were accepted in the whole run, warm-up included."""
        return sum(tally["jobs"] for (_, op), tally in self.ops.items() if op)

    @property
    def counted_from_ms(self) -> int:
        """When the first phase that counts began, Unix ms."""
        began = self.head.began_ms if self.head else 0
        return began + int(self.scenario.starts()[self.scenario.judged()[0]] * 1000)

    def elapsed_s(self, phase: int) -> float:
        """How much of a phase has gone."""
        start, length = self.scenario.starts()[phase], self.scenario.phases[phase].duration_s
        return min(length, max(0.0, self.ran_s - start))

    def phase(self, number: int, op: str = EVERY) -> Tally:
        """A phase, of all arrivals or of one kind of request."""
        return self.over([number], op)

    def over(self, phases: Iterable[int], op: str = EVERY) -> Tally:
        """Several phases as one."""
        made = Tally()
        for number in phases:
            if (number, op) in self.ops:
                made.merge(self.ops[number, op])
        return made

    def by_second(self) -> dict[int, Tally]:
        """Each second of the run, in order, whatever its phase."""
        made: dict[int, Tally] = defaultdict(Tally)
        for (_, second), tally in sorted(self.seconds.items(), key=lambda item: item[0][1]):
            made[second].merge(tally)
        return made

    def within(self, from_s: float, to_s: float) -> Tally:
        """Every whole second between two moments of the run, as one."""
        made = Tally()
        for (_, second), tally in self.seconds.items():
            if from_s <= second and second + 1 <= to_s:
                made.merge(tally)
        return made

    def newest(self) -> tuple[int, Tally] | None:
        """The newest second of which most is known, and its requests; None before there is any."""
        if not self.seconds:
            return None
        phase, second = max(self.seconds, key=lambda key: key[1])
        before = max((key for key in self.seconds if key[1] < second), key=lambda key: key[1], default=(phase, second))
        return before[1], self.seconds[before]

    def cpu_share(self, phase: int) -> float | None:
        """The share of a core that the busiest process of the generator took in a phase; None when nobody looked."""
        start = self.scenario.starts()[phase]
        return self.cpu_within(start, start + self.scenario.phases[phase].duration_s)

    def cpu_within(self, from_s: float, to_s: float) -> float | None:
        """The same between two moments of the run."""
        took: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for sample in self.cpu:
            if from_s <= (sample.from_s + sample.to_s) / 2 < to_s:
                took[sample.worker][0] += sample.cpu_s
                took[sample.worker][1] += sample.to_s - sample.from_s
        return max((cpu / wall for cpu, wall in took.values() if wall > 0), default=None)
