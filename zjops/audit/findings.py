"""What an audit finds: offenders by kind and job, and the counts by which people judge a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from zjops.analytics.tieout import TieOut
    from zjops.audit.story import Story

SCHEMA = "zjops.audit/1"
LOST, DOUBLED, DOUBLE_BILLED, DOUBLE_CONFIRMED = "lost", "doubled", "double_billed", "double_confirmed"
REORGED = "reorged"
"""A final batch whose block is no longer the chain's, wherever its root is now."""
REPAIRED = "repaired"
"""No fault: a batch that was anchored again after such a reorganisation."""
LATE = frozenset({"event_missing", "not_settled", "not_final"})
"""Findings that time alone may heal: the log and the chain follow the store."""


class Finding(NamedTuple):
    """One thing that must not be."""

    kind: str
    job_id: str
    text: str


class Report(NamedTuple):
    """Counts and findings of an audit, by how many outbox rows the log was behind the store, what was repaired, how
    each month ties out, and of one job that did not come out right the story."""

    counts: Counter[str]
    findings: list[Finding]
    behind: int = 0
    late: tuple[Finding, ...] = ()
    repaired: tuple[Finding, ...] = ()
    tied: tuple[TieOut, ...] = ()
    story: Story | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def forgiving(self) -> Report:
        """The same for a platform that is dead: events that its log never got to are not held against it.

        Only as many as the log is behind the store, told as `late` and not forgotten.
        """
        late = tuple(finding for finding in self.findings if finding.kind == "event_missing")
        if len(late) > self.behind:
            return self
        return self._replace(findings=[f for f in self.findings if f not in late], late=late)

    @property
    def only_late(self) -> bool:
        """Whether waiting may heal everything that was found."""
        return bool(self.findings) and all(finding.kind in LATE for finding in self.findings)

    @property
    def only_missing(self) -> bool:
        """Whether nothing but events was found missing, which the log may get yet."""
        return bool(self.findings) and all(finding.kind == "event_missing" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The summary, with exactly the members that its schema names: the counts, why it is not ok, each month."""
        kinds = Counter(finding.kind for finding in self.findings)
        names = (
            "client_accepted", "unknown", "accepted", "settled", "completed", "failed", "cancelled", "confirmed",
            "charged", "released", "in_flight",
        )  # fmt: skip
        found = {kind: kinds[kind] for kind in (LOST, DOUBLED, DOUBLE_BILLED, DOUBLE_CONFIRMED)}
        counted = {"schema": SCHEMA, "ok": self.ok} | {name: self.counts[name] for name in names} | found
        told = {"findings": self.findings, "repaired": self.repaired, "late": self.late}
        said = {name: [finding._asdict() for finding in some] for name, some in told.items()}
        told_of = {"counterexample": None if self.story is None else self.story.as_json()}
        return counted | said | told_of | {"tie_out": [_as_json(tied) for tied in self.tied]}


def _as_json(tied: TieOut) -> dict[str, Any]:
    identities = [
        {"name": one.name, "left": one.left, "parts": one.parts, "unit": one.unit, "residual": one.residual}
        for one in tied.identities
    ]
    return {
        "month": tied.month, "holds": tied.holds, "identities": identities, "in_flight": tied.in_flight,
        "awaiting_finality": tied.awaiting_finality, "wrong": [list(one) for one in tied.wrong],
    }  # fmt: skip
