"""A synthetic month: clients who call the platform's own interface while its time is skipped.

`population` and `rhythm` say who calls when, `story` what goes wrong and what changes; all three are pure and follow
from a seed. `client` and `cast` carry that to the interface, `run` plays it, `files` keeps what came of it.
"""
