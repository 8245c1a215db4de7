"""The experiments that come with the project: whole, valid to Chaos Toolkit, and made of faults that there are."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator.faults.catalogue import KINDS, params_of
from simulator.supervisor.supervisor import SPREAD, TOGETHER
from zjops.chaos import activities
from zjops.chaos.experiments import Step, experiment, experiments, folder, read_file
from zjops.domain.errors import UsageError

FILES = sorted(folder().glob("*.yaml"))
MORE = {"worker-2": ("worker",), "worker-3": ("worker",)}
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "one process behind the API": {"api": ("api", "outbox")} | TOGETHER | MORE,
    "a process for every role": {"api": ("api",)} | SPREAD | MORE,
}
AT_ROLES = [
    pytest.param(step, id=f"{one.name}: {step.fault}")
    for one in experiments().values() for step in one.steps if KINDS[step.fault].scope == "role"
]  # fmt: skip


def _activities(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [*document["steady-state-hypothesis"]["probes"], *document["method"], *document["rollbacks"]]


def test_the_design_s_seven_come_first_and_every_role_can_be_killed_and_stopped() -> None:
    known = list(experiments().values())
    assert [one.name for one in known if "design" in one.tags] == [one.name for one in known[:7]]
    roles = ("api", "outbox", "worker", "settlement", "relayer", "meter", "broker", "chain")
    assert {f"{verb}-{role}" for verb in ("kill", "stop") for role in roles} <= set(experiments())
    assert all(one.title and one.symptom and one.description for one in known)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_activity_is_there_and_gets_what_it_takes(path: Path) -> None:
    for activity in _activities(yaml.safe_load(path.read_text())):
        provider = activity["provider"]
        assert (provider["type"], provider["module"]) == ("python", "zjops.chaos.activities")
        inspect.signature(getattr(activities, provider["func"])).bind(**provider.get("arguments", {}))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_faults_are_those_of_the_catalogue_and_have_a_lease(path: Path) -> None:
    for activity in _activities(yaml.safe_load(path.read_text())):
        if activity["provider"]["func"] == "inject":
            given = activity["provider"]["arguments"]
            params_of(KINDS[given["fault"]], given.get("params", {}))
            assert "lease_s" in given


@pytest.mark.parametrize("step", AT_ROLES)
def test_a_fault_of_a_role_acts_somewhere_in_either_layout_and_wherever_it_is_put(step: Step) -> None:
    acting = {
        name: {process for process, roles in hosts.items() if KINDS[step.fault].acts_in(roles)}
        for name, hosts in LAYOUTS.items()
    }
    assert all(acting[name] & set(step.targets) for name in LAYOUTS)
    assert set(step.targets) <= set.union(*acting.values()), "where it does nothing, it need not be named"
    for name, hosts in LAYOUTS.items():
        assert set(step.targets) & set(hosts) <= acting[name]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_chaos_toolkit_finds_it_valid(path: Path) -> None:
    pytest.importorskip("chaoslib", reason="Chaos Toolkit is missing; install it with: make load")
    from chaoslib.experiment import ensure_experiment_is_valid
    from chaoslib.loader import load_experiment

    ensure_experiment_is_valid(load_experiment(str(path)))


def test_an_unknown_experiment_is_named_with_those_that_are_near() -> None:
    with pytest.raises(UsageError, match=r"there is no experiment api; there are api-killed, api-latency, api-memory"):
        experiment("api")


def test_a_file_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    head, inject = "title: x\ndescription: y\n", "provider: {module: zjops.chaos.activities, func: inject"
    for text in (
        "- a\n", "title: x\n", "{", f"{head}extensions: [{{name: zjops, colour: red}}]\n", f"{head}method: 3\n",
        f"{head}method: [a]\n", f"{head}method: [{{{inject}}}}}]\n",
        f"{head}method: [{{{inject}, arguments: {{fault: stop, targets: [3]}}}}}}]\n",
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UsageError, match="is not an experiment"):
            read_file(path)


def test_steps_of_others_are_left_to_chaos_toolkit(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: x\ndescription: y\nmethod: [{ref: a}, {provider: {type: process, path: ls}}, "
        "{provider: {type: python, module: other, func: inject}}]\n"
    )
    assert [one.steps for one in read_file(path)] == [()]
