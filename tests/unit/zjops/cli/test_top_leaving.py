"""A thread of keys that does not end is noticed, so that it cannot keep the process for ever."""

from __future__ import annotations

import threading
from pathlib import Path

from textual.drivers import linux_driver

from zjops.cli.top import INPUT, reads_still


def test_a_thread_of_keys_that_lives_on_is_noticed() -> None:
    assert not reads_still()
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name=INPUT, daemon=True)
    thread.start()
    assert reads_still()
    ended.set()
    thread.join()
    assert not reads_still()


def test_it_has_the_name_that_the_driver_gives_it() -> None:
    assert f'name="{INPUT}"' in Path(linux_driver.__file__).read_text()
