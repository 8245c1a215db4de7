"""The report of a run as one page: it loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from zjops.domain.clock import rfc3339
from zjops.load.gate import ACHIEVED_LEAST, CPU_MOST, LAG_SHARE
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.outcome import Outcome, hop_rows, operation_rows, phase_rows, summary
from zjops.load.report.chart import Band, Series, chart

POINTS_MOST = 600
STYLE = """
:root{color-scheme:light dark;--ink:#111827;--dim:#6b7280;--line:#d1d5db;--card:#fff;--bad:#b91c1c;--good:#047857}
@media(prefers-color-scheme:dark){:root{--ink:#e5e7eb;--dim:#9ca3af;--line:#374151;--card:#111827;--bad:#f87171;
--good:#34d399}}
body{font:14px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--card);max-width:900px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}.verdict{font-size:1.2rem;font-weight:600}.good{color:var(--good)}
.bad{color:var(--bad)}figure{margin:1rem 0}figcaption{font-weight:600}small{color:var(--dim);font-weight:400}
small span{margin-right:.8rem}i{display:inline-block;width:.7rem;height:.7rem;margin-right:.3rem;border-radius:2px}
svg{width:100%;height:auto}svg text{font-size:10px;fill:var(--dim)}.grid{stroke:var(--line);stroke-width:.6}
.edge{stroke:var(--dim);stroke-width:.6;stroke-dasharray:3 3}.band{fill:var(--dim);opacity:.12}
code{background:color-mix(in srgb,var(--dim) 15%,transparent);padding:.1rem .3rem;border-radius:3px}
"""
WORDS = {"pass": "✓ pass", "fail": "✗ fail", "not_trusted": "? cannot tell"}


def page(outcome: Outcome) -> str:
    """The page."""
    scenario = outcome.measured.scenario
    parts = [
        _head(outcome), table("Thresholds", _thresholds(outcome)), _trust(outcome),
        *_charts(outcome.measured, _broken(outcome)),
        table("Phases", phase_rows(outcome)), table("Requests", operation_rows(outcome.measured)),
        hops(outcome.hops), _costs(outcome), _audit(outcome),
        table("Tenants and what was negotiated", [{"tenant": t.tenant, "plan": t.plan, **t.values}
                                                   for t in outcome.tenants]),
        _again(outcome),
    ]  # fmt: skip
    return whole(f"Load {scenario.name}: {WORDS[outcome.verdict]}", parts)


def whole(title: str, parts: Sequence[str]) -> str:
    """A page of a title, which is text, and of parts, which are HTML; it loads nothing from anywhere."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _head(outcome: Outcome) -> str:
    told = summary(outcome)
    good = "good" if outcome.verdict == "pass" else "bad"
    trusted = "TRUSTED" if outcome.trusted else "not trusted"
    more = "".join([
        "<p class=bad>It was interrupted; this is what was measured until then.</p>" if outcome.interrupted else "",
        f"<p class=bad>It was ended early: {escape(outcome.gave_up)} could not hold any more.</p>"
        if outcome.gave_up else "",
        "<p class=bad>The audit found that not every job came out right.</p>" if outcome.broken else "",
    ])  # fmt: skip
    counts = ", ".join(f"{told[name]:,} {name}" for name in ("accepted", "shed", "errors", "timeouts", "dropped"))
    figures = ", ".join(
        f"{name} {told[f'{name}_ms']:,.1f} ms" for name in ("p50", "p95", "p99", "p999", "max")
        if told[f"{name}_ms"] is not None
    )  # fmt: skip
    return (
        f"<h1>Load: {escape(outcome.measured.scenario.name)}</h1><p>{escape(outcome.measured.scenario.text)}</p>"
        f'<p class="verdict {good}">{WORDS[outcome.verdict]}, {trusted}</p>{more}'
        f"<p>{rfc3339(outcome.began_ms)}. {told['offered_rps']:,.1f} a second offered, "
        f"{told['achieved_rps']:,.1f} sent; {counts}.<br>"
        f"From when each was due: {figures or 'nothing was measured'}.</p>"
    )


def _thresholds(outcome: Outcome) -> list[dict[str, Any]]:
    phases = outcome.measured.scenario.phases
    return [
        {
            "threshold": one.threshold.text, "from": one.threshold.source,
            "phase": "all that count" if one.threshold.phase is None else phases[one.threshold.phase].name,
            "measured": one.value, "held": one.ok,
        }
        for one in outcome.judged
    ]  # fmt: skip


def _trust(outcome: Outcome) -> str:
    rule = (
        f"A run is trusted when at least {ACHIEVED_LEAST:.1%} of what was due was sent, nothing was dropped, the "
        f"schedule's lag at p99 is at most {LAG_SHARE:.0%} of the tightest threshold, and the generator took at most "
        f"{CPU_MOST:.0%} of a core, phase by phase."
    )
    wrong = "".join(f"<li>{escape(flaw.phase)}: {escape(flaw.text)}</li>" for flaw in outcome.flaws)
    return f"<h2>Trust</h2><p>{rule}</p><ul class=bad>{wrong}</ul>" if wrong else f"<h2>Trust</h2><p>{rule} It is.</p>"


def _broken(outcome: Outcome) -> list[Band]:
    """What was broken on purpose, shaded, in seconds from the start of the run."""
    measured = outcome.measured
    began_ms = measured.head.began_ms if measured.head else outcome.began_ms
    spans = [(one.name, (one.from_ms - began_ms) / 1000, (one.to_ms - began_ms) / 1000) for one in outcome.faults]
    return [
        Band(name, max(0.0, start), min(end, measured.ran_s), True)
        for name, start, end in spans if start < measured.ran_s and end > 0
    ]  # fmt: skip


def _charts(measured: Measured, faults: Sequence[Band]) -> list[str]:
    seconds = measured.by_second()
    every = max(1, -(-len(seconds) // POINTS_MOST))
    chosen = [(second, tally) for number, (second, tally) in enumerate(seconds.items()) if number % every == 0]
    starts = measured.scenario.starts()
    bands = [
        Band(phase.name, start, start + phase.duration_s, phase.warmup)
        for start, phase in zip(starts, measured.scenario.phases, strict=True) if start < measured.ran_s
    ] + list(faults)  # fmt: skip
    rates = [
        Series(name, [(second, float(tally[name])) for second, tally in chosen])
        for name in ("offered", "accepted", "shed", "errors", "timeouts")
        if name in ("offered", "accepted") or any(tally[name] for _, tally in chosen)
    ]
    times = [Series(f"p{point:g}", [(second, tally.latency.ms(point)) for second, tally in chosen])
             for point in (50, 95, 99)]  # fmt: skip
    lag = [Series("lag p99", [(second, tally.lag.ms(99)) for second, tally in chosen]),
           Series("service p99", [(second, tally.service.ms(99)) for second, tally in chosen])]  # fmt: skip
    note = "" if every == 1 else f" (every {every}th second)"
    return [
        "<h2>Over time</h2>", chart("Requests by the second in which they were due" + note, "a second", rates, bands),
        chart("Time from when each was due" + note, "ms", times, bands),
        chart("Of that: until it was sent, and from then on" + note, "ms", lag, bands),
    ]  # fmt: skip


def hops(found: Mapping[str, Histogram]) -> str:
    """How long each step took after the acceptance, as a table and as lines; nothing where nobody knows."""
    if not found:
        return ""
    rows = hop_rows(found)
    shares = [
        Series(row["hop"], [((found[row["hop"]].ms(point) or 0.0) / 1000, float(point)) for point in range(1, 101)])
        for row in rows
    ]
    drawn = chart("Share of jobs that had come so far, by seconds after their acceptance", "%", shares)
    return table("From acceptance to each step", rows) + drawn


def _costs(outcome: Outcome) -> str:
    rows = [
        {
            "process": cost.process, "roles": ", ".join(cost.roles), "CPU s": cost.cpu_s, "us a job": cost.us_a_job,
            "share of a core": cost.core, "MB at the end": None if cost.memory is None else cost.memory / 1e6,
        }
        for cost in outcome.costs
    ]  # fmt: skip
    return table("What a job costs, by process and roles", rows)


def _audit(outcome: Outcome) -> str:
    if outcome.audit is None:
        return "<h2>Audit</h2><p>None was made.</p>"
    rows = [{name: value for name, value in outcome.audit.items() if name not in ("findings", "counterexample")}]
    found = "".join(
        f"<li>{escape(one['kind'])}: {escape(one['job_id'])} {escape(one['text'])}</li>"
        for one in outcome.audit["findings"]
    )
    told = f"<h2>Counter-example</h2><pre>{escape(chr(10).join(outcome.story))}</pre>" if outcome.story else ""
    return table("Audit: every job, everywhere, once", rows) + (f"<ul class=bad>{found}</ul>" if found else "") + told


def _again(outcome: Outcome) -> str:
    return f"<h2>Again</h2><p>Seed {outcome.seed}. <code>{escape(outcome.command)}</code></p>"


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """A heading and a row each, with the columns of the first; nothing where there is none."""
    if not rows:
        return ""
    names = list(rows[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in names) + "</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "<span class=good>yes</span>" if value else "<span class=bad>no</span>"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, dict):
        return escape(", ".join(f"{key}: {count:,}" for key, count in value.items()))
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
