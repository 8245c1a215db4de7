"""Checks as Nagios knows them: a state, a line, figures with their thresholds, and what else is to be said.

Pure: each takes what was read elsewhere. The states are those of the Nagios plugin interface.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from zjops.client.standing import has_halted, owner_state, standstill, way_on
from zjops.domain.text import numbered
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import RelayerView
from zjops.domain.wire_webhooks import EndpointView
from zjops.slo.alerts import CHAIN, SILENT, Alert, chain_fails
from zjops.slo.report import Standing


class State(enum.IntEnum):
    """The exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


GRAVITY = (State.CRITICAL, State.WARNING, State.UNKNOWN, State.OK)
"""When several hold, the first of these counts."""


class Figure(NamedTuple):
    """A number: `unit` is s, B, % or nothing, thresholds are as Nagios ranges, `20:` for not below 20."""

    name: str
    value: int | float
    unit: str = ""
    warning: str = ""
    critical: str = ""


class Finding(NamedTuple):
    """One thing that was found, and the command that mends it or shows more."""

    state: State
    text: str
    then: str = ""


class Check(NamedTuple):
    """What a check found. `calm` is the line when nothing is wrong."""

    name: str
    findings: list[Finding]
    figures: list[Figure]
    calm: str
    alerts: list[Alert]

    @property
    def state(self) -> State:
        """The gravest of all findings."""
        states = {one.state for one in self.findings}
        return next((state for state in GRAVITY if state in states), State.OK)


