"""The page of a search: what it came to, each step, and the way to each step's own report."""

from __future__ import annotations

from html import escape

from zjops.domain.clock import rfc3339
from zjops.load.knee import Found
from zjops.load.report.page import STYLE, table


def page(found: Found) -> str:
    """The page; it loads nothing from anywhere."""
    title = f"Load {escape(found.scenario)}: {escape(found.text)}"
    good = "bad" if found.broken or found.knee_rps is None else "good"
    broken = "<p class=bad>The audit found that not every job came out right.</p>" if found.broken else ""
    steps = [{"step": number, **row} for number, row in enumerate(found.rows, 1)]
    ways = ", ".join(f'<a href="step-{number}/report.html">{number}</a>' for number in range(1, len(steps) + 1))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><h1>Search: {escape(found.scenario)}</h1><p class="verdict {good}">{escape(found.text)}</p>{broken}'
        f"<p>{rfc3339(found.began_ms)}</p>{table('Steps', steps)}<p>Report of each step: {ways}.</p>"
        f"<h2>Again</h2><p>Seed {found.seed}. <code>{escape(found.command)}</code></p></body></html>\n"
    )
