"""Which jobs an act is about: some that are named, or all that pass a filter at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjops.actions.acts import Target
from zjops.recording.filters import Filter
from zjops.recording.reader import NEWEST_FIRST, Recording, Sort

MOST = 10_000
"""So many jobs are touched by one act at most."""


class Aim(NamedTuple):
    """What somebody pointed at, in words: jobs by their ids, or those that pass a filter, in the order of a list."""

    words: str
    job_ids: Sequence[str] = ()
    where: Filter | None = None
    sort: Sort = NEWEST_FIRST


class Aimed(NamedTuple):
    """The jobs that an aim found, of how many; `unknown` are named and not in the recording."""

    targets: Sequence[Target]
    total: int
    unknown: int = 0


def take_aim(aim: Aim, recording: Recording, at_ms: int, most: int = MOST) -> Aimed:
    """The jobs as of a moment (Unix ms). Raises `UsageError` for a damaged recording."""
    if aim.where is None:
        named = aim.job_ids[:most]
        rows = [row for job_id in named if (row := recording.job(job_id, at_ms)) is not None]
        return Aimed([Target.of_row(row) for row in rows], len(aim.job_ids), len(named) - len(rows))
    page = recording.page(at_ms, where=aim.where, sort=aim.sort, limit=most)
    return Aimed([Target.of_row(row) for _, row in page], recording.count(at_ms, aim.where))
