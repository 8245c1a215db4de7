"""Which chains are known, and when a block on them is final. Nothing here is ever contacted by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from zjops.domain.errors import UsageError

TAGS = ("safe", "finalized")
ASSUMED = "depth:3"
"""The rule for chains that no profile names (C81)."""
DEPTH_MOST = 1_000


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
    """`depth:N`, `safe`, `finalized`, or a tag as `tag:NAME`. Raises `UsageError`."""
    kind, _, number = text.partition(":")
    if kind == "depth" and number.isascii() and number.isdigit() and 1 <= int(number) <= DEPTH_MOST:
        return Finality(int(number))
    tag = number if kind == "tag" else text
    if tag in TAGS:
        return Finality(1, tag)
    raise UsageError(f"finality is depth:N (1 to {DEPTH_MOST}), safe or finalized, not {text!r:.40}")


@dataclass(frozen=True)
class ChainProfile:
    """A chain by its id: what its blocks need to be final, which EVM it runs, and where that is known from."""

    name: str
    chain_id: int
    finality: str
    evm: str
    note: str


PROFILES = (
    ChainProfile("devnet", 31338, "depth:3", "cancun", "C81; the devnet's own safe and finalized are depth 2 and 3"),
    ChainProfile("anvil", 31337, "depth:3", "cancun", "C81; started with epochs of one slot, its tags are the same"),
    # COTI publishes 5 s blocks and no rule of finality; bridges wait for five blocks on top on the main network.
    ChainProfile("coti", 2632500, "depth:6", "paris", "a layer 2 of Ethereum, 5 s blocks; five blocks on top, assumed"),
    ChainProfile("coti-testnet", 7082400, "depth:6", "paris", "as the main network"),
)


def profile_of(chain_id: int | None) -> ChainProfile | None:
    """The profile of a chain, None for one that is not known."""
    return next((profile for profile in PROFILES if profile.chain_id == chain_id), None)


def usual_finality(chain_id: int | None) -> str:
    """The rule of a chain's profile, or the assumed one where no profile names the chain."""
    profile = profile_of(chain_id)
    return ASSUMED if profile is None else profile.finality


def profile_named(name: str) -> ChainProfile:
    """The profile of that name."""
    return next(profile for profile in PROFILES if profile.name == name)
