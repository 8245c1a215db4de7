"""Settings: what nothing said means, and what is refused before anything is started or remembered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.config import Settings, load_settings
from simulator.environment import time_skipping
from simulator.platform import Platform
from tests.support.virtual import START_MS
from zjops.domain.chains import Finality
from zjops.domain.clock import run_virtual
from zjops.domain.errors import UsageError


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, "depth:3"), ({"chain_id": "2632500"}, "depth:6"), ({"chain_id": "7082400"}, "depth:6"),
        ({"chain": "anvil"}, "depth:3"), ({"chain_id": "5"}, "depth:3"),
        ({"chain_id": "2632500", "finality": "depth:2"}, "depth:2"), ({"finality": "finalized"}, "tag:finalized"),
    ],
)  # fmt: skip
def test_finality_is_that_of_the_chain_unless_it_is_said(tmp_path: Path, asked: dict[str, str], meant: str) -> None:
    chosen = load_settings(tmp_path, {}, **asked)
    assert chosen.final_by.text == meant
    # What was not said is not remembered either: another chain id later brings its own rule.
    assert msgspec.json.decode(msgspec.json.encode(chosen))["finality"] == asked.get("finality", "")


def test_the_relayer_goes_by_the_chains_rule(tmp_path: Path) -> None:
    async def story() -> Any:
        platform: Platform = time_skipping(1, START_MS, tmp_path, chain_id=2632500)
        relayer: Any = platform._relayer()
        return relayer._rules.finality

    assert run_virtual(story()) == Finality(6)
    assert Settings(chain_id=2632500).final_by == Finality(6)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("batch_max_jobs", "0", "batch_max_jobs is '0': Expected `int` >= 1"),
        ("batch_max_jobs", "-1", "batch_max_jobs is '-1'"),
        ("batch_max_jobs", "10001", "batch_max_jobs is '10001': Expected `int` <= 10000"),
        ("batch_max_age_s", "-1", "batch_max_age_s is '-1': Expected `float` >= 0"),
        ("batch_max_age_s", "nan", "batch_max_age_s is 'nan'"),
        ("fee_ceiling_gwei", "-1", "fee_ceiling_gwei is '-1'"), ("fee_ceiling_gwei", "0", "fee_ceiling_gwei is '0'"),
        ("fee_ceiling_gwei", "inf", "fee_ceiling_gwei is 'inf'"), ("stuck_after_s", "0", "stuck_after_s is '0'"),
        ("lease_s", "0", "lease_s is '0'"), ("block_time_s", "0", "block_time_s is '0'"),
        ("chain_id", "0", "chain_id is '0'"), ("poll_s", "0", "poll_s is '0'"),
        ("worker_slots", "0", "worker_slots is '0'"), ("batch_by", "size", "batch_by is 'size'"),
        ("trace_share", "1.5", "trace_share is '1.5'"),
        ("finality", "depth:0", "finality is depth:N"), ("finality", "soon", "finality is depth:N"),
        ("rpc_url", "localhost:8545", "rpc_url is 'localhost:8545', which is no http:// or https:// address"),
        ("rpc_url", "http://", "rpc_url is 'http://'"), ("rpc_url", "http://a:b", "rpc_url is 'http://a:b'"),
        ("keystore_password_file", "/x", "keystore_password_file goes with keystore_file"),
        ("no_such", "1", "unknown field `no_such`"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["argument", "environment", "file"])
def test_what_cannot_work_is_refused_by_name(tmp_path: Path, way: str, name: str, value: str, said: str) -> None:
    if way == "file":
        (tmp_path / "settings.json").write_bytes(msgspec.json.encode({name: value}))
    if way == "environment" and name == "no_such":
        pytest.skip("the environment holds names of others")
    environ = {"ZJOPS_" + name.upper(): value} if way == "environment" else {}
    with pytest.raises(UsageError, match=r"^settings: " + re.escape(said) if name != "no_such" else said):
        load_settings(tmp_path, environ, **({name: value} if way == "argument" else {}))


def test_what_the_defaults_say_is_within_their_own_bounds(tmp_path: Path) -> None:
    chosen = load_settings(tmp_path, {})
    assert msgspec.convert(msgspec.to_builtins(chosen), Settings) == chosen
    widest = load_settings(tmp_path, {}, batch_max_jobs="10000", batch_max_age_s="0", fee_ceiling_gwei="0.000000001")
    assert (widest.batch_max_jobs, widest.batch_max_age_s) == (10_000, 0)
