"""One module a view: each reads what it shows in a thread, and owns its keys."""
