"""What a process asks of the scheduler, read back from the kernel; each in a process of its own, for it lasts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
def test_who_is_in_a_hurry_may_run_anywhere_and_goes_back_where_it_was() -> None:
    first = min(mine())
    told = _told(
        f"from zjops.domain.processors import mine\nall_of_them = mine()\nos.sched_setaffinity(0, {{{first}}})\n"
        "seen = []\n"
        "try:\n    with Anywhere(all_of_them):\n        seen.append(mine() == all_of_them)\n        raise KeyError\n"
        "except KeyError:\n    seen.append(sorted(mine()))\n"
        "with Anywhere(()):\n    seen.append(sorted(mine()))\n"
        "print(*seen, sep=';')"
    )
    assert " ".join(told) == f"True;[{first}];[{first}]"
