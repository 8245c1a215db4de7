"""Several experiments as one: a row each, and the documents of them all, beside the folder of every single one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from zjops.chaos.report import WORDS, junit, seconds_text
from zjops.chaos.result import Result, Untold, summary
from zjops.domain.clock import rfc3339
from zjops.load import runs
from zjops.load.report.page import whole

SCHEMA = "zjops.chaos.suite/1"
DOCUMENT, PAGE, JUNIT = "suite.json", "suite.html", "junit.xml"


class Suite(NamedTuple):
    """What came of experiments that were run one after the other, how many were asked for, and by what command."""

    results: Sequence[Result | Untold]
    asked: int
    command: str
    began_ms: int

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(one.verdict == "pass" for one in self.results)

    @property
    def text(self) -> str:
        """The whole in a line."""
        ended = "" if len(self.results) == self.asked else f"; it ended before {self.asked - len(self.results)} more"
        return f"{self.passed} of {len(self.results)} experiments passed{ended}"


def rows(suite: Suite) -> list[dict[str, str]]:
    """One row an experiment."""
    return [
        {"experiment": one.experiment.name, "verdict": WORDS[one.verdict]} | _figures(one) | {"reason": one.reason}
        for one in suite.results
    ]


def rows_for_people(suite: Suite) -> list[dict[str, str]]:
    """The same, with reasons only where there is one to ask for."""
    found = rows(suite)
    if suite.passed == len(found):
        return [{name: text for name, text in row.items() if name != "reason"} for row in found]
    return [row | {"reason": "" if row["verdict"] == WORDS["pass"] else row["reason"]} for row in found]


def _figures(one: Result | Untold) -> dict[str, str]:
    if isinstance(one, Untold):
        return dict.fromkeys(("noticed", "healed", "over", "bad", "jobs"), "–") | {"audit": "none"}
    return {
        "noticed": seconds_text(one.times.to_notice_s), "healed": seconds_text(one.times.to_heal_s),
        "over": seconds_text(one.times.to_recover_s), "bad": f"{one.spent.bad:,} of {one.spent.total:,}",
        "jobs": "–" if one.audit is None else f"{one.audit.counts['client_accepted']:,}",
        "audit": "none" if one.audit is None else "ok" if one.audit.ok else "FOUND",
    }  # fmt: skip


def document(suite: Suite) -> dict[str, Any]:
    """The suite for programs: the rows as they are told, and the whole of every experiment."""
    return {
        "schema": SCHEMA, "began_ms": suite.began_ms, "command": suite.command, "asked": suite.asked,
        "passed": suite.passed, "rows": rows(suite), "experiments": [_whole(one) for one in suite.results],
    }  # fmt: skip


def _whole(one: Result | Untold) -> dict[str, Any]:
    if isinstance(one, Result):
        return summary(one)
    return {
        "experiment": one.experiment.name, "title": one.experiment.title, "verdict": one.verdict, "reason": one.reason,
        "lease_s": one.lease_s, "command": one.command,
    }  # fmt: skip


def page(suite: Suite) -> str:
    """The suite as one page that loads nothing from anywhere; it leads to the page of each experiment."""
    good = "good" if suite.passed == suite.asked else "bad"
    found = rows(suite)
    head = "".join(f"<th>{escape(name)}</th>" for name in (*found[0], "again")) if found else ""
    body = "".join(_row(one, row) for one, row in zip(suite.results, found, strict=True))
    parts = [
        f'<h1>Chaos suite</h1><p class="verdict {good}">{escape(suite.text)}</p>',
        f"<p>{rfc3339(suite.began_ms)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        f"<h2>Again</h2><p><code>{escape(suite.command)}</code></p>",
    ]
    return whole(f"Chaos: {suite.text}", parts)


def _row(one: Result | Untold, row: dict[str, str]) -> str:
    name, verdict, *more = (escape(text) for text in row.values())
    # Of what ended early there is no page.
    link = f'<a href="{name}/report.html">{name}</a>' if isinstance(one, Result) else name
    cells = [
        link, f'<span class="{"good" if one.verdict == "pass" else "bad"}">{verdict}</span>', *more,
        f"<code>{escape(one.command)}</code>",
    ]  # fmt: skip
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def write(suite: Suite, folder: Path) -> None:
    """Every form of it into its folder."""
    runs.write_json(folder / DOCUMENT, document(suite))
    (folder / PAGE).write_text(page(suite))
    (folder / JUNIT).write_text(junit(suite.results))
