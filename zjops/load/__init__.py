"""Load tests whose percentiles are true: what is asked, when each request is due, and what came of it.

`scenario` is what a run asks for, `schedule` when each arrival is due, `records` what the generator writes down,
`measured` what that adds up to, `thresholds` and `gate` what is thought of it, `aftermath` what became of the jobs.
The generator itself is Locust, in `loadtests`, and runs as a process of its own.
"""
