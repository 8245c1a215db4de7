"""Platforms that take the chain's own word for final, on chains whose clocks are not theirs: an hour behind, two ahead.

The block timer rests, so that every block is made where a test wants it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.scene import JOBS, Scene, running_scene
from zjops.client.rpc import Rpc
from zjops.client.wallet import Wallet, admin_key
from zjops.client.webhooks import Received, Receiver, Webhooks
from zjops.domain.bundle import bundle_of
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainRefused
from zjops.domain.ids import SystemIds, job_id
from zjops.domain.wire_webhooks import EndpointCreate
from zjops.gas.calls import DEADLINE_S, REGISTRY, Calls
from zjops.gas.measure import Deployed

OFFSET_S = {"finalized": -3600, "safe": 7200}
"""The chain's clock beside the machine's, by the tag that the platform goes by."""
DEPTH = {"finalized": 3, "safe": 2}
"""How deep the devnet's tags lie, the block itself included."""
SETTINGS = (f"batch_max_jobs={JOBS}", "batch_by=count", "block_time_s=1", "stuck_after_s=120", "trace_share=0")


class Still(Scene):
    """A scene whose blocks are made by hand."""

    tag: str
    cli: Cli

    def mine(self, count: int = 1) -> None:
        """Make blocks now."""
        self.devnet("devnet_mine", count)

    async def submitted(self) -> None:
        """Submit jobs; return when the transaction of their batch waits for a block."""
        self.submit()
        # In the store it is sent before it has left.
        await eventually(lambda: self.devnet("txpool_status")["pending"] == "0x1", 20)

    def batch(self) -> dict[str, Any]:
        """The newest batch as the store has it."""
        names = ("id", "state", "first_sequence", "tx_hash", "block_number", "block_hash")
        rows = self.rows(f"SELECT {', '.join(names)} FROM batches ORDER BY id DESC LIMIT 1")
        return dict(zip(names, rows[0], strict=True))

    async def looked(self) -> None:
        """Return when the relayer has asked for the tagged block twice from now on: one look lies in between."""
        self.front.tags.clear()
        await eventually(lambda: self.front.tags.count(self.tag) >= 2, 20)

    async def final(self, more: int = 0) -> None:
        """Make the block of the newest batch final."""
        await self.batches_are("mined")
        self.mine(DEPTH[self.tag] - 1 + more)
        await eventually(lambda: self.batch()["state"] == "final", 20)


@pytest.fixture(scope="module", params=OFFSET_S)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Still]:
    folder, tag = tmp_path_factory.mktemp("finality"), str(request.param)
    chosen = (*SETTINGS, f"finality={tag}", f"chain_clock_offset_s={OFFSET_S[tag]}")
    with running_scene(folder, settings=chosen, kind=Still) as made:
        made.tag, made.cli = tag, Cli(made.stage, folder / "config")
        made.devnet("devnet_pause")
        yield made


@pytest.fixture(autouse=True)
def _healed(scene: Still) -> Iterator[None]:
    yield
    scene.front.heal()


async def test_a_job_is_final_when_the_chain_calls_its_block_so_and_not_before(scene: Still, tmp_path: Path) -> None:
    await scene.submitted()
    scene.mine()
    await scene.batches_are("mined")
    for _ in range(DEPTH[scene.tag] - 1):
        await scene.looked()
        assert scene.batch()["state"] == "mined"
        assert scene.told() == ([], [])
        scene.mine()
    await eventually(lambda: scene.batch()["state"] == "final", 20)
    scene.holds()
    _verified(scene, tmp_path / "bundle.json")


def _verified(scene: Still, file: Path) -> None:
    """The newest batch's first job, by a bundle and the chain's own word."""
    client, context = scene.stage.jobs(), scene.stage.context
    assert context.finality == f"tag:{scene.tag}"
    (key,) = scene.rows("SELECT id FROM jobs WHERE leaf_index = 0 ORDER BY batch_id DESC LIMIT 1")[0]
    with contextlib.closing(client.http):
        proof, result = client.proof(job_id(key)), client.result(job_id(key))
    made = bundle_of(proof, result, code_hash=context.code_hash, finality=context.finality, with_result=True)
    file.write_bytes(msgspec.json.encode(made))
    found = scene.cli.json("jobs", "verify", str(file))
    assert found["ok"] is True
    wanted = f"block {proof.transaction.block_number}, {scene.tag} is block "
    assert any(wanted in check["detail"] for check in found["checks"])


class Hooks:
    """Every webhook that came, signatures checked."""

    def __init__(self, scene: Still) -> None:
        self.heard: list[tuple[str, str]] = []
        self._receiver = Receiver(self._hear)
        self._client = scene.stage.jobs()
        self._hooks = Webhooks(self._client.http)
        made = self._hooks.create(EndpointCreate(url=self._receiver.url))
        self._receiver.secret, self._endpoint = made.secret, made.endpoint_id
        self._receiver.start()

    def _hear(self, received: Received) -> None:
        assert received.faults == []
        told = json.loads(received.body)
        self.heard.append((told["type"], told["jobId"]))

    def close(self) -> None:
        """Take the endpoint away and stop listening."""
        self._hooks.delete(self._endpoint)
        self._client.http.close()
        self._receiver.stop()


