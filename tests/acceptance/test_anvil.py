"""A whole platform on Foundry's anvil: a job to final, anvil's own reorganisations, and `kill -9` of the node."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from simulator.supervisor.anvil import STATE_FILE, anvil_binary
from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.platform import WORK, running_platform
from zjops.client.chain import ChainReader
from zjops.domain.errors import UsageError
from zjops.verify import verify_proof

SIEVE = json.dumps(WORK[0]["parameters"])
SETTINGS = ("chain=anvil", "stuck_after_s=120", "trace_share=0")


class Batch(NamedTuple):
    """A batch as the store has it."""

    first_sequence: int
    root: bytes
    tx_hash: str
    block_hash: str


class Anvil:
    """The platform, its node and its newest batch."""

    def __init__(self, cli: Cli) -> None:
        self.cli, self.stage = cli, cli.stage
        context = cli.stage.context
        self.jobs, self.reader = cli.stage.jobs(), ChainReader(context)
        self.rpc, self.by_hand = self.reader.rpc, 0

    def submit(self) -> str:
        """A job, which goes into the history that the audit reads."""
        return self.jobs.submit(WORK[0]).job.job_id

    def newest(self) -> int:
        """The number of the newest batch."""
        return int(self.stage.rows("SELECT max(id) FROM batches")[0][0])

    async def until(self, state: str, number: int) -> Batch:
        """A batch once it is in a state."""
        columns = ", ".join(Batch._fields)
        sql = f"SELECT {columns} FROM batches WHERE id = {number} AND state = '{state}'"
        await eventually(lambda: bool(self.stage.rows(sql)), 30)
        return Batch(*self.stage.rows(sql)[0])

    async def waiting(self) -> None:
        """Return when a transaction waits for a block."""
        await eventually(lambda: self.rpc.ask("txpool_status")["pending"] == "0x1", 30)

    def holds(self, *jobs: str) -> None:
        """The audit finds nothing, and every job's proof holds."""
        report = self.stage.audit()
        assert report.findings == []
        assert report.as_json()["client_accepted"] == report.as_json()["confirmed"] - self.by_hand
        for job in jobs:
            proof, result = self.jobs.proof(job), self.jobs.result(job)
            checks = verify_proof(proof, result, self.stage.context, self.reader)
            assert [check for check in checks if not check.ok] == []


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    try:
        anvil_binary()
    except UsageError as exc:
        pytest.skip(str(exc))
    folder = tmp_path_factory.mktemp("anvil")
    with running_platform(folder, *(word for setting in SETTINGS for word in ("--set", setting))) as stage:
        made = Anvil(Cli(stage, folder / "config"))
        with closing(made.rpc), closing(made.jobs.http):
            yield made


async def test_a_job_is_final_on_it(anvil: Anvil) -> None:
    assert "anvil" in str(anvil.rpc.ask("web3_clientVersion"))
    status, out, err = anvil.cli("jobs", "submit", "--type", "compute_heavy", "--parameters", SIEVE, "-q")
    assert status == 0, err
    anvil.by_hand = 1
    await anvil.until("final", 1)
    anvil.holds()
    assert anvil.cli.json("jobs", "verify", out.strip())["ok"] is True


@pytest.mark.parametrize("drop", [False, True], ids=["with the batch", "without the batch"])
async def test_its_own_reorganisation_within_finality_changes_nothing_that_was_told(anvil: Anvil, drop: bool) -> None:
    anvil.rpc.ask("evm_setIntervalMining", 0)
    number, job = anvil.newest() + 1, anvil.submit()
    await anvil.waiting()
    anvil.rpc.ask("anvil_mine", "0x1")
    before = await anvil.until("mined", number)
    status, _, err = anvil.cli("chain", "reorg", "--depth", "1", *(["--drop"] if drop else []))
    assert status == 0, err
    assert "note:" not in err
    if drop:
        # The relayer sends it once more, byte for byte.
        await anvil.waiting()
    anvil.rpc.ask("evm_setIntervalMining", 1)
    after = await anvil.until("final", number)
    assert (after.tx_hash, after.root, after.first_sequence) == (before.tx_hash, before.root, before.first_sequence)
    assert after.block_hash != before.block_hash
    anvil.holds(job)


def _state(anvil: Anvil) -> dict[str, Any] | None:
    """What anvil has written down, None while it is writing."""
    try:
        found: dict[str, Any] = json.loads((anvil.stage.home / "chain" / STATE_FILE).read_bytes())
        return found
    except ValueError:
        return None


@pytest.mark.parametrize("mined", [False, True], ids=["while its transaction waits", "while its block is young"])
async def test_killed_it_comes_back_and_what_it_lost_is_sent_again(anvil: Anvil, mined: bool) -> None:
    anvil.rpc.ask("evm_setIntervalMining", 0)
    number, job = anvil.newest() + 1, anvil.submit()
    await anvil.waiting()
    if mined:
        anvil.rpc.ask("anvil_mine", "0x1")
        await anvil.until("mined", number)
    process = anvil.stage.process("chain")
    file, since_ns = anvil.stage.home / "chain" / STATE_FILE, time.time_ns()
    # It writes its state once a second, and in place: between two of these it can be killed.
    await eventually(lambda: file.stat().st_mtime_ns > since_ns and _state(anvil) is not None, 30)
    os.kill(process["pid"], signal.SIGKILL)
    await eventually(lambda: anvil.stage.process("chain")["restarts"] > process["restarts"], 30)
    await anvil.until("final", number)
    anvil.holds(job)
