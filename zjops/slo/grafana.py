"""A Grafana dashboard from the same objectives: it shows what the exported rules record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from zjops.slo.model import TENTHS, Objective, window_text
from zjops.slo.prometheus import EVENTS, LEFT, RATIO

Panel = dict[str, Any]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
STEPS = [
    {"color": "red", "value": None}, {"color": "orange", "value": 0}, {"color": "yellow", "value": 0.25},
    {"color": "green", "value": 0.5},
]  # fmt: skip
"""Where the policies of R105 change."""


def dashboard(objectives: Sequence[Objective]) -> str:
    """The dashboard as JSON, to be imported; it asks for the data source."""
    panels = [_overview(), *(panel for row, slo in enumerate(_slos(objectives)) for panel in _panels(slo, row))]
    return msgspec.json.format(msgspec.json.encode({
        "title": "zjops: service level objectives", "uid": "zjops-slo", "tags": ["zjops", "slo"], "schemaVersion": 39,
        "editable": True, "refresh": "1m", "time": {"from": "now-6h", "to": "now"}, "timezone": "utc",
        "templating": {"list": [_datasource(), _plans(objectives)]},
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, 1)],
    }), indent=2).decode()  # fmt: skip


def _slos(objectives: Sequence[Objective]) -> list[Objective]:
    """The first objective of each SLO: its plans share a row."""
    return list({one.slo: one for one in reversed(objectives)}.values())[::-1]


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def _plans(objectives: Sequence[Objective]) -> dict[str, Any]:
    names = list(dict.fromkeys(one.plan for one in objectives))
    options = [{"text": name, "value": name, "selected": False} for name in names]
    return {
        "name": "plan", "label": "Plan", "type": "custom", "query": ",".join(names), "multi": True, "includeAll": True,
        "options": options, "current": {"text": "All", "value": "$__all"}, "hide": 0,
    }  # fmt: skip


def _overview() -> Panel:
    return _panel("bargauge", "Budget left", f'{LEFT}{{plan=~"$plan"}}', "{{slo}} {{plan}}", (0, 0, WIDTH, 10)) | {
        "options": {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
    }


def _panels(one: Objective, row: int) -> list[Panel]:
    """Budget left, burn rates over the long windows, and events of an SLO."""
    top, here = 10 + row * 8, f'{{slo="{one.slo}",plan=~"$plan"}}'
    burn = _panel("timeseries", f"{one.slo}: burn rate", "", "", (8, top, 10, 8), unit="none")
    burn["targets"] = [
        _target(f"{RATIO.format(window_text(pair.long_minutes))}{here} * 1000000 / {one.budget_ppm}",
                f"{{{{plan}}}} {window_text(pair.long_minutes)}", ref)
        for pair, ref in zip(one.pairs, "ABCDEFGH", strict=False)
    ]  # fmt: skip
    burn["fieldConfig"]["defaults"]["thresholds"] = {"mode": "absolute", "steps": [
        {"color": "green", "value": None},
        *({"color": "red" if pair.severity == "page" else "orange", "value": pair.factor_tenths / TENTHS}
          for pair in sorted(one.pairs, key=lambda pair: pair.factor_tenths)),
    ]}  # fmt: skip
    window = window_text(one.pairs[0].short_minutes) if one.pairs else "5m"
    found = [_panel("timeseries", f"{one.slo}: budget left", f"{LEFT}{here}", "{{plan}}", (0, top, 8, 8))]
    if one.pairs:
        events = f"{EVENTS.format(window)}{here}"
        found += [
            burn,
            _panel("timeseries", f"{one.slo}: events in {window}", events, "{{plan}}", (18, top, 6, 8), "none"),
        ]
    return found


def _panel(
    kind: str, title: str, expr: str, legend: str, at: tuple[int, int, int, int], unit: str = "percentunit"
) -> Panel:
    x, y, width, height = at
    return {
        "type": kind, "title": title, "datasource": SOURCE, "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "targets": [_target(expr, legend, "A")],
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": STEPS}}, "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }  # fmt: skip


def _target(expr: str, legend: str, ref: str) -> dict[str, Any]:
    return {"refId": ref, "datasource": SOURCE, "expr": expr, "legendFormat": legend}