def _counted(scene: Still) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that must happen once: charges, events, webhooks."""
    return {
        "usage": scene.rows("SELECT held, charged, released FROM usage WHERE tenant = 'crowd'"),
        "charges": scene.rows("SELECT id, charge FROM jobs ORDER BY id"),
        "events": scene.rows("SELECT subject, count(*) FROM outbox WHERE stream = 'EVENTS' GROUP BY subject"),
        "webhooks": scene.rows("SELECT type, count(*) FROM deliveries GROUP BY type"),
    }


async def test_a_transaction_that_is_mined_twice_charges_and_tells_once(scene: Still) -> None:
    """Mined, reorganised away, mined again: on one platform the relayer sees it gone, on the other it never does."""
    with contextlib.closing(Hooks(scene)) as hooks:
        await scene.submitted()
        scene.mine()
        await scene.batches_are("mined")
        first, before = scene.batch(), _counted(scene)
        scene.front.down = scene.tag == "safe"
        gone = scene.devnet("devnet_reorg", 1, {"keepTransactions": True})["removed"]
        assert gone == [first["tx_hash"]]
        if not scene.front.down:
            await scene.batches_are("sent")
        scene.mine()
        scene.front.down = False
        await eventually(lambda: scene.batch()["block_hash"] not in (None, first["block_hash"]), 30)
        second = scene.batch()
        assert _counted(scene) == before
        assert {name: second[name] for name in ("id", "first_sequence", "tx_hash")} == {
            name: first[name] for name in ("id", "first_sequence", "tx_hash")
        }
        assert second["block_number"] == first["block_number"] + 1
        # Whoever saw a block change counts anew from the block that comes then.
        await scene.final(more=1)
        await eventually(lambda: len(hooks.heard) >= 2 * JOBS, 20)
        scene.holds()
        after = _counted(scene)
        assert [after[name] for name in ("usage", "charges")] == [before[name] for name in ("usage", "charges")]
        assert dict(after["events"])["jobs.confirmed"] == scene.accepted
        assert dict(after["webhooks"])["job.confirmed"] == JOBS
        assert len(hooks.heard) == len(set(hooks.heard)) == 2 * JOBS
        signed = "SELECT count(*) FROM batch_transactions WHERE batch_id = (SELECT max(id) FROM batches)"
        assert scene.rows(signed) == [(1,)]


async def test_a_clock_that_is_not_the_platforms_bends_neither_finality_nor_lag_nor_deadlines(
    scene: Still, tmp_path: Path
) -> None:
    offset_s = OFFSET_S[scene.tag]
    await scene.submitted()
    scene.mine()
    await scene.final()
    _verified(scene, tmp_path / "bundle.json")
    scene.devnet("devnet_resume")
    _attestations(scene)
    status, out, said = scene.cli("chain", "status", "--json")
    scene.devnet("devnet_pause")
    found = json.loads(out)
    assert (status, found["relayer"]) == (0, "active")
    assert found["clock_skew_s"] == pytest.approx(offset_s, abs=60)
    assert found["lag_s"] < abs(offset_s) / 10
    assert ("behind" if offset_s < 0 else "ahead of") in said
    # A chain that stands still lags, however far its clock is ahead.
    await eventually(lambda: scene.cli.json("chain", "status")["lag_blocks"] > found["lag_blocks"], 60)
    scene.holds()


def _attestations(scene: Still) -> None:
    """Deadlines count by the chain's clock: what is signed by it is good, what is signed by ours is not."""
    ids, clock = SystemIds(SystemClock()), SystemClock()
    with contextlib.closing(Rpc(str(scene.stage.context.rpc_url))) as rpc:
        wallet = Wallet(rpc, admin_key(scene.stage.home))
        registry = Deployed(wallet, REGISTRY, (86_400, *[wallet.address] * 3))
        chain_s, ours_s = int(rpc.block()["timestamp"], 16), clock.now_ms() // 1000
        # Behind: by our clock the job is done only in the chain's future. Ahead: our last minute is over there.
        wrong_s = ours_s if chain_s < ours_s else ours_s + 60 - DEADLINE_S
        good, bad = (
            Calls(ids, chain_id=wallet.rpc.number("eth_chainId"), registry=registry.address, now_s=now_s)
            for now_s in (chain_s, wrong_s)
        )
        sent = [registry.send(call) for call in (good.admit(), bad.admit(), good.attested(), bad.attested())]
        for tx_hash in sent[:-1]:
            wallet.mined(tx_hash)
        with pytest.raises(ChainRefused):
            wallet.mined(sent[-1])
