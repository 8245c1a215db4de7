"""A synthetic month: clients who call the platform's own interface while its time is skipped.

`population` and `rhythm` say who calls when, `story` what goes wrong and what changes; all three are pure and follow
from a seed. A `front` has the tenants call the interface through `client` and tells the `ledger` by `shipping` what was
committed; `run` plays them together, `folder` keeps what came of it. `volume` makes a log without any of them.
"""
