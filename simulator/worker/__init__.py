"""Runs jobs: pulls work, runs it in child processes, reports outcomes. It touches neither store nor chain."""
