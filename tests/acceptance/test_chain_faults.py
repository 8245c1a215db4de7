"""The faults that a relayer must survive, on a whole platform and a real node: each ends as C70 and C81 say."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psutil
import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3

import contracts
from simulator.chain.keys import ensure_keys
from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.rpc_front import RpcFront
from tests.support.scene import JOBS, Scene, running_scene
from zjops.domain.bundle import bundle_of
from zjops.domain.clock import SystemClock
from zjops.domain.ids import SystemIds, job_id
from zjops.domain.runfile import read_run_file

SETTINGS = ("batch_max_age_s=0.3", "block_time_s=0.2", "stuck_after_s=2", "lease_s=2", "trace_share=0")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_scene(tmp_path_factory.mktemp("chain-faults"), "--spread", settings=SETTINGS) as made:
        yield made


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


def _call(scene: Scene, key: str, name: str, *arguments: Any) -> None:
    """A call of the contract by an account, straight to the node."""
    run = read_run_file(scene.stage.home)
    web3, account = Web3(HTTPProvider(run.rpc_url)), Account.from_key(key)
    contract = web3.eth.contract(address=run.contract, abi=contracts.load("JobRegistry").abi)
    fields = {"from": account.address, "nonce": web3.eth.get_transaction_count(account.address)}
    built = contract.functions[name](*arguments).build_transaction(fields)
    sent = web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)
    assert web3.eth.wait_for_transaction_receipt(sent, timeout=20)["status"] == 1


async def test_a_paused_contract_is_waited_for(scene: Scene) -> None:
    pauser = ensure_keys(scene.stage.home, SystemIds(SystemClock())).admin
    _call(scene, pauser, "pause")
    try:
        scene.submit()
        assert (await scene.waits_for("contract_paused"))["state"] == "waiting"
    finally:
        _call(scene, pauser, "unpause")
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
        said = json.loads((scene.stage.home / f"log/batches/{number // 1000}/{number}.json").read_bytes())
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


Bill = tuple[list[tuple[Any, ...]], ...]
CALLED: dict[str, Any] = {
    "jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100},
    "callbackUrl": "http://127.0.0.1:9/hook",
}  # fmt: skip


def _bill(scene: Scene) -> Bill:
    """What is charged and told once: jobs with their charges and gas, events, webhooks."""
    return (
        scene.rows("SELECT id, status, charge, compute_units, gas_share, confirmed_at FROM jobs ORDER BY id"),
        scene.rows("SELECT n, subject, msg_id FROM outbox WHERE stream = 'EVENTS' ORDER BY n"),
        scene.rows("SELECT id, type, job_id FROM deliveries ORDER BY id"),
    )


class Lost(NamedTuple):
    """Batches that were final and are no longer in their blocks; what had been told of them; a bundle for each."""

    batches: list[int]
    bill: Bill
    bundles: list[Path]


async def _lose(scene: Scene, folder: Path, *, keep: bool) -> Lost:
    """Reorganise the chain from the block of the last two batches on, and wait until the relayer has stopped."""
    scene.devnet("devnet_status")
    scene.submit()
    scene.holds()
    client = scene.stage.jobs()
    client.submit(CALLED)
    client.http.close()
    scene.accepted += 1
    scene.holds()
    last = scene.rows("SELECT id, block_number FROM batches ORDER BY id DESC LIMIT 2")
    gone = sorted(number for number, _ in last)
    lost = Lost(gone, _bill(scene), [_bundle(scene, folder, number) for number in gone])
    assert [kind for _, kind, _ in lost.bill[2]].count("job.confirmed") >= 1
    block = min(block for _, block in last)
    scene.devnet("devnet_reorg", scene.front.head() - block + 1, {"keepTransactions": keep})
    state = await scene.waits_for("reorg_beyond_finality")
    assert state["state"] == "paused"
    # Of what it had looked at a moment before, it says nothing: the repair looks at all.
    assert any(str(number) in state["reason"] for number in gone)
    return lost


def _bundle(scene: Scene, folder: Path, batch: int) -> Path:
    """A bundle of a job of a batch, fresh from the platform."""
    ((key,),) = scene.rows(f"SELECT id FROM jobs WHERE batch_id = {batch} AND status = 'confirmed' LIMIT 1")
    client, context = scene.stage.jobs(), scene.stage.context
    made = bundle_of(
        client.proof(job_id(key)), client.result(job_id(key)), code_hash=context.code_hash, finality=context.finality,
        with_result=True,
    )  # fmt: skip
    client.http.close()
    file = folder / f"{batch}-{len(list(folder.iterdir()))}.json"
    file.write_bytes(msgspec.json.encode(made))
    return file


def _audited(zjops: Cli, code: int) -> str:
    """What the audit says, as an operator runs it."""
    status, out, err = zjops("audit", "--settled", "--wait", "30" if code == 0 else "0")
    assert status == code, out + err
    return out


def _stands_still(zjops: Cli) -> None:
    """Whoever looks is told that nothing is confirmed, why, and the way on."""
    assert zjops.json("chain", "status", code=4)["relayer"] == "paused"
    checks = {row["check"]: row for row in zjops.json("doctor", code=1)["rows"]}
    assert (checks["relayer"]["state"], checks["relayer"]["mend"]) == ("fail", "zjops chain reanchor")
    for command in (("status",), ("chain", "unpause", "relayer")):
        told = zjops(*command)[2]
        assert "reorg_beyond_finality: batch" in told
        assert "zjops chain reanchor" in told


def _reanchored(zjops: Cli, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """The preview, which does nothing, and then the act; returns the preview's rows and words."""
    before = zjops.json("chain", "batches", "--limit", "1000")["rows"]
    status, out, preview = zjops("chain", "reanchor", *arguments, "--json")
    assert (status, "nothing was done" in preview) == (2, True), preview
    assert zjops.json("chain", "batches", "--limit", "1000")["rows"] == before
    status, _, err = zjops("chain", "reanchor", *arguments, "--yes", "--reason", "test", "--json")
    assert (status, "done: " in err) == (0, True), err
    rows: list[dict[str, Any]] = json.loads(out)["rows"]
    return rows, preview


