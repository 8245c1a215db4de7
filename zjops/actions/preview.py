"""What an act would touch, before it is done: how many jobs, which of them not and why, units, money, deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from zjops.actions.acts import RELAYER_ACTS, Act, Door, Target, counted
from zjops.actions.targets import Aimed
from zjops.actions.worth import worth_of
from zjops.client.standing import held_back
from zjops.domain.jobs import ACTIVE, JobState
from zjops.domain.wire_admin import AdminDelivery
from zjops.domain.wire_chain import RelayerView

HOSTS_SHOWN = 6


class Preview(NamedTuple):
    """What an act is done to (`items`, ids), of how many jobs, what is left out by its reason, and what follows."""

    act: Act
    items: tuple[str, ...]
    jobs: int
    total: int
    skipped: tuple[tuple[str, int], ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        return not self.items


def look(act: Act, aimed: Aimed, door: Door, *, delivered: bool = False) -> Preview:
    """The preview of an act; asks the platform what a recording does not hold. Raises `Problem`, `UnreachableError`.

    `delivered`: webhooks that did arrive are sent again too, and not only those that failed.
    """
    if act in RELAYER_ACTS:
        return of_relayer(act, door.relayer())
    found = _of_jobs(act, aimed, door, delivered=delivered)
    unknown = (("not in the recording", aimed.unknown),) if aimed.unknown else ()
    return found._replace(skipped=(*found.skipped, *unknown))


def _of_jobs(act: Act, aimed: Aimed, door: Door, *, delivered: bool) -> Preview:
    if act is Act.CANCEL:
        return of_cancel(aimed)
    if act is Act.RETRY:
        return of_retry(aimed, door.dead_letter_ids())
    return of_redelivery(aimed, door.deliveries_of([one.job_id for one in aimed.targets]), delivered=delivered)


def of_cancel(aimed: Aimed) -> Preview:
    """What waits is ended at once and released; what runs is told to stop and stays charged (C70)."""
    able = [one for one in aimed.targets if one.state in ACTIVE]
    waiting = [one for one in able if one.state == JobState.PENDING]
    running = [one for one in able if one.state == JobState.PROCESSING]
    facts = []
    if waiting:
        facts.append(f"{len(waiting):,} pending: released, {worth_of(waiting)}")
    if running:
        facts.append(f"{len(running):,} processing: told to stop, charged all the same, {worth_of(running)}")
    skipped = Counter(f"already {one.state}" for one in aimed.targets if one.state not in ACTIVE)
    return _preview(Act.CANCEL, able, aimed, skipped, facts)


def of_retry(aimed: Aimed, dead: frozenset[str]) -> Preview:
    """A dead letter's work becomes a new job with a bill of its own."""
    able = [one for one in aimed.targets if one.job_id in dead]
    facts = [f"as new jobs that are held and billed anew: {worth_of(able)}"] if able else []
    skipped = Counter(_no_dead_letter(one) for one in aimed.targets if one.job_id not in dead)
    return _preview(Act.RETRY, able, aimed, skipped, facts)


def _no_dead_letter(one: Target) -> str:
    if one.state == JobState.FAILED:
        return "failed, but no dead letter that waits"
    return f"no dead letter: {one.state}"


def of_redelivery(aimed: Aimed, deliveries: Sequence[AdminDelivery], *, delivered: bool) -> Preview:
    """What failed is sent again, or all that was ever sent; what is under way already is not."""
    wanted = {"failed", "delivered"} if delivered else {"failed"}
    able = [one for one in deliveries if one.state in wanted and not one.gone]
    skipped = Counter(_left_out(one) for one in deliveries if one not in able)
    touched = {one.job_id for one in able}
    told = {one.job_id for one in deliveries}
    if without := sum(one.job_id not in told for one in aimed.targets):
        skipped["job told nobody"] = without
    jobs = [one for one in aimed.targets if one.job_id in touched]
    facts = [_hosts(able)] if able else []
    if jobs:
        facts.append(f"no unit is charged or released: {worth_of(jobs)} stay as they are")
    return Preview(
        Act.REDELIVER, tuple(one.delivery_id for one in able), len(jobs), aimed.total, _ordered(skipped),
        (*facts, *_cut(aimed)),
    )  # fmt: skip


def _left_out(one: AdminDelivery) -> str:
    if one.gone:
        return "endpoint of the delivery was taken away"
    return "delivery is under way" if one.state == "pending" else "delivery arrived already"


def _hosts(deliveries: Iterable[AdminDelivery]) -> str:
    """How many go where, most first."""
    found = Counter(urlsplit(one.url).netloc.rpartition("@")[2] for one in deliveries).most_common()
    shown = ", ".join(f"{number:,} to {host}" for host, number in found[:HOSTS_SHOWN])
    return shown if len(found) <= HOSTS_SHOWN else f"{shown}, and to {len(found) - HOSTS_SHOWN:,} hosts more"


def of_relayer(act: Act, view: RelayerView) -> Preview:
    """Confirmations are held back or go on; jobs are accepted, run and charged as before."""
    wanted = act is Act.PAUSE
    facts = [
        f"{'holds back' if wanted else 'lets go on'}: {held_back(view)}",
        "no unit or dollar moves: jobs are accepted, run and charged as before, and stay completed until final",
    ]
    if view.paused == wanted:
        return Preview(act, (), 0, 0, ((f"{'paused' if wanted else 'not paused'} already", 1),), tuple(facts))
    touched = view.open_jobs + view.waiting_jobs
    return Preview(act, ("relayer",), touched, touched, (), tuple(facts))


def _preview(act: Act, able: Sequence[Target], aimed: Aimed, skipped: Counter[str], facts: Sequence[str]) -> Preview:
    items = tuple(one.job_id for one in able)
    return Preview(act, items, len(items), aimed.total, _ordered(skipped), (*facts, *_cut(aimed)))


def _ordered(skipped: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(skipped.most_common())


def _cut(aimed: Aimed) -> tuple[str, ...]:
    """What is not touched, said aloud."""
    left = aimed.total - len(aimed.targets) - aimed.unknown
    if left <= 0:
        return ()
    return (f"CUT: {len(aimed.targets):,} of {aimed.total:,} jobs are touched, the first in order; {left:,} are not",)


def told(preview: Preview) -> list[str]:
    """The preview in lines, the first of which says it all."""
    act, relayer = preview.act, preview.act in RELAYER_ACTS
    if relayer:
        lines = [f"{act} the relayer"]
    elif not preview.total:
        lines = [f"{act} {counted(act, len(preview.items))}"]
    elif act is Act.REDELIVER:
        lines = [f"redeliver {counted(act, len(preview.items))} of {preview.jobs:,} of {preview.total:,} jobs"]
    else:
        lines = [f"{act} {counted(act, len(preview.items))} of {preview.total:,} chosen"]
    lines += [f"  {fact}" for fact in preview.facts]
    return [*lines, *(f"  skipped: {why}" if relayer else f"  skipped: {why} ({n:,})" for why, n in preview.skipped)]
