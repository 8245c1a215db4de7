"""The sources of a platform that runs, by what its context names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.feed.broker import EventSource
from zjops.feed.budgets import LogBudgets
from zjops.feed.feed import Source
from zjops.feed.polling import api_poll, chain_poll, supervisor_poll


def live_sources(context: Callable[[], Context], clock: SystemClock) -> list[Source]:
    """Everything that a context has an address for."""
    found = context()
    sources: list[Source] = [EventSource(context, clock), api_poll(context, clock)]
    if found.rpc_url is not None:
        sources.append(chain_poll(context, clock))
    if found.control_url is not None:
        sources.append(supervisor_poll(context, clock))
    if found.log_dir is not None and Path(found.log_dir).is_dir():
        sources.append(LogBudgets(Path(found.log_dir), clock))
    return sources
