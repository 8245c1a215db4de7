"""The filter language of lists of jobs: `status:failed tenant:acme age>5m type:ml_*`.

Words beside each other must all hold. `field:value` compares text, where `*` stands for anything and a comma separates
alternatives; `field>value`, `>=`, `<`, `<=`, `=` compare numbers and durations (ms, s, m, h, d); `-` before a word
turns it round; a word alone is part of a job's id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from zjops.domain.errors import UsageError
from zjops.domain.jobs import Charge, JobState, JobType
from zjops.domain.plans import price_book

STATE_AT = (
    "CASE WHEN outcome = 'completed' AND final_at <= :at THEN 'confirmed'"
    " WHEN outcome IS NOT NULL AND coalesce(ended_at, final_at) <= :at THEN outcome"
    " WHEN started_at <= :at THEN 'processing' ELSE 'pending' END"
)
"""The state of a job at a moment, in SQL: `JobRow.state_at`."""
ENDED_AT = "coalesce(ended_at, final_at) <= :at"
ATTEMPT_AT = (
    f"CASE WHEN {ENDED_AT} THEN attempt WHEN coalesce(started_at, ended_at, final_at) <= :at THEN min(1, attempt)"
    " ELSE 0 END"
)
"""The attempt of a job at a moment, in SQL: `JobRow.as_of`."""
TEXT = {
    "status": STATE_AT, "tenant": "tenant", "plan": "plan", "type": "job_type", "id": "job_id",
    "charge": f"CASE WHEN {ENDED_AT} THEN charge ELSE 'held' END",
    "error": f"CASE WHEN {ENDED_AT} THEN error_code END", "trace": "trace_id",
    "tx": "CASE WHEN final_at <= :at THEN tx_hash END",
}  # fmt: skip
NUMBER = {
    "units": "compute_units",
    "attempt": ATTEMPT_AT,
    "bytes": "payload_bytes",
    "batch": "CASE WHEN final_at <= :at THEN batch_id END",
    "block": "CASE WHEN final_at <= :at THEN block_number END", "gas": "CASE WHEN final_at <= :at THEN gas_share END",
}  # fmt: skip
DURATION = {
    "age": ":at - accepted_at", "run": "CASE WHEN ended_at <= :at THEN processing_ms END",
    "took": "CASE WHEN ended_at <= :at THEN ended_at - accepted_at END",
    "final": "CASE WHEN final_at <= :at THEN final_at - coalesce(ended_at, accepted_at) END",
}  # fmt: skip
FIELDS = (*TEXT, *NUMBER, *DURATION)
UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
MOST = 2_000
"""Characters that a filter may have."""
WORDS_MOST = 50
KNOWN: dict[str, type[JobState] | type[JobType] | type[Charge]] = {
    "status": JobState, "type": JobType, "charge": Charge,
}  # fmt: skip
"""Fields of which all values are known."""
_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')
_TERM = re.compile(r"(-?)([a-z]+)(:|>=|<=|>|<|=)(.*)", re.DOTALL)


class FilterError(UsageError):
    """A filter that means nothing; `place` is the character at which it goes wrong, from 0."""

    def __init__(self, text: str, place: int) -> None:
        super().__init__(text)
        self.place = place


class Filter(NamedTuple):
    """A condition on jobs in SQL with its named parameters; `:at` is the moment."""

    text: str
    sql: str
    params: dict[str, str | int]

    @property
    def all(self) -> bool:
        """Whether every job passes."""
        return self.sql == "1"


EVERYTHING = Filter("", "1", {})


def parse(text: str) -> Filter:
    """A filter from what somebody typed. Raises `FilterError`."""
    if len(text) > MOST:
        raise FilterError(f"a filter has at most {MOST:,} characters, this one {len(text):,}", MOST)
    if text.count('"') % 2:
        raise FilterError('a " has no end', text.rindex('"'))
    words = list(_WORD.finditer(text))
    if len(words) > WORDS_MOST:
        raise FilterError(f"a filter has at most {WORDS_MOST} words", words[WORDS_MOST].start())
    params: dict[str, str | int] = {}
    terms = [_term(found.group(), found.start(), params) for found in words]
    return Filter(text.strip(), " AND ".join(terms) or "1", params)


def _term(word: str, place: int, params: dict[str, str | int]) -> str:
    found = _TERM.fullmatch(word)
    if found is None:
        negated, bare = word.startswith("-") and len(word) > 1, word.removeprefix("-") if len(word) > 1 else word
        return _turned(_text("job_id", f"*{_unquoted(bare)}*", params), negated)
    minus, name, sign, value = found.groups()
    if name not in FIELDS:
        raise FilterError(f"there is no field {name}; there are {', '.join(FIELDS)}", place + len(minus))
    value, at = _unquoted(value), place + found.start(4)
    if not value:
        raise FilterError(f"{name}{sign} needs a value, such as {example(name)}", at)
    if name in TEXT:
        if sign not in (":", "="):
            raise FilterError(f"{name} is text: {example(name)}", place + found.start(3))
        _check_known(name, value, at)
        return _turned(_any(TEXT[name], value.split(","), params), bool(minus))
    number = _number(name, value, at)
    expression = NUMBER.get(name) or DURATION[name]
    return _turned(f"({expression}) {'=' if sign == ':' else sign} {_put(params, number)}", bool(minus))


def _check_known(name: str, value: str, place: int) -> None:
    """Refuse what no job can ever be: a list that stays empty would be taken for an answer. Raises `FilterError`."""
    known = [one.value for one in KNOWN.get(name, ())]
    for part in filter(None, value.split(",")) if known else ():
        if not any(fnmatchcase(one, _pattern(part)) for one in known):
            raise FilterError(f"there is no {name} {part:.40}; there are {', '.join(known)}", place)


def example(name: str) -> str:
    """How a field is used."""
    if name in TEXT:
        return {"status": "status:failed", "tenant": "tenant:acme*", "type": "type:ml_*"}.get(name, f"{name}:value*")
    return f"{name}>5m" if name in DURATION else f"{name}>100"


def _any(expression: str, values: Sequence[str], params: dict[str, str | int]) -> str:
    return "(" + " OR ".join(_text(expression, value, params) for value in values) + ")"


def _text(expression: str, value: str, params: dict[str, str | int]) -> str:
    if expression is STATE_AT and value in (JobState.FAILED, JobState.CANCELLED):
        # By an index: whoever had failed at some moment has failed for good.
        return f"(outcome = '{value}' AND coalesce(ended_at, final_at) <= :at)"
    if "*" not in value:
        return f"{expression} = {_put(params, value)}"
    return f"{expression} GLOB {_put(params, _pattern(value))}"


def _pattern(value: str) -> str:
    """A value in which nothing but `*` stands for anything."""
    return value.replace("[", "[[]").replace("?", "[?]")


def _put(params: dict[str, str | int], value: str | int) -> str:
    name = f"v{len(params)}"
    params[name] = value
    return f":{name}"


def _turned(condition: str, negated: bool) -> str:
    """What is not known fails a condition, and passes its opposite."""
    return f"NOT coalesce({condition}, 0)" if negated else f"({condition})"


def _unquoted(value: str) -> str:
    return value.replace('"', "")


def _number(name: str, value: str, place: int) -> int:
    found = re.fullmatch(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(ms|s|m|h|d)?", value)
    if found is None or (name in NUMBER and (found[2] or found[3])):
        what = "a duration such as 500ms or 5m" if name in DURATION else "a whole number"
        raise FilterError(f"{name} takes {what}, not {value:.40}", place)
    if name in NUMBER:
        return int(value)
    unit, decimals = UNIT_MS[found[3] or "s"], found[2] or ""
    part: int = int(decimals or 0) * unit // 10 ** len(decimals)
    return int(found[1]) * unit + part


def completions(text: str, tenants: Sequence[str] = ()) -> list[str]:
    """Ways to finish the last word of a filter that is being typed, best first; each is the whole filter."""
    before, word = re.fullmatch(r"(.*?)(\S*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    minus = "-" if word.startswith("-") else ""
    name, colon, value = word.removeprefix("-").partition(":")
    if not colon:
        signs = [f"{field}:" if field in TEXT else f"{field}>" for field in FIELDS if name and field.startswith(name)]
        return [f"{before}{minus}{sign}" for sign in signs]
    done, comma, last = value.rpartition(",")
    known = _values(name, tenants)
    return [f"{before}{minus}{name}:{done}{comma}{one}" for one in known if one.startswith(last) and one != last]


def _values(name: str, tenants: Sequence[str]) -> Sequence[str]:
    if name in KNOWN:
        return [one.value for one in KNOWN[name]]
    return list(price_book().plans) if name == "plan" else tenants if name == "tenant" else ()
