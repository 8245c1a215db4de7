"""A whole platform whose relayer sees its chain through a front that can be spoilt, and what must hold of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from tests.support.rpc_front import RpcFront, running_front
from zjops.audit.findings import Report

JOBS = 8
Told = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


class Scene:
    """A platform whose relayer sees its chain through a front."""

    def __init__(self, stage: Stage, front: RpcFront) -> None:
        self.stage, self.front, self.accepted = stage, front, 0

    def submit(self) -> None:
        """Submit some jobs and wait for the answers."""
        for thread in self.stage.submit_many(JOBS, threads=2):
            thread.join()
        self.accepted += JOBS

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the store holds, read beside the platform."""
        return self.stage.rows(sql)

    def state(self) -> dict[str, Any]:
        """What the relayer says of itself."""
        rows = self.rows("SELECT value FROM settings WHERE name = 'relayer_state'")
        found: dict[str, Any] = json.loads(rows[0][0]) if rows else {"state": None, "reason": None}
        return found

    async def waits_for(self, reason: str) -> dict[str, Any]:
        """Return once the relayer says that it waits for that reason."""
        await eventually(lambda: (self.state()["reason"] or "").startswith(reason), 20)
        return self.state()

    async def batches_are(self, *states: str) -> None:
        """Return once there is a batch in one of these states."""
        marks = ",".join(f"'{state}'" for state in states)
        await eventually(lambda: bool(self.rows(f"SELECT 1 FROM batches WHERE state IN ({marks})")), 20)

    def told(self) -> Told:
        """Everything that was confirmed, and every event that told of it."""
        events = self.rows("SELECT msg_id FROM outbox WHERE subject = 'jobs.confirmed' ORDER BY n")
        return self.rows("SELECT id, confirmed_at FROM jobs WHERE confirmed_at IS NOT NULL ORDER BY id"), events

    def holds(self) -> Report:
        """The audit finds nothing, and every job is settled and confirmed once."""
        report = self.stage.audit()
        assert report.findings == []
        summary = report.as_json()
        assert summary["client_accepted"] == summary["settled"] == summary["confirmed"] == self.accepted
        assert len(self.told()[1]) == self.accepted
        return report

    def devnet(self, method: str, *params: Any) -> Any:
        """A method of the development chain; skips the test where the chain has none of that name."""
        said = self.front.node(method, *params)
        if said.get("error", {}).get("code") == -32601:
            pytest.skip(f"this chain has no {method}")
        return said["result"]


AnyScene = TypeVar("AnyScene", bound=Scene)


@contextlib.contextmanager
def running_scene(
    folder: Path, *options: str, settings: Sequence[str], kind: type[AnyScene] = Scene
) -> Iterator[AnyScene]:  # fmt: skip
    """A started platform behind a front, both ended at the end whatever happens."""
    with running_front(folder / "home") as front:
        chosen = [word for setting in (*settings, f"rpc_url={front.url}") for word in ("--set", setting)]
        with running_platform(folder, *options, *chosen) as stage:
            yield kind(stage, front)
