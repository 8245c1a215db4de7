"""Chaos experiments: what is broken and how it is known to be whole again, and what each run is judged by.

`activities` are the probes and actions that Chaos Toolkit calls, `experiments` reads the files in `loadtests/chaos`,
`watching` looks on from outside while one runs, `verdict` is what is thought of it. Chaos Toolkit runs as a process of
its own; whatever it broke heals without it, because every fault has a lease.
"""
