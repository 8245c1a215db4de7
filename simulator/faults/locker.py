"""Holds the write lock of a store for some seconds: `python -m simulator.faults.locker PARENT FILE SECONDS`.

A process of its own, as a forgotten shell or a backup tool would be; it ends by itself and dies with its parent.
"""

from __future__ import annotations

import sqlite3
import sys

from simulator.process_death import die_with_parent
from zjops.domain.clock import SystemClock

if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    connection = sqlite3.connect(sys.argv[2], isolation_level=None, timeout=30)
    connection.execute("BEGIN IMMEDIATE")
    SystemClock().pause(float(sys.argv[3]))
    connection.execute("ROLLBACK")
