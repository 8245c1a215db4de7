"""The job store: one port, named SQL, and its adapters."""
