"""JUnit XML: cases of a suite, each of which passed, failed, or could not be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.sax.saxutils import quoteattr

Wrong = tuple[Literal["failure", "error"], str]
"""What is wrong with a case, and why: an error is what could not be told."""


def case(classname: str, name: str, wrong: Wrong | None) -> str:
    """One case."""
    head = f"  <testcase classname={quoteattr(classname)} name={quoteattr(name)}"
    return f"{head}/>" if wrong is None else f"{head}><{wrong[0]} message={quoteattr(wrong[1])}/></testcase>"


def suite(name: str, cases: Sequence[str], seconds: float | None = None) -> str:
    """The document."""
    failures, errors = (sum(f"><{kind} " in case for case in cases) for kind in ("failure", "error"))
    took = "" if seconds is None else f' time="{seconds:.3f}"'
    body = "\n".join(cases)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name={quoteattr(name)} tests="{len(cases)}" '
        f'failures="{failures}" errors="{errors}"{took}>\n{body}\n</testsuite>\n'
    )
