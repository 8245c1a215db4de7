"""`zjops chain` against a platform that runs: what it tells, and what it does to chain, contract and relayer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import msgspec
import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.platform import running_platform
from zjops.client.wallet import admin_key

SIEVE = '{"algorithm":"prime_sieve","limit":1000}'


@pytest.fixture(scope="module")
def zjops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    folder = tmp_path_factory.mktemp("chain")
    with running_platform(folder) as stage:
        yield Cli(stage, folder / "config")


def _submit(zjops: Cli) -> str:
    status, out, err = zjops("jobs", "submit", "--type", "compute_heavy", "--parameters", SIEVE, "-q")
    assert status == 0, err
    return out.strip()


def _final(zjops: Cli, job: str) -> None:
    status, _, err = zjops("jobs", "watch", job, "--final", "--within", "60")
    assert status == 0, err


def _waiting(zjops: Cli) -> int:
    found = zjops.json("chain", "status")
    return int(found["jobs_waiting"] + found["jobs_in_batches"])


def test_status_batches_and_a_batch(zjops: Cli) -> None:
    job = _submit(zjops)
    _final(zjops, job)
    found = zjops.json("chain", "status")
    assert (found["schema"], found["chain_id"], found["relayer"]) == ("zjops.chain/1", 31338, "active")
    assert (found["contract"], found["contract_paused"]) == (zjops.stage.context.contract, False)
    assert found["height"] > 0
    assert 0 < found["balance"] < 1_000_000
    assert found["runway_days"] > 1
    assert found["next_sequence"] == 2
    assert _waiting(zjops) == 0
    listed = zjops.json("chain", "batches")["rows"]
    assert [(row["batch"], row["jobs"], row["state"]) for row in listed] == [(1, 1, "final")]
    assert 40_000 < listed[0]["gas"] < 100_000
    assert listed[0]["final_after_s"] > 0
    assert (found["finality"], found["newest_batch"], found["newest_batch_state"]) == ("depth:3", 1, "final")
    header = "batch,jobs,first_sequence,state,block,gas,gas_per_job,closed,final_after_s,tx,root,repairs\n"
    assert zjops("chain", "batches", "-o", "csv")[1].startswith(header)
    assert zjops("chain", "batches", "-o", "csv", "--state", "sent")[1] == header
    assert zjops.json("chain", "batches", "--limit", "1")["next"] == 1
    status, _, err = zjops("chain", "batches", "--state", "bogus")
    assert (status, "'closed', 'sent', 'mined', 'final'" in err) == (2, True)
    one = zjops.json("chain", "batch", "1")
    assert [leaf["jobId"] for leaf in one["leaves"]] == [job]
    assert one["leaves"][0]["hash"] == one["root"] == listed[0]["root"]
    _held_against_its_file(zjops, one["leaf_file"])
    status, _, err = zjops("chain", "batch", "999")
    assert (status, err.startswith("error: 404 not-found")) == (2, True)


def _held_against_its_file(zjops: Cli, told: dict[str, str]) -> None:
    """The published file of a batch: it agrees, was altered, is missing."""
    file = zjops.stage.home / "log/batches/0/1.json"
    content = file.read_bytes()
    assert (told["state"], told["path"]) == ("agrees", str(file))
    assert told["digest"] == told["digest_of_store"] == hashlib.sha256(content).hexdigest()
    file.write_bytes(content.replace(b'"leaves":["0x', b'"leaves":["0x00', 1))
    status, out, err = zjops("chain", "batch", "1")
    assert (status, "leaf file  altered" in out) == (4, True)
    assert f"leaf file: {file} was altered: the leaf of number 1 is another; its leaves do not give its root" in err
    file.unlink()
    assert zjops.json("chain", "batch", "1", code=4)["leaf_file"]["state"] == "missing"
    file.write_bytes(content)


@pytest.mark.parametrize("command", [("status",), ("batches",), ("batch", "1")])
def test_tables_fit_a_narrow_terminal(zjops: Cli, command: tuple[str, ...]) -> None:
    status, out, err = zjops("chain", *command)
    assert status == 0, err
    allowed = 100 if command == ("batch", "1") else 80
    assert max(map(len, out.splitlines())) <= allowed


def test_mining_moves_the_head(zjops: Cli) -> None:
    before = zjops.json("chain", "status")["height"]
    status, out, err = zjops("chain", "mine", "3", "-q")
    assert (status, err, out.startswith("the head is ")) == (0, "", True)
    mined = zjops.json("chain", "mine")
    assert (mined["schema"], mined["height"] >= before + 4) == ("zjops.head/1", True)


@pytest.mark.parametrize("drop", [False, True])
def test_a_reorg_within_the_depth_changes_nothing_that_a_job_shows(zjops: Cli, drop: bool) -> None:
    job = _submit(zjops)
    status, out, err = zjops("chain", "reorg", "--depth", "2", *(["--drop"] if drop else []))
    assert status == 0, err
    assert "replaced 2 blocks below" in out
    assert ("are lost" if drop else "wait for a block again") in out
    _final(zjops, job)
    assert zjops.json("jobs", "verify", job)["ok"] is True


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("relayer", "--key-file", "nowhere"), "--key-file goes with contract"),
     (("contract", "--reason", "x"), "--reason goes with relayer")],
)  # fmt: skip
def test_what_a_pause_would_ignore_is_refused(zjops: Cli, arguments: tuple[str, ...], told: str) -> None:
    status, _, err = zjops("chain", "pause", *arguments, "--yes")
    assert (status, told in err) == (2, True)
    found = zjops.json("chain", "status")
    assert (found["contract_paused"], found["relayer"]) == (False, "active")


@pytest.mark.parametrize("target", ["contract", "relayer"])
async def test_a_pause_is_previewed_holds_back_and_is_lifted(zjops: Cli, target: str) -> None:
    status, _, err = zjops("chain", "pause", target)
    assert status == 2
    assert err.startswith(f"pause the {target} ")
    assert "holds back: 0 batches of 0 jobs, and 0 jobs in none yet" in err
    assert "nothing was done" in err
    assert zjops.json("chain", "status")["contract_paused"] is False
    why = ("--reason", "test") if target == "relayer" else ()
    status, out, err = zjops("chain", "pause", target, "--yes", "-q", *why)
    assert (status, err, out.startswith(f"the {target} is paused")) == (0, "", True)
    try:
        found = zjops.json("chain", "status")
        assert (found["contract_paused"], found["relayer"] == "paused") == (target == "contract", target == "relayer")
        job = _submit(zjops)
        await eventually(lambda: _waiting(zjops) == 1, 30)
        assert zjops.json("jobs", "get", job)["status"] == "completed"
        again = zjops.json("chain", "pause", target, "--yes")
        assert (again["schema"], again["target"], again["paused"], again["changed"]) == (
            "zjops.pause/1", target, True, False,
        )  # fmt: skip
    finally:
        status, _, err = zjops("chain", "unpause", target, "--yes")
    assert status == 0, err
    assert "lets go on: " in err
    _final(zjops, job)


def test_where_nothing_is_gone_nothing_is_anchored_again(zjops: Cli) -> None:
    _final(zjops, _submit(zjops))
    before = zjops.json("chain", "batches")["rows"]
    for arguments, what in (((), "every batch"), (("--all",), "every batch"), (("--batch", "1"), "batch 1 ")):
        status, out, err = zjops("chain", "reanchor", *arguments, "--yes")
        assert (status, out, err.startswith("nothing to anchor again: " + what)) == (0, "", True), err
    assert zjops.json("chain", "batches")["rows"] == before
    status, _, err = zjops("chain", "reanchor", "--batch", "999", "--yes")
    assert (status, err.startswith("error: 404 not-found")) == (2, True)
    assert zjops("chain", "reanchor", "--batch", "1", "--all")[0] == 2


async def test_a_node_that_hangs_is_told_by_whoever_looks(zjops: Cli) -> None:
    fault = zjops.stage.control.fault("chain", "stop", 110)
    try:
        found = zjops.json("status", code=3)
        assert next(p for p in found["processes"] if p["name"] == "chain")["state"] == "unready"
        assert zjops.json("chain", "status", code=3)["chain"] == "away"
        status, out, err = zjops("chain", "batches")
        assert (status, out.startswith("batch  jobs  "), "nothing came in time" in err) == (0, True, True)
        checks = {row["check"]: row["state"] for row in zjops.json("doctor", code=1)["rows"]}
        assert (checks["chain"], checks["api"]) == ("fail", "ok")
    finally:
        zjops.stage.control.heal(fault)
    await eventually(lambda: zjops("status")[0] == 0, 60)


def test_keys_are_in_no_output(zjops: Cli) -> None:
    secrets = [(zjops.stage.home / "chain" / "password").read_text().strip(), admin_key(zjops.stage.home)]
    assert secrets
    said = "".join("".join(zjops("chain", verb, "contract", "--yes")[1:]) for verb in ("pause", "unpause"))
    said += "".join(zjops("chain", "status", "--json")[1:])
    assert not [secret for secret in secrets if secret.removeprefix("0x") in said]


def test_what_cannot_be_is_wrong_usage(zjops: Cli) -> None:
    assert zjops("chain", "pause", "everything", "--yes")[0] == 2
    assert zjops("chain", "reorg", "--depth", "0")[0] == 2
    assert zjops("chain", "batches", "--state", "lost")[0] == 2
    key = zjops.config.parent / "not.key"
    key.write_text("no key at all")
    status, _, err = zjops("chain", "pause", "contract", "--yes", "--key-file", str(key))
    assert (status, err.splitlines()[-1]) == (2, "error: the account's key is damaged")


def test_a_chain_that_is_away_is_said_so_and_what_the_platform_knows_is_shown(zjops: Cli) -> None:
    away = msgspec.to_builtins(msgspec.structs.replace(zjops.stage.context, rpc_url="http://127.0.0.1:9"))
    file = zjops.config.parent / "away.json"
    file.write_text(json.dumps(away))
    assert zjops("context", "add", "away", "--file", str(file))[0] == 0
    status, out, err = zjops("chain", "status", "--context", "away", "--json")
    assert (status, json.loads(out)["chain"], json.loads(out)["relayer"]) == (3, "away", "active")
    assert "does not answer as a chain" in err
    status, out, err = zjops("chain", "batches", "--context", "away", "--json")
    assert (status, "the chain is away" in err) == (0, True)
    assert json.loads(out)["rows"]
    for command in (("mine",), ("reorg", "--depth", "1"), ("pause", "contract", "--yes"), ("reanchor", "--yes")):
        assert zjops("chain", *command, "--context", "away")[0] == 3
