"""The faults that a relayer must survive, on a whole platform and a real node: each ends as C70 and C81 say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3

import contracts
from simulator.chain.keys import ensure_keys
from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from tests.support.rpc_front import RpcFront, running_front
from zjops.audit.findings import Report
from zjops.domain.clock import SystemClock
from zjops.domain.ids import SystemIds
from zjops.domain.runfile import read_run_file

JOBS = 8
SETTINGS = ("batch_max_age_s=0.3", "block_time_s=0.2", "stuck_after_s=2", "lease_s=2", "trace_share=0")
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
        with contextlib.closing(sqlite3.connect(self.stage.home / "store.sqlite", timeout=10)) as connection:
            return connection.execute(sql).fetchall()

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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("chain-faults")
    with running_front(folder / "home") as front:
        options = [word for setting in (*SETTINGS, f"rpc_url={front.url}") for word in ("--set", setting)]
        with running_platform(folder, "--spread", *options) as stage:
            yield Scene(stage, front)


@pytest.fixture(autouse=True)
def _healed(scene: Scene) -> Iterator[None]:
    yield
    scene.front.heal()


FAULTS: dict[str, tuple[str, Callable[[RpcFront], None]]] = {
    "the endpoint is down": ("rpc_unavailable", lambda front: setattr(front, "down", True)),
    "the endpoint answers too late": ("rpc_slow", lambda front: setattr(front, "slow_s", 6.0)),
    "the endpoint answers 429": ("rpc_rate_limited", lambda front: setattr(front, "status", 429)),
    "its head is stale": ("node_behind", lambda front: setattr(front, "stale", 20)),
    "the fee is above the ceiling": ("fee_over_ceiling", lambda front: setattr(front, "base_fee", 10**12)),
    "the operator is out of funds": (
        "out_of_funds", lambda front: front.answers.update(eth_getBalance="0x5"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_it_waits_says_why_and_goes_on(scene: Scene, name: str) -> None:
    reason, spoil = FAULTS[name]
    scene.submit()
    scene.holds()
    spoil(scene.front)
    before = scene.told()
    scene.submit()
    state = await scene.waits_for(reason)
    assert state["state"] == "waiting"
    assert scene.told() == before
    scene.front.heal()
    scene.holds()
    assert scene.state()["reason"] is None


@pytest.mark.parametrize(
    ("method", "answer", "reason"),
    [("eth_chainId", "0x1", "wrong_chain"), ("eth_getCode", "0x", "wrong_contract"),
     ("eth_getCode", "0x6001", "wrong_contract")],
    ids=["another chain", "no contract at the address", "another contract at the address"],
)  # fmt: skip
async def test_what_is_not_our_chain_and_contract_gets_nothing(
    scene: Scene, method: str, answer: str, reason: str
) -> None:
    scene.front.down = True
    await scene.waits_for("rpc_unavailable")
    scene.front.answers[method] = answer
    scene.front.down = False
    sent = len(scene.front.sent)
    scene.submit()
    await scene.waits_for(reason)
    assert len(scene.front.sent) == sent
    scene.front.heal()
    scene.holds()


async def test_two_nodes_that_disagree_confirm_nothing_until_they_agree(scene: Scene) -> None:
    before = scene.told()
    scene.front.forked_from = scene.front.head()
    scene.submit()
    await scene.waits_for("nodes_disagree")
    assert scene.told() == before
    scene.front.heal()
    scene.holds()


async def test_a_dropped_transaction_is_sent_again(scene: Scene) -> None:
    first = len(scene.front.sent)
    scene.front.answers["eth_sendRawTransaction"] = "0x" + "00" * 32
    scene.submit()
    await scene.batches_are("sent")
    del scene.front.answers["eth_sendRawTransaction"]
    scene.holds()
    assert len(scene.front.sent) > first


async def test_a_stuck_transaction_is_replaced_and_whichever_is_mined_counts_once(scene: Scene) -> None:
    scene.front.answers["eth_sendRawTransaction"] = "0x" + "00" * 32
    scene.submit()
    await scene.batches_are("sent")
    # What was offered is too little now: otherwise sending it again would be all that helps.
    scene.front.base_fee = 100 * 10**9
    many = "SELECT batch_id FROM batch_transactions GROUP BY batch_id HAVING count(*) > 1"
    await eventually(lambda: bool(scene.rows(many)), 20)
    (batch,) = scene.rows(many)[-1]
    signed = scene.rows(f"SELECT nonce, max_fee, raw FROM batch_transactions WHERE batch_id = {batch} ORDER BY n")
    assert signed[0][0] == signed[1][0]
    assert signed[1][1] * 100 >= signed[0][1] * 110
    # The older one is the one that a miner had after all.
    assert "result" in scene.front.node("eth_sendRawTransaction", "0x" + signed[0][2].hex())
    scene.holds()
    scene.front.heal()
    scene.holds()


@pytest.mark.parametrize("forward", [False, True], ids=["before it has left", "after it has left"])
async def test_a_relayer_killed_around_a_send_neither_loses_nor_doubles(scene: Scene, forward: bool) -> None:
    restarts = scene.stage.process("relayer")["restarts"]
    killed: list[str] = []

    def kill(raw: str) -> bool:
        if killed:
            return True
        killed.append(raw)
        if forward:
            scene.front.node("eth_sendRawTransaction", raw)
        scene.stage.control.fault("relayer", "kill")
        return False

    scene.front.on_send = kill
    scene.submit()
    await eventually(lambda: scene.stage.process("relayer")["restarts"] > restarts, 30)
    scene.holds()
    raw = bytes.fromhex(killed[0][2:]).hex()
    assert len(scene.rows(f"SELECT 1 FROM batch_transactions WHERE hex(raw) = '{raw.upper()}'")) == 1


def _pauser(scene: Scene) -> Callable[[str], None]:
    """Calls of the contract by its pauser, straight to the node."""
    run = read_run_file(scene.stage.home)
    web3 = Web3(HTTPProvider(run.rpc_url))
    admin = Account.from_key(ensure_keys(scene.stage.home, SystemIds(SystemClock())).admin)
    contract = web3.eth.contract(address=run.contract, abi=contracts.load("JobRegistry").abi)

    def call(name: str) -> None:
        fields = {"from": admin.address, "nonce": web3.eth.get_transaction_count(admin.address)}
        built = contract.functions[name]().build_transaction(fields)
        sent = web3.eth.send_raw_transaction(admin.sign_transaction(built).raw_transaction)
        assert web3.eth.wait_for_transaction_receipt(sent, timeout=20)["status"] == 1

    return call


async def test_a_paused_contract_is_waited_for(scene: Scene) -> None:
    call = _pauser(scene)
    call("pause")
    try:
        scene.submit()
        assert (await scene.waits_for("contract_paused"))["state"] == "waiting"
    finally:
        call("unpause")
    scene.holds()


@contextlib.contextmanager
def _second_relayer(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        argv = [sys.executable, "-m", "simulator", "role", "relayer-2", "--roles", "relayer", "--home", str(home),
                "--parent", str(os.getpid()), "--fd", str(listener.fileno())]  # fmt: skip
        process = subprocess.Popen(argv, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


async def test_of_two_relayers_one_works_and_the_other_takes_over_from_a_stopped_one(scene: Scene) -> None:
    first = psutil.Process(scene.stage.process("relayer")["pid"])
    with _second_relayer(scene.stage.home):
        scene.submit()
        scene.holds()
        owner = scene.state()["owner"]
        first.send_signal(signal.SIGSTOP)
        try:
            scene.submit()
            scene.holds()
            assert scene.state()["owner"] != owner
        finally:
            first.send_signal(signal.SIGCONT)
        scene.submit()
        scene.holds()
        (epoch,) = scene.rows("SELECT epoch FROM leases WHERE name = 'relayer'")[0]
        assert epoch > 1
    scene.submit()
    scene.holds()


def test_the_operators_key_is_nowhere_but_in_its_keystore(scene: Scene) -> None:
    home = scene.stage.home
    keys = ensure_keys(home, SystemIds(SystemClock()))
    secrets = [key[2:].encode() for key in (keys.operator, keys.admin)]
    secrets += [bytes.fromhex(secret.decode()) for secret in secrets]
    password = (home / "chain/password").read_bytes().strip()
    for entry in scene.stage.control.status()["processes"]:
        for name in ("cmdline", "environ"):
            shown = Path(f"/proc/{entry['pid']}/{name}").read_bytes()
            assert not [secret for secret in [*secrets, password] if secret in shown]
    for path in home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
            assert path.name == "password" or password not in content, path


def test_the_leaves_of_every_batch_are_published(scene: Scene) -> None:
    batches = scene.rows("SELECT id, count, root FROM batches")
    assert batches
    for number, count, root in batches:
        said = json.loads((scene.stage.home / f"log/batches/{number}.json").read_bytes())
        assert (said["count"], len(said["leaves"]), said["root"]) == (count, count, "0x" + root.hex())


@pytest.mark.parametrize("keep", [True, False], ids=["with the batch", "without the batch"])
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_reorganisation_within_finality_changes_nothing_that_was_told(
    scene: Scene, depth: int, keep: bool
) -> None:
    scene.devnet("devnet_pause")
    scene.devnet("devnet_resume")
    scene.submit()
    await scene.batches_are("mined")
    before = scene.told()
    scene.devnet("devnet_reorg", depth, {"keepTransactions": keep})
    scene.holds()
    after = scene.told()
    assert before[0] == [row for row in after[0] if row in before[0]]
    assert before[1] == after[1][: len(before[1])]


def _audited(home: Path) -> subprocess.CompletedProcess[str]:
    """The audit as an operator runs it."""
    argv = [Path(sys.executable).with_name("zjops"), "audit", "--settled", "--wait", "0", "--home", str(home)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


async def test_a_reorganisation_beyond_finality_stops_it_and_the_audit_names_the_batch(scene: Scene) -> None:
    """The last one: whoever runs this platform must decide now what is true."""
    scene.devnet("devnet_status")
    scene.submit()
    scene.holds()
    before = scene.told()
    number, block = scene.rows("SELECT id, block_number FROM batches ORDER BY id DESC LIMIT 1")[0]
    scene.devnet("devnet_reorg", scene.front.head() - block + 1, {"keepTransactions": False})
    state = await scene.waits_for("reorg_beyond_finality")
    assert state["state"] == "paused"
    assert str(number) in state["reason"]
    done = _audited(scene.stage.home)
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"batch {number}" in done.stdout + done.stderr
    scene.submit()
    assert scene.told() == before
