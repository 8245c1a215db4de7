"""What is thought of an experiment: before, during, after, how soon it was noticed, healed and over, what it cost.

Pure: seconds of requests and samples of the platform go in, moments and figures come out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from zjops.chaos.watching import Sample

SLOW_MS = 500.0
"""A request that takes longer is felt (R103)."""
SLOWER = 5.0
"""So many times slower than before the fault is felt too, beyond `FELT_MS`."""
FELT_MS = 100.0
OLD_EVENT_MS = 5_000
"""An event that waits so long for the broker is late: the relay looks four times a second."""
CALM_S = 3.0
"""Recovered is what has been calm for so long."""
MONTH_S = 30 * 86_400
Name = Literal["before", "during", "after"]


class Second(NamedTuple):
    """The requests that were due in one second (Unix ms of its begin); times in milliseconds, None without requests.

    `server_errors` are those among `shed` and `errors` that were the server's fault; `dropped` were never sent.
    """

    at_ms: int
    offered: int = 0
    accepted: int = 0
    shed: int = 0
    errors: int = 0
    timeouts: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    server_errors: int = 0
    dropped: int = 0

    @property
    def end_ms(self) -> int:
        """When it was over. A second in which something broke counts as broken."""
        return self.at_ms + 1000


class Window(NamedTuple):
    """One of the three stretches of time: requests, and the worst that was seen of the platform."""

    name: Name
    seconds: int
    offered: int
    accepted: int
    shed: int
    errors: int
    timeouts: int
    dropped: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    away: tuple[str, ...]
    active_jobs: int
    unpublished: int
    oldest_unpublished_ms: int
    open_batches: int


class Times(NamedTuple):
    """Moments of a fault, Unix ms. None for what did not happen: a fault that nobody noticed has no `noticed_ms`."""

    began_ms: int
    healed_ms: int | None
    noticed_ms: int | None
    noticed_by: str | None
    recovered_ms: int | None

    def _since(self, moment: int | None, from_ms: int | None) -> float | None:
        return None if moment is None or from_ms is None else max(0.0, (moment - from_ms) / 1000)

    @property
    def to_notice_s(self) -> float | None:
        """From the fault to the first sign that a user or an operator could have seen."""
        return self._since(self.noticed_ms, self.began_ms)

    @property
    def to_heal_s(self) -> float | None:
        """From the fault to its end."""
        return self._since(self.healed_ms, self.began_ms)

    @property
    def to_recover_s(self) -> float | None:
        """From the end of the fault until everything was calm and stayed so."""
        return self._since(self.recovered_ms, self.healed_ms)


class Sign(NamedTuple):
    """Something that is not as it should be, at a moment."""

    at_ms: int
    text: str


def signs(seconds: Sequence[Second], samples: Sequence[Sample], began_ms: int) -> list[Sign]:
    """Everything that could have been noticed, in order. Slow is measured by how quick it was before `began_ms`."""
    usual = max((one.p99_ms for one in seconds if one.end_ms <= began_ms and one.p99_ms is not None), default=0.0)
    limit_ms = min(SLOW_MS, max(FELT_MS, SLOWER * usual))
    found = [sign for second in seconds for sign in _of_second(second, limit_ms)]
    found += [sign for sample in samples for sign in _of_sample(sample)]
    return sorted(found)


def _of_second(one: Second, limit_ms: float) -> list[Sign]:
    # What became of them was known at the earliest when the second was over.
    at_ms, found = one.end_ms, []
    if one.errors or one.timeouts:
        found.append(Sign(at_ms, f"{one.errors + one.timeouts} of {one.offered} requests failed"))
    if one.shed:
        found.append(Sign(at_ms, f"{one.shed} of {one.offered} requests were shed"))
    if one.p99_ms is not None and one.p99_ms > limit_ms:
        found.append(Sign(at_ms, f"requests took {one.p99_ms:,.0f} ms"))
    return found


def _of_sample(sample: Sample) -> list[Sign]:
    found = [Sign(sample.at_ms, f"{name} does not answer") for name in sample.away]
    if sample.oldest_unpublished_ms > OLD_EVENT_MS:
        found.append(Sign(sample.at_ms, f"an event has waited for {sample.oldest_unpublished_ms / 1000:.0f} s"))
    return found


def times(seconds: Sequence[Second], samples: Sequence[Sample], began_ms: int, healed_ms: int | None) -> Times:
    """When the fault was noticed and when all was over."""
    seen = [sign for sign in signs(seconds, samples, began_ms) if sign.at_ms >= began_ms]
    first = seen[0] if seen else None
    last_ms = max([sample.at_ms for sample in samples] + [one.end_ms for one in seconds], default=began_ms)
    recovered = None
    if healed_ms is not None:
        calm_from = max([sign.at_ms for sign in seen if sign.at_ms > healed_ms], default=healed_ms)
        recovered = calm_from if last_ms - calm_from >= CALM_S * 1000 else None
    return Times(began_ms, healed_ms, first and first.at_ms, first and first.text, recovered)


def windows(seconds: Sequence[Second], samples: Sequence[Sample], at: Times) -> list[Window]:
    """Before the fault, until it was over, and after that."""
    over_ms = at.recovered_ms or at.healed_ms
    within: dict[Name, Callable[[int], bool]] = {
        "before": lambda ms: ms <= at.began_ms,
        "during": lambda ms: at.began_ms < ms and (over_ms is None or ms <= over_ms),
        "after": lambda ms: over_ms is not None and ms > over_ms,
    }
    return [
        _window(name, [one for one in seconds if holds(one.end_ms)], [one for one in samples if holds(one.at_ms)])
        for name, holds in within.items()
    ]


def _window(name: Name, seconds: Sequence[Second], samples: Sequence[Sample]) -> Window:
    told = [one for one in seconds if one.p99_ms is not None]
    return Window(
        name, len(seconds), sum(one.offered for one in seconds), sum(one.accepted for one in seconds),
        sum(one.shed for one in seconds), sum(one.errors for one in seconds), sum(one.timeouts for one in seconds),
        sum(one.dropped for one in seconds),
        _middle([one.p50_ms for one in told if one.p50_ms is not None]),
        max((one.p99_ms for one in told if one.p99_ms is not None), default=None),
        max((one.max_ms for one in told if one.max_ms is not None), default=None),
        tuple(sorted({name for sample in samples for name in sample.away})),
        max((sample.active_jobs for sample in samples), default=0),
        max((sample.unpublished for sample in samples), default=0),
        max((sample.oldest_unpublished_ms for sample in samples), default=0),
        max((sample.open_batches for sample in samples), default=0),
    )  # fmt: skip


def _middle(values: list[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


class Spent(NamedTuple):
    """What a run cost of an availability budget of 30 days, at the rate of the run, in integers."""

    bad: int
    total: int
    allowed_ppm: int
    month_ppm: int | None

    @property
    def seconds(self) -> float:
        """The same as seconds of a month in which everything fails."""
        return MONTH_S * self.allowed_ppm / 1e6 * (self.month_ppm or 0) / 1e6


def spent(seconds: Sequence[Second], target_ppm: int) -> Spent:
    """Bad are server errors (load shedding's 503 among them) and timeouts, as in C78.

    What the generator dropped never came to the platform: it is neither bad nor good.
    """
    bad = sum(one.server_errors + one.timeouts for one in seconds)
    total, allowed_ppm = sum(one.offered - one.dropped for one in seconds), 1_000_000 - target_ppm
    whole = total * MONTH_S * allowed_ppm // max(1, len(seconds))
    return Spent(bad, total, allowed_ppm, bad * 10**12 // whole if whole else None)


class Findings(NamedTuple):
    """What decides: each of these must hold, and the first that does not is the reason.

    `other_load` says how the load before the fault was another than asked for, `slow` how the generator was slow then.
    """

    steady_before: bool
    steady_after: bool
    acted: bool
    healed: bool
    recovered: bool
    audit_ok: bool | None
    other_load: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()


Verdict = Literal["pass", "fail", "broken", "cannot tell"]


def decide(found: Findings) -> tuple[Verdict, str]:
    """The verdict and its reason. A broken invariant counts before everything else."""
    if found.audit_ok is False:
        return "broken", "the audit found jobs that did not come out right"
    if not found.steady_before:
        return "cannot tell", "the platform was not in its steady state before anything was broken"
    if found.other_load:
        return "cannot tell", f"before the fault the load was not what was asked for: {'; '.join(found.other_load)}"
    reasons = (
        (found.acted, "a step of the experiment failed"),
        (found.healed, "the fault did not end by its lease"),
        (found.steady_after, "the steady state did not come back"),
    )
    for holds, why in reasons:
        if not holds:
            return "fail", why
    # Only what is known of requests hangs upon how quick the generator was.
    if found.slow:
        return "cannot tell", f"before the fault the generator was slow itself: {'; '.join(found.slow)}"
    if not found.recovered:
        return "fail", "requests or processes were still in trouble at the end"
    if found.audit_ok is None:
        return "cannot tell", "no audit was made"
    return "pass", "whole again, and every job came out right"
