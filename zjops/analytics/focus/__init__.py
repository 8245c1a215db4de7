"""Invoices as FOCUS, the FinOps Open Cost and Usage Specification: its columns as data, rows, files and a check."""
