"""Which addresses are this machine's own."""

from __future__ import annotations

import pytest

from zjops.domain.loopback import on_loopback


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080", True), ("http://[::1]:8080/base", True), ("https://LOCALHOST", True),
        ("https://api.example", False), ("http://127.0.0.1.example:8080", False), ("", False),
    ],
)  # fmt: skip
def test_an_address_is_here_by_its_host_alone(url: str, here: bool) -> None:
    assert on_loopback(url) is here
