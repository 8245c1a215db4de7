"""Becomes another program that dies with its parent: `python -m simulator.supervisor.launch PARENT PROGRAM ARGS…`.

The death signal survives the exec, so a foreign program such as the broker needs no code of ours in it.
"""

from __future__ import annotations

import os
import sys

from simulator.process_death import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell: the point is to become the program
