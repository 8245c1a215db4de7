"""When a block counts as final (C81): so many blocks on it, or the chain's own word for it."""

from __future__ import annotations

from typing import NamedTuple

from zjops.domain.errors import UsageError

TAGS = ("safe", "finalized")


class Finality(NamedTuple):
    """`depth` blocks, the block itself included; or, where there is a tag, what the chain calls so."""

    depth: int
    tag: str | None = None

    def reached(self, block: int, head: int, tagged: int) -> bool:
        """Whether a block is final, by the newest block or by the one that the tag names."""
        return tagged >= block if self.tag else head - block + 1 >= self.depth

    @property
    def text(self) -> str:
        """As contexts and run files write it."""
        return f"tag:{self.tag}" if self.tag else f"depth:{self.depth}"


def parse_finality(text: str) -> Finality:
    """`depth:N`, `safe` or `finalized`. Raises `UsageError`."""
    kind, _, number = text.partition(":")
    if kind == "depth" and number.isdigit() and 1 <= int(number) <= 1_000:
        return Finality(int(number))
    tag = number if kind == "tag" else text
    if tag in TAGS:
        return Finality(1, tag)
    raise UsageError(f"settings: finality is depth:N (1 to 1000), safe or finalized, not {text!r:.40}")
