"""The result of an experiment for people and for machines: lines, Markdown, HTML, JSON, JUnit, percentile tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from zjops.chaos.result import Result, Untold, summary
from zjops.chaos.verdict import Window
from zjops.domain.clock import rfc3339
from zjops.load import runs
from zjops.load.outcome import hop_rows
from zjops.load.report import percentiles
from zjops.load.report.cases import Wrong, case, suite
from zjops.load.report.chart import Band, Series, chart
from zjops.load.report.page import hops, table, whole

WORDS = {"pass": "✓ pass", "fail": "✗ fail", "broken": "✗ BROKEN", "cannot tell": "? cannot tell"}


def seconds_text(value: float | None, none: str = "–") -> str:
    """Seconds with one decimal."""
    return none if value is None else f"{value:.1f} s"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"


def window_rows(windows: Sequence[Window]) -> list[dict[str, str]]:
    """Before, during and after, side by side: one row a figure."""
    told: list[tuple[str, Any]] = [
        ("seconds", lambda w: f"{w.seconds}"), ("requests", lambda w: f"{w.offered:,}"),
        ("accepted", lambda w: f"{w.accepted:,}"), ("shed (429, 503)", lambda w: f"{w.shed:,}"),
        ("errors", lambda w: f"{w.errors:,}"), ("timeouts", lambda w: f"{w.timeouts:,}"),
        ("dropped by the generator", lambda w: f"{w.dropped:,}"),
        ("p50, middle second", lambda w: _ms(w.p50_ms)), ("p99, worst second", lambda w: _ms(w.p99_ms)),
        ("slowest", lambda w: _ms(w.max_ms)), ("did not answer", lambda w: ", ".join(w.away) or "–"),
        ("active jobs, most", lambda w: f"{w.active_jobs:,}"), ("events waiting, most", lambda w: f"{w.unpublished:,}"),
        ("oldest of them", lambda w: _ms(w.oldest_unpublished_ms)),
        ("open batches, most", lambda w: f"{w.open_batches:,}"),
    ]  # fmt: skip
    return [{"": name} | {window.name: tell(window) for window in windows} for name, tell in told]


def moments(result: Result) -> list[str]:
    """When it was noticed, healed and over, and what it cost, as sentences."""
    at, cost = result.times, result.spent
    noticed = "nothing was noticed" if at.to_notice_s is None else (
        f"noticed after {seconds_text(at.to_notice_s)} ({at.noticed_by})"
    )  # fmt: skip
    month = "" if cost.month_ppm is None else (
        f"; that is {cost.month_ppm / 10_000:.4f} % of a month's budget at this rate, {cost.seconds:.1f} s of it"
    )  # fmt: skip
    return [
        f"{noticed}; healed after {seconds_text(at.to_heal_s, 'never')}, "
        f"over {seconds_text(at.to_recover_s, 'never')} later",
        *(f"{name} struck {times:,} time{'' if times == 1 else 's'}" for name, times in result.struck.items()),
        f"error budget: {cost.bad:,} of {cost.total:,} requests were bad{month if cost.bad else ''}",
        f"audit: {_audited(result)}",
        *(f"the generator {flaw.phase}: {flaw.text}" for flaw in result.flaws),
    ]


def _audited(result: Result) -> str:
    if result.audit is None:
        return "none could be made"
    if result.audit.ok:
        return f"{result.audit.counts['client_accepted']:,} accepted jobs, each of them once everywhere"
    return f"{len(result.audit.findings)} findings: " + "; ".join(
        f"{one.kind} {one.job_id} {one.text}" for one in result.audit.findings[:3]
    )


def write(result: Result, folder: Path) -> None:
    """Every form of the result into its folder."""
    runs.write_json(folder / runs.SUMMARY, summary(result))
    (folder / "report.md").write_text(markdown(result))
    (folder / "report.html").write_text(page(result))
    (folder / "junit.xml").write_text(junit([result]))
    percentiles.write(result.latency, folder)


def junit(results: Sequence[Result | Untold]) -> str:
    """The results as JUnit XML: a case an experiment; what cannot be told is an error."""
    return suite("zjops chaos", [case("zjops.chaos", one.experiment.name, _wrong(one)) for one in results])


def _wrong(one: Result | Untold) -> Wrong | None:
    if one.verdict == "pass":
        return None
    return "error" if one.verdict == "cannot tell" else "failure", one.reason


def hop_texts(result: Result) -> list[dict[str, str]]:
    """How long each step took after the acceptance, a row each."""
    return [
        {"from acceptance to": row["hop"], "jobs": f"{row['jobs']:,}"}
        | {name: _ms(row[f"{name}_ms"]) for name in ("p50", "p95", "p99", "max")}
        for row in hop_rows(result.hops)
    ]


def _markdown_table(rows: Sequence[dict[str, str]]) -> list[str]:
    if not rows:
        return []
    heads = list(rows[0])
    return [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(r.values())} |" for r in rows), ""]


def markdown(result: Result) -> str:
    """The result as Markdown."""
    lines = [
        f"# {result.experiment.title}: {WORDS[result.verdict]}", "", f"{result.reason[0].upper()}{result.reason[1:]}.",
        "", *(f"- {text}" for text in moments(result)), "", *_markdown_table(window_rows(result.windows)),
        *_markdown_table(hop_texts(result)),
    ]  # fmt: skip
    if result.story:
        lines += ["```", *result.story, "```", ""]
    return "\n".join([*lines, f"Again: `{result.command}`", ""])


def page(result: Result) -> str:
    """The result as one page that loads nothing from anywhere."""
    name, good = result.experiment, "good" if result.verdict == "pass" else "bad"
    parts = [
        f"<h1>{escape(name.title)}</h1><p>{escape(name.description)}</p>",
        f'<p class="verdict {good}">{WORDS[result.verdict]}</p><p>{escape(result.reason)}</p>',
        f"<p>{rfc3339(result.began_ms)}</p><ul>{''.join(f'<li>{escape(text)}</li>' for text in moments(result))}</ul>",
        *_charts(result), table("Before, during and after", window_rows(result.windows)), hops(result.hops),
        f"<h2>Time from when each request was due</h2><pre>{escape(percentiles.wrk_lines(result.latency))}</pre>",
        f"<h2>Counter-example</h2><pre>{escape(chr(10).join(result.story))}</pre>" if result.story else "",
        f"<h2>Again</h2><p><code>{escape(result.command)}</code></p>",
    ]  # fmt: skip
    return whole(f"Chaos {name.name}: {WORDS[result.verdict]}", parts)


def _charts(result: Result) -> list[str]:
    """Requests and their times by second, with a band where something was broken and one until it was over."""
    if not result.seconds:
        return []
    first = result.seconds[0].at_ms

    def since(ms: int) -> float:
        return (ms - first) / 1000

    bands = _bands(result, since)
    counts = [
        Series(name, [(since(one.at_ms), float(getattr(one, name))) for one in result.seconds])
        for name in ("offered", "accepted", "shed", "errors", "timeouts", "dropped")
        if name in ("offered", "accepted") or any(getattr(one, name) for one in result.seconds)
    ]
    times = [
        Series(text, [(since(one.at_ms), getattr(one, name)) for one in result.seconds])
        for text, name in (("p50", "p50_ms"), ("p99", "p99_ms"))
    ]
    queues = [
        Series(text, [(since(one.at_ms), float(getattr(one, name)) if one.answered else None)
                      for one in result.samples if one.at_ms >= first])
        for text, name in (("active jobs", "active_jobs"), ("events waiting", "unpublished"))
    ]  # fmt: skip
    return [
        chart("Requests by the second in which they were due", "a second", counts, bands),
        chart("Time from when each was due", "ms", times, bands),
        chart("On their way in the platform", "", queues, bands),
    ]


def _bands(result: Result, since: Callable[[int], float]) -> list[Band]:
    at = result.times
    healed = since(result.seconds[-1].at_ms if at.healed_ms is None else at.healed_ms)
    bands = [Band("broken", since(at.began_ms), healed, shaded=True)]
    if at.recovered_ms is not None and at.recovered_ms > (at.healed_ms or 0):
        bands.append(Band("recovering", healed, since(at.recovered_ms)))
    return bands
