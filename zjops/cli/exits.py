"""Exit codes are an interface; all of them come from here."""

from __future__ import annotations

import sys

from zjops.cli.text import plain
from zjops.domain.errors import Problem, ZjopsError

FINE, CHECK_FAILED, USAGE, UNREACHABLE, BROKEN, UNTRUSTED, BREACHED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 99, 130
ORDER = (BROKEN, UNTRUSTED, BREACHED, CHECK_FAILED)
"""When several hold, the first of these counts."""


def exit_code_of(error: ZjopsError) -> int:
    """An API's refusal is wrong usage when it is the caller's, and unreachable when the platform is at fault.

    What is only not there yet counts as the latter: trying again helps.
    """
    if isinstance(error, Problem):
        later = error.status >= 500 or error.status == 429 or error.kind.code == "not-final"
        return UNREACHABLE if later else USAGE
    return error.exit_code


def worst(codes: list[int]) -> int:
    """The code that counts when several hold."""
    return next((code for code in ORDER if code in codes), FINE)


def say_error(error: ZjopsError) -> None:
    """One line that says what and why; the fields of a rejected request follow it."""
    text = str(error)
    if isinstance(error, Problem):
        trace = f" (trace {error.trace_id})" if error.trace_id and error.status >= 500 else ""
        text = f"{error.status} {error.kind.code}: {error.detail}{trace}"
    print(plain(f"error: {text}"), file=sys.stderr)
    if isinstance(error, Problem):
        for field in error.errors:
            if not error.detail.endswith(field.detail):
                print(plain(f"  {field.pointer}: {field.detail}"), file=sys.stderr)
