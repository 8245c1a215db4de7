"""Whether an address is on this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})


def on_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine itself, by one of its usual names; a tunnel is too."""
    return urlsplit(url).hostname in _NAMES