def check_slo(standings: Sequence[Standing], alerts: list[Alert]) -> Check:
    """A page is critical, a ticket a warning; minutes of which nothing is known are unknown."""
    figures = [
        Figure(f"{one.objective.slo}/{one.objective.plan} left", one.budget.left_ppm // 10_000, "%", "50:", "25:")
        for one in standings if one.budget.left_ppm is not None
    ]  # fmt: skip
    findings = [Finding(_state(alert), f"{alert.name}: {alert.text}", alert.opens) for alert in alerts]
    if not any(one.budget.counted.total for one in standings):
        findings.append(Finding(State.UNKNOWN, "nothing is known of any objective", "zjops status"))
    return Check("slo", findings, figures, f"{len(standings)} objectives, none burns", alerts)


def _state(alert: Alert) -> State:
    if alert.name == SILENT:
        return State.UNKNOWN
    return State.CRITICAL if alert.severity == "page" else State.WARNING


class Ages(NamedTuple):
    """From which age on, in s, something is a warning, and critical."""

    warning_s: float
    critical_s: float

    def judge(self, age_s: float) -> State:
        """What an age is."""
        if age_s > self.critical_s:
            return State.CRITICAL
        return State.WARNING if age_s > self.warning_s else State.OK


def check_queue(state: PlatformState, oldest_pending_s: float | None, ages: Ages) -> Check:
    """The oldest job that waits, the oldest unpublished event, and dead letters."""
    findings, waits = [], oldest_pending_s or 0.0
    unpublished_s = (state.oldest_unpublished_ms or 0) / 1000
    if (found := ages.judge(waits)) is not State.OK:
        findings.append(
            Finding(found, f"a job has waited for {waits:,.0f} s", "zjops jobs list --all --status pending")
        )
    if (found := ages.judge(unpublished_s)) is not State.OK:
        text = f"{state.unpublished:,} events wait to be published, the oldest for {unpublished_s:,.0f} s"
        findings.append(Finding(found, text, "zjops status"))
    if state.dead_letters:
        text = numbered(state.dead_letters, "dead letter")
        findings.append(Finding(State.WARNING, text, "zjops jobs retry --all --reason WHY"))
    limits = f"{ages.warning_s:g}", f"{ages.critical_s:g}"
    figures = [
        Figure("oldest pending", round(waits, 1), "s", *limits), Figure("active jobs", state.active_jobs),
        Figure("oldest unpublished", round(unpublished_s, 1), "s", *limits), Figure("unpublished", state.unpublished),
        Figure("dead letters", state.dead_letters, "", "0"),
    ]  # fmt: skip
    return Check("queue", findings, figures, f"{numbered(state.active_jobs, 'active job')}, none waits long", [])


def check_relayer(view: RelayerView, ages: Ages) -> Check:
    """Whether confirmations go on, and how long the oldest job has waited for a batch."""
    findings, waits = [], (view.oldest_waiting_ms or 0) / 1000
    why = standstill(view)
    if why is not None:
        meant = view.paused and not has_halted(view)
        findings.append(Finding(State.WARNING if meant else State.CRITICAL, why, way_on(view)))
    elif (found := ages.judge(waits)) is not State.OK:
        findings.append(Finding(found, f"a settled job has waited for {waits:,.0f} s", "zjops chain status"))
    figures = [
        Figure("oldest waiting", round(waits, 1), "s", f"{ages.warning_s:g}", f"{ages.critical_s:g}"),
        Figure("waiting jobs", view.waiting_jobs), Figure("open batches", view.open_batches),
    ]  # fmt: skip
    return Check(
        "relayer",
        findings,
        figures,
        f"{owner_state(view)}, {numbered(view.open_batches, 'batch', 'batches')} under way",
        [],
    )


def check_webhooks(endpoints: dict[str, list[EndpointView]], failed: int) -> Check:
    """Endpoints by tenant: one that failed gets nothing any more. `failed` are the newest deliveries given up."""
    findings = []
    for tenant, views in endpoints.items():
        for view in views:
            then = f"zjops webhooks deliveries --state failed --tenant {tenant}"
            if view.status == "failed":
                findings.append(Finding(State.WARNING, f"endpoint {view.endpoint_id} of {tenant} has failed", then))
            elif view.failures:
                text = f"endpoint {view.endpoint_id} of {tenant} failed {view.failures} times in a row"
                findings.append(Finding(State.WARNING, text, then))
    count = sum(map(len, endpoints.values()))
    figures = [Figure("endpoints", count), Figure("failed deliveries", failed)]
    return Check("webhooks", findings, figures, f"{count} endpoints of {len(endpoints)} tenants, none has failed", [])


class Height(NamedTuple):
    """How the node stands: `late_s` is by how much its newest block is older than it should be."""

    head: int
    late_s: float
    paused: bool
    known: bool


class Outcomes(NamedTuple):
    """Confirmation transactions of the last ten minutes; None while there is no earlier look to compare with."""

    confirmed: int
    failed: int


def check_chain(height: Height, outcomes: Outcomes | None, ages: Ages, at_ms: int) -> Check:
    """Whether it is our contract and it takes confirmations, blocks come in time, and transactions succeed (C61)."""
    findings: list[Finding] = []
    alerts: list[Alert] = []
    if not height.known:
        findings.append(Finding(State.CRITICAL, "the node serves another chain or contract", "zjops doctor"))
    if height.paused:
        findings.append(Finding(State.WARNING, "the contract is paused", "zjops chain unpause contract"))
    if (found := ages.judge(height.late_s)) is not State.OK:
        findings.append(Finding(found, f"the newest block is {height.late_s:,.0f} s late", "zjops chain status"))
    if outcomes is not None and chain_fails(*outcomes):
        total = sum(outcomes)
        text = f"{outcomes.failed} of {total} confirmation transactions failed in 10 min"
        alerts.append(Alert(CHAIN, "page", {}, text, at_ms))
        findings.append(Finding(State.CRITICAL, f"{CHAIN}: {text}", "zjops chain status"))
    figures = [Figure("height", height.head), Figure("late", height.late_s, "s", *_limits(ages))]
    if outcomes is not None:
        figures += [Figure("confirmed 10m", outcomes.confirmed), Figure("failed 10m", outcomes.failed)]
    return Check("chain", findings, figures, f"block {height.head:,}, {height.late_s:g} s late", alerts)


def _limits(ages: Ages) -> tuple[str, str]:
    return f"{ages.warning_s:g}", f"{ages.critical_s:g}"


def nagios(check: Check) -> str:
    """The plugin's output: state and first finding with the figures, then the others."""
    ordered = sorted(check.findings, key=lambda one: GRAVITY.index(one.state))
    first, *others = [f"{one.text}{'; ' + one.then if one.then else ''}" for one in ordered] or [check.calm]
    more = f" (and {len(others)} more)" if others else ""
    figures = f" | {_perfdata(check.figures)}" if check.figures else ""
    lines = [f"{check.name.upper()} {check.state.name} - {_bare(first)}{more}{figures}"]
    return "\n".join([*lines, *map(_bare, others)])


def _perfdata(figures: Iterable[Figure]) -> str:
    parts = []
    for one in figures:
        ranges = f";{one.warning};{one.critical}".rstrip(";")
        parts.append(f"'{one.name}'={one.value}{one.unit}{ranges}")
    return " ".join(parts)


def _bare(text: str) -> str:
    """Without the character that begins the figures."""
    return text.replace("|", "/").replace("\n", " ")


def as_record(check: Check) -> dict[str, Any]:
    """The same for programs."""
    return {
        "check": check.name, "state": check.state.name.lower(), "code": int(check.state),
        "findings": [{"state": f.state.name.lower(), "text": f.text, "then": f.then} for f in check.findings],
        "figures": [one._asdict() for one in check.figures],
        "alerts": [{"name": a.name, "severity": a.severity, "labels": a.labels, "text": a.text, "opens": a.opens,
                    "runbook": a.runbook} for a in check.alerts],
    }  # fmt: skip


def prometheus(check: Check) -> str:
    """The same in the Prometheus text format, for the textfile collector."""
    name = _metric(check.name)
    lines = [
        "# HELP zjops_check_state Nagios state: 0 ok, 1 warning, 2 critical, 3 unknown.",
        "# TYPE zjops_check_state gauge",
        f'zjops_check_state{{check="{name}"}} {int(check.state)}',
        "# HELP zjops_check_figure Figures of the checks, in the unit of the label.",
        "# TYPE zjops_check_figure gauge",
    ]  # fmt: skip
    for one in check.figures:
        labels = f'check="{name}",figure="{_escaped(one.name)}",unit="{_escaped(one.unit)}"'
        lines.append(f"zjops_check_figure{{{labels}}} {one.value}")
    if check.alerts:
        lines += ["# HELP zjops_check_alert 1 for every alert that fires.", "# TYPE zjops_check_alert gauge"]
    for alert in check.alerts:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(alert.labels.items()))
        comma = "," if labels else ""
        lines.append(f'zjops_check_alert{{alertname="{alert.name}",severity="{alert.severity}"{comma}{labels}}} 1')
    return "\n".join(lines)


def _metric(text: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
