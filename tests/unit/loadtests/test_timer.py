"""The timer: never early, and others run meanwhile."""

from __future__ import annotations

import pytest

gevent = pytest.importorskip("gevent")

from loadtests.timer import Timer  # noqa: E402
from zjops.domain.clock import SystemClock  # noqa: E402

now = SystemClock().monotonic


@pytest.mark.parametrize("kernel", [True, False])
def test_it_sleeps_as_long_as_it_was_asked_to_while_others_run(kernel: bool) -> None:
    timer = Timer()
    if not kernel:
        timer.close()
    ran: list[int] = []
    other = gevent.spawn(lambda: ran.append(1))
    for seconds in (0.0, 0.0007, 0.003, 0.02):
        began = now()
        timer.sleep(seconds)
        assert now() - began >= seconds * 0.99
    assert ran == [1]
    other.join()
    timer.close()
    timer.close()
