"""What an experiment is told by its environment, and what it then asks of the control API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from zjops.chaos import activities
from zjops.chaos.experiments import experiment
from zjops.chaos.toolkit import Toolkit
from zjops.config import LOCAL, Context
from zjops.domain.errors import UsageError

CONTEXT = Context(api_url="http://127.0.0.1:9", token_url="http://127.0.0.1:9", issuer="x")


class Supervisor:
    """A control API that keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def faults(self) -> dict[str, Any]:
        return {"kinds": [{"fault": "broker.late", "targets": ["meter", "worker"]}]}

    def fault(
        self, target: str, fault: str, lease_s: float, params: Mapping[str, float], seed: int | None
    ) -> str:  # fmt: skip
        self.asked.append((target, fault, lease_s, params, seed))
        return "id"


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()

    @contextmanager
    def control() -> Iterator[Supervisor]:
        yield made

    monkeypatch.setattr(activities, "_control", control)
    return made


@pytest.mark.parametrize(("given", "seed"), [("7", 7), ("", None)])
def test_a_fault_is_put_on_the_parts_that_are_here_with_the_seed_of_the_run(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, given: str, seed: int | None
) -> None:
    monkeypatch.setenv("ZJOPS_CHAOS_SEED", given)
    assert activities.inject(["api", "meter"], "broker.late", 5, {"share": "0.2"}) == 1
    assert supervisor.asked == [("meter", "broker.late", 5.0, {"share": 0.2}, seed)]


def test_a_seed_that_is_no_number_is_refused(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZJOPS_CHAOS_SEED", "seven")
    with pytest.raises(UsageError, match="a whole number, not seven"):
        activities.inject(["meter"], "broker.late", 5)
    assert supervisor.asked == []


def _told(tmp_path: Path, context: Context) -> dict[str, str]:
    toolkit = Toolkit(experiment("kill-worker"), tmp_path, context, lease_s=2, recover_s=30, seed=7)
    return {name: value for name, value in toolkit._environ.items() if name.startswith("ZJOPS_")}


def test_an_experiment_is_told_its_lease_its_seed_and_its_part(tmp_path: Path) -> None:
    told = _told(tmp_path, CONTEXT)
    assert {name: value for name, value in told.items() if name.startswith("ZJOPS_CHAOS")} == {
        "ZJOPS_CHAOS_LEASE_S": "2", "ZJOPS_CHAOS_RECOVER_S": "30", "ZJOPS_CHAOS_SEED": "7",
        "ZJOPS_CHAOS_TARGET": "worker",
    }  # fmt: skip


def test_what_is_broken_is_the_platform_that_was_asked_for_whatever_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZJOPS_CONTEXT", "production")
    told = _told(tmp_path, msgspec.structs.replace(CONTEXT, home=str(tmp_path)))
    assert (told["ZJOPS_CONTEXT"], told["ZJOPS_HOME"]) == (LOCAL, str(tmp_path))
    assert _told(tmp_path, msgspec.structs.replace(CONTEXT, name="staging"))["ZJOPS_CONTEXT"] == "staging"
