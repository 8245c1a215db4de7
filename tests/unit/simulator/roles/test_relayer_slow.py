"""A node that answers, and slowly: whoever works with it keeps the lease, gets on, and says that it is slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator.platform import Platform
from tests.support.relaying import (
    batches_of,
    chain_of,
    heir_of,
    jobs_of,
    metric,
    run,
    state_of,
    submit,
    waits_for,
)
from tests.support.virtual import settled

QUESTIONS = ("identity", "block", "root_of", "next_sequence", "outlook", "estimate", "send", "receipt", "find_root")


def _slow_down(platform: Platform, seconds: float) -> None:
    """Have every answer of the node take so long."""
    chain = chain_of(platform)
    for name in QUESTIONS:
        setattr(chain, name, _slowly(platform, getattr(chain, name), seconds))


def _slowly(platform: Platform, honest: Any, seconds: float) -> Any:
    async def answer(*given: Any) -> Any:
        await platform.ports.clock.sleep(seconds)
        return await honest(*given)

    return answer


def _hurry(platform: Platform) -> None:
    for name in QUESTIONS:
        delattr(chain_of(platform), name)


@pytest.mark.parametrize("each_s", [1.0, 4.5])
def test_two_relayers_on_a_slow_node_do_not_take_the_work_from_each_other(tmp_path: Path, each_s: float) -> None:
    async def story(platform: Platform) -> None:
        heir = heir_of(platform)
        await heir.start()
        _slow_down(platform, each_s)
        await submit(platform, 3)
        await settled(platform)
        row = await platform.ports.store.read(lambda tx: tx.one("lease_get", name="relayer"))
        assert row is not None
        assert row["epoch"] <= 2
        assert {batch["state"] for batch in await batches_of(platform)} == {"final"}
        assert len(set(chain_of(platform).sent)) == len(await batches_of(platform))
        await heir.stop()

    run(tmp_path, story, lease_s=6.0)


def test_a_slow_node_is_said_to_be_slow_while_it_is(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        clock = platform.ports.clock
        _slow_down(platform, 1.3)
        await submit(platform, 3)
        state = await waits_for(platform, "rpc_slow")
        assert (state["state"], state["reason"]) == ("slow", "rpc_slow: the node takes 1.3 s for an answer")
        assert metric(platform, 'relayer_waiting{reason="rpc_slow"}') == 1
        assert 1.2 < metric(platform, "relayer_answer_seconds") < 1.4
        await settled(platform)
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}
        _hurry(platform)
        _slow_down(platform, 0.7)
        await clock.sleep(60)
        assert (await state_of(platform))["state"] == "slow", "it is not said again and again that it comes and goes"
        _hurry(platform)
        await clock.sleep(60)
        assert (await state_of(platform))["state"] == "active"
        assert metric(platform, 'relayer_waiting{reason="rpc_slow"}') == 0

    run(tmp_path, story)


def test_a_node_that_is_now_and_then_slow_is_not(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        _slow_down(platform, 0.9)
        await submit(platform, 3)
        await settled(platform)
        assert (await state_of(platform))["state"] == "active"

    run(tmp_path, story)
