"""Service level objectives: OpenSLO files, error budgets and burn rates in integers, and what alerts on them."""
