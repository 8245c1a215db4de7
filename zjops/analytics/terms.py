"""Which plan held when: from the acts of operators and rules, each by its own time, then its id (C76, C77)."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from zjops.domain.errors import UsageError
from zjops.domain.invoices import Term
from zjops.domain.plans import Plan

PlanOf = Callable[[str, bytes], Plan]
"""A plan by its name, with negotiated values as sorted JSON: most tenants share a few."""


class Act(NamedTuple):
    """An act that may have set a tenant's plan or its negotiated values (JSON); None left them as they were."""

    time_ms: int
    plan: str | None
    former: str | None
    overrides: bytes | None


class Seen(NamedTuple):
    """A plan under which a tenant's jobs were accepted, from the first of them on."""

    since_ms: int
    plan: str


def acts_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Act]]:
    """The acts of each tenant, in the order of `plan_changes.sql`. Raises `UsageError` for one that cannot be read."""
    found: dict[str, list[Act]] = defaultdict(list)
    for row in rows:
        try:
            plan, former, overrides = _values_of(row["values"] or "{}")
        except msgspec.MsgspecError as exc:
            raise UsageError(f"OPS log: {row['action']} of {row['tenant']} cannot be read: {exc}") from exc
        if plan is not None or overrides is not None:
            found[row["tenant"]].append(Act(row["time"], plan, former, overrides))
    return found


@functools.lru_cache(maxsize=1024)
def _values_of(text: str) -> tuple[str | None, str | None, bytes | None]:
    """Plan, former plan and negotiated values of an act; most acts say the same as others."""
    values = msgspec.json.decode(text, type=dict[str, Any])
    given = values.get("overrides")
    return (
        values.get("plan"),
        values.get("former"),
        None if given is None else msgspec.json.encode(given, order="sorted"),
    )


def terms_of(
    acts: Sequence[Act], seen: Sequence[Seen], first_ms: int, after_ms: int, plan_of: PlanOf
) -> list[Term] | None:
    """The terms of a month, without units; None when the tenant was not there before its end.

    What no act tells is read off the jobs: the plan under which they were accepted.
    """
    only = _only(acts, seen, after_ms)
    if only is not None:
        return [Term(plan_of(*only), first_ms, after_ms)]
    plan = _before(acts, seen, first_ms)
    changes = [(act.time_ms, act) for act in acts]
    if not any(act.plan for act in acts):
        changes += [(one.since_ms, Act(one.since_ms, one.plan, None, None)) for one in seen]
    overrides = b"{}"
    terms = [] if plan is None else [Term(plan_of(plan, overrides), first_ms, first_ms)]
    for at, act in sorted(changes, key=lambda change: change[0]):
        plan = act.plan or plan
        overrides = overrides if act.overrides is None else act.overrides
        if at < after_ms and plan is not None:
            _append(terms, plan_of(plan, overrides), max(at, first_ms), first_ms)
    if not terms:
        return None
    ends = [*(term.since_ms for term in terms[1:]), after_ms]
    return [msgspec.structs.replace(term, until_ms=end) for term, end in zip(terms, ends, strict=True)]


def _only(acts: Sequence[Act], seen: Sequence[Seen], after_ms: int) -> tuple[str, bytes] | None:
    """Plan and negotiated values where one act or one sight is all there is, as of most tenants: one term, whenever."""
    if len(acts) + len(seen) != 1:
        return None
    if seen:
        return seen[0].plan, b"{}"
    act = acts[0]
    if act.plan is None or act.former is not None or act.time_ms >= after_ms:
        return None
    return act.plan, act.overrides or b"{}"


def _before(acts: Sequence[Act], seen: Sequence[Seen], first_ms: int) -> str | None:
    """The plan before the first act that names one: what that act says was there, or what the jobs say."""
    former = next((act.former for act in acts if act.plan), None)
    if former is not None:
        return former
    earliest = min((act.time_ms for act in acts if act.plan), default=None)
    told = [one.plan for one in seen if earliest is None or one.since_ms < earliest]
    return told[0] if told else None


def _append(terms: list[Term], plan: Plan, since_ms: int, first_ms: int) -> None:
    """A change at the month's beginning replaces what was before; one that changes nothing is none."""
    if not terms or since_ms <= first_ms:
        terms[:] = [Term(plan, first_ms, first_ms)]
    elif terms[-1].plan != plan:
        if terms[-1].since_ms == since_ms:
            terms.pop()
        terms.append(Term(plan, since_ms, since_ms))
