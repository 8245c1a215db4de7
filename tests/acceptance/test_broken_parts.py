"""Every fault of the catalogue but killing, on a real platform under jobs: it heals by its lease, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from zjops.domain.errors import Problem

JOBS = 40
LEASE_S = 2.0
FAULTS: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("api", "link.delay", {"ms": 100, "jitter_ms": 50}),
    ("broker", "link.hold", {"ms": 200, "share": 0.1}),
    ("broker", "link.reset", {"every_s": 1}),
    ("chain", "link.cut", {}),
    ("worker", "throttle", {"stopped_ms": 90, "period_ms": 100}),
    ("store", "store.lock", {}),
    ("api", "store.delay", {"ms": 100, "jitter_ms": 50}),
    ("settlement", "store.full", {}),
    ("worker", "store.full", {}),
    ("meter", "log.full", {}),
    ("settlement", "store.page_limit", {"pages": 0}),
    ("relayer", "store.slow_commit", {"ms": 100}),
    ("outbox", "broker.lose_acks", {"share": 0.1}),
    ("worker", "broker.lose_acks", {"share": 0.5}),
    ("settlement", "broker.duplicate", {"share": 0.5}),
    ("settlement", "broker.late", {"share": 0.2}),
    ("worker", "broker.duplicate", {"share": 0.3}),
    ("broker", "broker.full", {}),
    ("broker", "broker.cut_tail", {"bytes": 2048}),
    ("relayer", "chain.rate_limited", {"share": 0.5}),
    ("relayer", "chain.stale_head", {"blocks": 4}),
    ("relayer", "chain.fee_spike", {"factor": 1e6}),
    ("api", "memory.ballast", {"share": 0.8, "limit_mb": 400}),
    ("settlement", "clock.skew", {"seconds": 4}),
    ("relayer", "clock.skew", {"seconds": -4}),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One platform with a process for every role and a proxy before the API, the broker and the chain."""
    with running_platform(tmp_path_factory.mktemp("broken"), "--spread", "--set", "proxies=true") as made:
        yield made


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("target", "fault", "params"), FAULTS, ids=[f"{fault} at {at}" for at, fault, _ in FAULTS])
async def test_a_fault_heals_by_its_lease_and_every_job_comes_out_right(
    stage: Stage, target: str, fault: str, params: dict[str, float]
) -> None:
    before = stage.told()
    lease_s = None if fault == "broker.cut_tail" else LEASE_S
    threads = stage.submit_many(JOBS // 2, 2)
    stage.control.fault(target, fault, lease_s=lease_s, params=params)
    threads += stage.submit_many(JOBS // 2, 2)
    for thread in threads:
        thread.join()
    await eventually(lambda: not stage.control.faults()["active"], 30)
    assert stage.told() == before + JOBS
    report = stage.audit()
    assert report.findings == []
    assert report.as_json()["client_accepted"] == report.as_json()["settled"] == before + JOBS


@pytest.mark.timeout(180)
async def test_a_fault_of_a_part_that_is_down_when_its_lease_ends_is_taken_back_once_it_is_there(stage: Stage) -> None:
    before = stage.told()
    stage.control.fault("broker", "broker.full", lease_s=1)
    stage.control.fault("broker", "stop", lease_s=6)
    await eventually(lambda: not stage.control.faults()["active"], 30)
    for thread in stage.submit_many(JOBS, 2):
        thread.join()
    assert stage.told() == before + JOBS
    assert stage.audit().findings == []


@pytest.mark.timeout(180)
async def test_a_broker_that_is_just_starting_loses_its_tail_too(stage: Stage) -> None:
    before = stage.told()
    threads = stage.submit_many(JOBS, 2)
    stage.control.fault("broker", "kill")
    stage.control.fault("broker", "broker.cut_tail", params={"bytes": 2048})
    for thread in threads:
        thread.join()
    await eventually(lambda: stage.process("broker")["ready"], 30)
    assert not stage.control.faults()["active"]
    assert stage.told() == before + JOBS
    assert stage.audit().findings == []


def test_the_catalogue_says_what_each_fault_takes_and_where_it_can_be_put(stage: Stage) -> None:
    kinds: list[dict[str, Any]] = stage.control.faults()["kinds"]
    assert {kind["fault"] for kind in kinds} >= {fault for _, fault, _ in FAULTS}
    assert all(kind["targets"] and kind["meaning"] for kind in kinds)


@pytest.mark.parametrize(
    ("target", "fault", "params", "said"),
    [
        ("api", "store.delay", {"mss": 1.0}, "store.delay has no parameter mss; it takes ms, jitter_ms"),
        ("api", "store.delay", {"ms": -1.0}, "ms of store.delay must lie between 0 and 60000"),
        ("broker", "store.delay", {}, "store.delay cannot be done to broker; it can be done to api, outbox"),
        ("api", "chain.rate_limited", {}, "chain.rate_limited cannot be done to api; it can be done to relayer"),
        ("meter", "broker.late", {}, "broker.late cannot be done to meter; it can be done to settlement, worker"),
        ("api", "boil", {}, "There is no fault boil; there are kill"),
    ],
)
def test_a_wrong_fault_is_refused_in_words(
    stage: Stage, target: str, fault: str, params: dict[str, float], said: str
) -> None:
    with pytest.raises(Problem, match=said):
        stage.control.fault(target, fault, params=params)
    assert not stage.control.faults()["active"]


def test_one_request_heals_everything(stage: Stage) -> None:
    for target, fault in (("relayer", "chain.rate_limited"), ("chain", "link.delay"), ("meter", "stop")):
        stage.control.fault(target, fault, lease_s=60)
    assert stage.control.heal_all() == 3
    assert not stage.control.faults()["active"]