async def _is_whole_again(scene: Scene, zjops: Cli, lost: Lost, folder: Path) -> str:
    """Nothing was told or charged twice, every proof holds, and the audit says only what was repaired."""
    wanted = f"SELECT count(*) FROM batches WHERE state = 'final' AND id IN ({','.join(map(str, lost.batches))})"
    await eventually(lambda: scene.rows(wanted) == [(len(lost.batches),)], 30)
    scene.holds()
    for before, after in zip(lost.bill, _bill(scene), strict=True):
        assert [row for row in after if row in before] == before
    units = "SELECT sum(compute_units) FROM jobs WHERE tenant = 'crowd' AND charge = 'charged'"
    assert scene.rows("SELECT sum(charged) FROM usage WHERE tenant = 'crowd'") == scene.rows(units)
    known = {row[0] for row in lost.bill[0]}
    confirmed = scene.rows("SELECT payload FROM outbox WHERE subject = 'jobs.confirmed'")
    names = [json.loads(payload)["data"]["job_id"] for (payload,) in confirmed]
    assert len(names) == len(set(names))
    again = [row for row in _bill(scene)[2] if row not in lost.bill[2] and row[2] in known]
    assert again == [], "a webhook was made a second time"
    for number in lost.batches:
        assert zjops.json("jobs", "verify", str(_bundle(scene, folder, number)))["ok"] is True
    said = _audited(zjops, 0)
    for number in lost.batches:
        assert f"repaired: - batch {number} " in said
    assert scene.state()["state"] == "active"
    acts = scene.rows("SELECT action FROM audit_log WHERE action LIKE 'relayer.%' AND action <> 'relayer.read'")
    assert [act for (act,) in acts][-3:] == ["relayer.halt", "relayer.reanchor", "relayer.reanchored"]
    return said


@pytest.fixture
def zjops(scene: Scene, tmp_path: Path) -> Cli:
    return Cli(scene.stage, tmp_path / "config")


@pytest.mark.parametrize("keep", [True, False], ids=["mined again in other blocks", "dropped"])
async def test_a_reorganisation_beyond_finality_stops_it_until_an_operator_has_it_repaired(
    scene: Scene, zjops: Cli, tmp_path: Path, keep: bool
) -> None:
    lost = await _lose(scene, tmp_path, keep=keep)
    if keep:
        await eventually(lambda: scene.devnet("devnet_status")["pool"] == {"pending": 0, "queued": 0}, 20)
    said = _audited(zjops, 4)
    for number in lost.batches:
        assert f" batch {number}: block " in said
        assert (f" batch {number}: the chain holds no root" in said) is not keep
    assert ("was committed in block" in said) is keep
    _stands_still(zjops)
    scene.submit()
    confirmed = "SELECT count(*) FROM jobs WHERE confirmed_at IS NOT NULL"
    assert scene.rows(confirmed) == [(scene.accepted - JOBS,)], "nothing is confirmed meanwhile"
    rows, preview = _reanchored(zjops, "--all")
    assert [(row["batch"], row["act"]) for row in rows] == [
        (number, "adopt" if keep else "send") for number in lost.batches
    ]
    assert {row["first_sequence"] == row["new_first_sequence"] for row in rows} == {True}
    assert "nothing is billed again" in preview
    said = await _is_whole_again(scene, zjops, lost, tmp_path)
    lines = [line for line in said.splitlines() if any(f"batch {number} " in line for number in lost.batches)]
    assert [("; adopted at " in line, "; sent again at " in line) for line in lines] == [(keep, not keep)] * 2
    status, _, err = zjops("chain", "reanchor", "--all", "--yes")
    assert (status, "nothing to anchor again" in err) == (0, True), err


async def test_numbers_that_something_else_took_meanwhile_move_and_every_job_is_proved_anew(
    scene: Scene, zjops: Cli, tmp_path: Path
) -> None:
    lost = await _lose(scene, tmp_path, keep=False)
    (first,) = scene.rows(f"SELECT first_sequence FROM batches WHERE id = {lost.batches[0]}")[0]
    operator = ensure_keys(scene.stage.home, SystemIds(SystemClock())).operator
    _call(scene, operator, "commitRoot", first, 5, b"\7" * 32)
    final = scene.front.head() + scene.stage.context.rule().depth
    await eventually(lambda: scene.front.head() >= final, 20)
    status, _, err = zjops("chain", "reanchor", "--batch", str(lost.batches[0]), "--yes")
    assert (status, "batches move together" in err) == (2, True), err
    rows, preview = _reanchored(zjops)
    assert [row["new_first_sequence"] - row["first_sequence"] for row in rows] == [5] * len(rows)
    assert [row["batch"] for row in rows] == lost.batches
    assert "proofs of these jobs must be fetched anew" in preview
    said = await _is_whole_again(scene, zjops, lost, tmp_path)
    assert f"under the numbers from {first + 5} on in place of {first}" in said
    for bundle in lost.bundles:
        refused = zjops.json("jobs", "verify", str(bundle), code=4)
        assert {check["name"] for check in refused["checks"] if not check["ok"]} >= {"root"}
