"""Fixtures that every suite shares, and what a run says at its end."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How much of the contract was reached, as n/n."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []):
                if name == "contract" and getattr(report, "when", "") == "call":
                    terminalreporter.write_line(f"answers of the contract reached: {value}")
