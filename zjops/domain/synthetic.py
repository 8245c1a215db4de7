"""The mark of a log that nobody's work is in: readers show it, a live platform goes on behind its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from zjops.domain.errors import UsageError
from zjops.domain.events import EVENTS, OPS, TELEMETRY, StreamSpec

MARK = "SYNTHETIC.json"
"""Its name in the folder of the log."""
SCHEMA = "zjops.synthetic/1"


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Last(msgspec.Struct, frozen=True):
    """The last number of each stream, of the outbox and of the batches that the synthetic part holds."""

    events: _Number = msgspec.field(name="EVENTS", default=0)
    ops: _Number = msgspec.field(name="OPS", default=0)
    telemetry: _Number = msgspec.field(name="TELEMETRY", default=0)
    outbox: _Number = 0
    batches: _Number = 0

    def streams(self, specs: Iterable[StreamSpec]) -> tuple[StreamSpec, ...]:
        """The same streams, each beginning behind what the synthetic part holds of it."""
        ends = {EVENTS: self.events, OPS: self.ops, TELEMETRY: self.telemetry}
        return tuple(spec._replace(first=ends.get(spec.name, 0) + 1) for spec in specs)


class Synthetic(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """How the synthetic part of a log was made: played by the platform itself or by arithmetic; times are RFC 3339."""

    schema: Literal["zjops.synthetic/1"]
    kind: Literal["simulated", "arithmetic"]
    seed: int
    days: int
    tenants: int
    from_: str
    to: str
    last: Last

    @property
    def text(self) -> str:
        """One line for people."""
        how = "played by the platform in virtual time" if self.kind == "simulated" else "made by arithmetic"
        return f"synthetic from {self.from_} to {self.to}: {how}, {self.tenants} tenants, seed {self.seed}"


def and_synthetic(log_dir: Path) -> str:
    """The end of a sentence about how far a log goes: what of it is synthetic, if anything is."""
    part = synthetic_part(log_dir)
    return f"; of it, {part.text}" if part else ""


def synthetic_part(log_dir: Path) -> Synthetic | None:
    """The synthetic part of a log, None when there is none. Raises `UsageError` for a mark that cannot be read."""
    path = log_dir / MARK
    try:
        return msgspec.json.decode(path.read_bytes(), type=Synthetic)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise UsageError(f"{path} cannot be read: {exc}") from exc
