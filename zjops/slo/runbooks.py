"""What to do about an alert: a page for each, with exact commands."""

from __future__ import annotations

import importlib.resources
from difflib import get_close_matches

from zjops.domain.errors import UsageError
from zjops.slo.alerts import SUMMARY


def runbook(name: str) -> str:
    """The page of an alert, as Markdown. Raises `UsageError` for one that there is not."""
    known = {alert.lower(): alert for alert in SUMMARY}
    found = known.get(name.lower())
    if found is None:
        near = get_close_matches(name.lower(), known, 1)
        hint = f"did you mean {known[near[0]]}?" if near else f"there are {', '.join(SUMMARY)}"
        raise UsageError(f"there is no alert {name}; {hint}")
    return (importlib.resources.files("zjops.slo") / "runbooks" / f"{found}.md").read_text()
