"""The published leaves on a bad disk: they are written before the root is sent, and nothing else waits for them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from simulator.platform import Platform
from simulator.relayer.leaves import LeafFiles
from tests.support.relaying import batches_of, chain_of, metric, relayer_of, run, state_of, submit, waits_for
from tests.support.virtual import settled


class FullDisk:
    """No room for another file until it is freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, honest = True, os.fsync

        def fsync(descriptor: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            honest(descriptor)

        monkeypatch.setattr("simulator.relayer.leaves.os.fsync", fsync)


def test_a_full_disk_is_waited_for_by_name_and_the_leaves_come_before_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        await submit(platform, 2)
        await settled(platform)
        disk, sent = FullDisk(monkeypatch), len(chain.sent)
        await submit(platform, 3)
        state = await waits_for(platform, "leaves_unwritten")
        assert state["state"] == "waiting"
        assert "the leaves of batch 2 cannot be written to" in state["reason"]
        assert "No space left" in state["reason"]
        assert metric(platform, 'relayer_waiting{reason="leaves_unwritten"}') == 1
        await platform.ports.clock.sleep(600)
        task = relayer_of(platform)._task
        assert task is not None
        assert not task.done()
        assert len(chain.sent) == sent
        assert [file.name for file in (tmp_path / "batches").rglob("*") if file.is_file()] == ["1.json"]
        disk.full = False
        await settled(platform)
        assert (await state_of(platform))["reason"] is None
        assert len(list((tmp_path / "batches").rglob("2.json"))) == 1

    run(tmp_path, story)


def test_what_was_sent_becomes_final_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        await submit(platform, 2)
        while not chain.sent:
            await platform.ports.clock.sleep(0.25)
        disk = FullDisk(monkeypatch)
        await submit(platform, 2)
        await waits_for(platform, "leaves_unwritten")
        while (await batches_of(platform))[0]["state"] != "final":
            await platform.ports.clock.sleep(1)
        assert [batch["state"] for batch in await batches_of(platform)] == ["final", "closed"]
        disk.full = False
        await settled(platform)

    run(tmp_path, story)


def test_half_a_file_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, files = FullDisk(monkeypatch), LeafFiles(tmp_path)
    batch: dict[str, Any] = {"id": 7, "first_sequence": 1, "count": 1, "root": b"r" * 32}
    with pytest.raises(OSError, match="No space left") as caught:
        files.write(batch, [b"h" * 32])
    assert str(caught.value.filename).endswith("7.json")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    disk.full = False
    files.write(batch, [b"h" * 32])
    assert json.loads(files.path(7).read_bytes())["leaves"] == ["0x" + "68" * 32]
