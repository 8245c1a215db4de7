"""What can be said after `:`. Pure: a line of text becomes a command with its argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjops.domain.errors import UsageError

VIEWS = ("overview", "jobs", "job", "slos", "tenants", "chain", "errors", "logs")
"""The views in the order of their keys, 1 to 8."""
THEMES = ("dark", "light", "16", "16-light")
OTHERS = {
    "at": "TIME", "breach": "", "window": "1m 5m 15m 1h 6h 24h", "theme": " ".join(THEMES), "live": "", "help": "",
    "quit": "",
}  # fmt: skip
ACTS = {"cancel": "filter", "retry": "filter", "redeliver": "filter delivered", "pause": "", "resume": ""}
"""Acts with the words that may follow them, besides ids of jobs. They are written out: none begins by a slip."""
BREAK = "break"
"""Written out too, and by itself: the list of what can be broken, or one experiment by its name."""
WINDOWS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400}


class Command(NamedTuple):
    """A verb, and what it is about."""

    verb: str
    argument: str | None


def parse_command(text: str) -> Command:
    """What somebody typed; a beginning that is clear is enough. Raises `UsageError`."""
    word, _, rest = text.strip().removeprefix(":").partition(" ")
    argument = rest.strip() or None
    if word in ACTS:
        return _act(word, argument)
    if word == BREAK:
        return Command(BREAK, argument)
    known = (*VIEWS, *OTHERS)
    found = [word] if word in known else [name for name in known if word and name.startswith(word)]
    if not found:
        raise UsageError(f"there is no command {word or '(nothing)'}; there are {', '.join((*known, *ACTS, BREAK))}")
    if len(found) > 1:
        raise UsageError(f"{word} may be {' or '.join(found)}")
    verb = found[0]
    if verb == "window" and argument not in WINDOWS:
        raise UsageError(f"window is one of {', '.join(WINDOWS)}")
    if verb == "theme" and argument not in THEMES:
        raise UsageError(f"theme is one of {', '.join(THEMES)}")
    if verb == "at" and argument is None:
        raise UsageError("at needs a moment, such as 14:05 or -10m")
    return Command(verb, argument)


def _act(verb: str, argument: str | None) -> Command:
    wrong = [word for word in (argument or "").split() if word not in ACTS[verb].split()]
    if any(not word.startswith("job_") for word in wrong) or (wrong and not ACTS[verb]):
        words = " ".join((*ACTS[verb].split(), "JOB_ID …")) if ACTS[verb] else "nothing"
        raise UsageError(f"after {verb} there may be {words}, not {wrong[0]}")
    return Command(verb, argument)


def complete_command(text: str) -> Sequence[str]:
    """Ways to finish a command."""
    word, space, rest = text.partition(" ")
    if not space:
        return [name for name in (*VIEWS, *OTHERS, *ACTS, BREAK) if word and name.startswith(word) and name != word]
    values = (OTHERS | ACTS).get(word, "").split()
    return [f"{word} {value}" for value in values if rest and value.startswith(rest) and value != rest]
