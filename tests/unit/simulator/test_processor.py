"""What a process asks of the scheduler, read back from the kernel; each in a process of its own, for it lasts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simulator import processor
from simulator.processor import AUTOGROUP
from zjops.domain.processors import mine


def _told(code: str) -> list[str]:
    argv = [sys.executable, "-c", "import os\nfrom simulator.processor import *\n" + code]
    return subprocess.run(argv, capture_output=True, text=True, check=True, start_new_session=True).stdout.split()


def test_who_goes_last_is_nice_and_its_session_too() -> None:
    told = _told(
        "go_last(3)\ngroup = AUTOGROUP.read_text().split()[-1:] if AUTOGROUP.exists() else ()\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), *group)"
    )
    assert int(told[0]) == os.getpriority(os.PRIO_PROCESS, 0) + 3
    assert told[1:] == (["3"] if AUTOGROUP.exists() else [])


def test_who_goes_last_does_so_also_where_sessions_have_no_group() -> None:
    told = _told(
        "import simulator.processor as p\nfrom pathlib import Path\np.AUTOGROUP = Path('/none/such')\ngo_last(2)\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    assert int(told[0]) == os.getpriority(os.PRIO_PROCESS, 0) + 2


@pytest.mark.skipif(len(mine()) < 2, reason="with one processor there is nowhere else to go")
def test_who_is_in_a_hurry_goes_off_its_one_processor_and_back_where_it_was() -> None:
    first = min(mine())
    told = _told(
        f"from zjops.domain.processors import mine\nall_of_them = mine()\nos.sched_setaffinity(0, {{{first}}})\n"
        "seen = []\n"
        f"try:\n    with Elsewhere(all_of_them):\n        seen.append(mine() == all_of_them - {{{first}}})\n"
        "        raise KeyError\n"
        "except KeyError:\n    seen.append(sorted(mine()))\n"
        "with Elsewhere(()):\n    seen.append(sorted(mine()))\n"
        "print(*seen, sep=';')"
    )
    assert " ".join(told) == f"True;[{first}];[{first}]"


def test_who_has_several_processors_may_run_on_all_while_in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[frozenset[int]] = []
    monkeypatch.setattr(processor, "mine", lambda: kept[-1] if kept else frozenset({1, 2, 3}))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, chosen: kept.append(frozenset(chosen)))
    with processor.Elsewhere(range(4)):
        assert kept == [frozenset({0, 1, 2, 3})]
    assert kept[1:] == [frozenset({1, 2, 3})]
    with processor.Elsewhere({1, 2, 3}):
        assert len(kept) == 2, "there is nowhere else"
