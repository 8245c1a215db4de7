"""Locust's entry: `locust -f loadtests/locustfile.py --scenario smoke`, with its web page, alone or distributed.

`zjops load run` starts it the same way, headless, and judges what it writes. The users are connections: how many
there are follows from the scenario, when they send from its schedule.
"""

from __future__ import annotations

import os
from typing import Any

from locust import FastHttpUser, LoadTestShape, events, task
from locust.exception import StopUser

from loadtests.run import Run

RUN: dict[Any, Run] = {}
"""The run of each environment; there is one in a process."""


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    add = parser.add_argument
    add("--scenario", default="smoke", help="Name of a scenario, or a TOML file.")
    add("--duration-s", type=float, default=0, help="Seconds in all; 0 as the scenario says.")
    add("--rate", type=float, default=0, help="Highest arrival rate; 0 as the scenario says.")
    add("--arrivals", choices=["", "fixed", "poisson"], default="", help="How arrivals come.")
    add("--load-seed", type=int, default=7, help="The same seed gives the same arrivals.")
    add("--home", default="", help="Folder of the local platform.", include_in_web_ui=False)
    add("--context", default="", help="Which platform.", include_in_web_ui=False)
    add("--records", default="", help="Folder for what is measured.", include_in_web_ui=False)
    add("--tenant-prefix", default="", help="Names of the tenants.", include_in_web_ui=False)
    add("--parent", type=int, default=0, help="End with this process.", include_in_web_ui=False)


@events.init.add_listener
def _init(environment: Any, **_: Any) -> None:
    RUN[environment] = Run(environment, os.getpid())


class Connection(FastHttpUser):
    """One connection. It takes what is due from the dispatcher of its process until the schedule ends."""

    host = "http://platform.invalid"

    @task
    def work(self) -> None:
        """All that it does."""
        RUN[self.environment].connection()
        raise StopUser


class Pool(LoadTestShape):
    """As many connections as the scenario has, until every process is through with its schedule."""

    def tick(self) -> tuple[int, float] | None:
        """Locust asks once a second."""
        assert self.runner is not None
        run = RUN[self.runner.environment]
        return None if run.over else (run.connections, run.connections)
