"""What an experiment needs of a platform is asked of all before the first, and said at once."""

from __future__ import annotations

import pytest

from zjops.chaos.experiments import experiment
from zjops.chaos.needs import missing, refusal

PLAIN = {
    "stop": ["api", "backend"], "kill": ["api", "backend"], "link.delay": [], "store.delay": ["api"], "throttle": [],
}  # fmt: skip
"""Of a platform as `zjops up` starts it, as far as it is asked for here, but that nothing can be throttled."""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("store-slow", []),
        ("reorg", []),
        ("api-latency", ["proxies before the platform's parts"]),
        ("kill-worker", ["a process worker"]),
        ("workers-throttled", ["worker or worker-2 or worker-3 or backend to put throttle on"]),
    ],
    ids=["a fault that can be put on", "no fault at all", "proxies", "a process of its own", "nothing to put it on"],
)
def test_what_is_missing_is_told_by_name(name: str, said: list[str]) -> None:
    assert missing(experiment(name), PLAIN) == said


def test_all_that_is_missing_stands_in_one_line_with_what_mends_it() -> None:
    chosen = [experiment(name) for name in ("store-slow", "api-latency", "broker-cut", "kill-worker")]
    assert refusal(chosen, PLAIN) == (
        "api-latency, broker-cut need proxies before the platform's parts; kill-worker needs a process worker. There "
        "are the processes api, backend; start the platform with: zjops up --spread --set proxies=true, or give --fresh"
    )
    assert refusal(chosen[:1], PLAIN) is None
