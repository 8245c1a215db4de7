"""The experiments as files: Chaos Toolkit's own form, with what this toolkit wants to know in the extension `zjops`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import yaml

from zjops.domain.errors import UsageError

FOLDER = "loadtests/chaos"
EXTENSION = "zjops"
INJECT = ("zjops.chaos.activities", "inject")
"""The activity that puts a fault of the catalogue on."""


class Extension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an experiment says to this toolkit: what is seen of it, what it needs, which parts it can be done to."""

    name: str
    symptom: str = ""
    needs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """A fault that an experiment puts on those of some parts that are there."""

    fault: str
    targets: tuple[str, ...]
    params: dict[str, float] = {}


class Experiment(msgspec.Struct, frozen=True):
    """One experiment, at one part where it can be done to several. `lease_s` is how long it is broken by itself.

    `steps` are its faults; an experiment without any breaks something by what it does.
    """

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    symptom: str
    needs: tuple[str, ...]
    lease_s: float
    path: Path
    steps: tuple[Step, ...] = ()
    target: str | None = None


def folder() -> Path:
    """Where the experiments lie. Raises `UsageError` where they were not installed."""
    found = importlib.util.find_spec("loadtests")
    if found is None or not found.submodule_search_locations:
        raise UsageError("the experiments are not installed here; run this from the project's folder")
    return Path(next(iter(found.submodule_search_locations))) / "chaos"


def read_file(path: Path) -> list[Experiment]:
    """The experiments of a file: one, or one for each of its targets. Raises `UsageError`."""
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        extension = msgspec.convert(_extension(document), Extension)
        lease = document.get("configuration", {}).get("lease_s", {})
        common: dict[str, Any] = {
            "title": str(document["title"]), "description": " ".join(str(document["description"]).split()),
            "tags": tuple(document.get("tags", ())), "symptom": extension.symptom, "needs": extension.needs,
            "lease_s": float(lease.get("default", 0.0)), "path": path,
        }  # fmt: skip
        if not extension.targets:
            return [Experiment(name=path.stem, steps=_steps(document), **common)]
        return [
            Experiment(name=f"{path.stem}-{target}", steps=_steps(document, target), target=target, **common)
            for target in extension.targets
        ]
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror})") from exc
    except (yaml.YAMLError, msgspec.ValidationError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UsageError(f"{path} is not an experiment: {' '.join(str(exc).split())}") from exc


def _steps(document: Any, target: str = "") -> tuple[Step, ...]:
    providers = [activity.get("provider") or {} for activity in document.get("method") or ()]
    given = [one["arguments"] for one in providers if (one.get("module"), one.get("func")) == INJECT]
    return tuple(
        Step(one["fault"], tuple(at.replace("${target}", target) for at in one["targets"]), one.get("params", {}))
        for one in given
    )


def _extension(document: Any) -> dict[str, Any]:
    found = [one for one in document.get("extensions", ()) if one.get("name") == EXTENSION]
    return dict(found[0]) if found else {"name": EXTENSION}


def experiments() -> dict[str, Experiment]:
    """Every experiment by its name, the design's first. Raises `UsageError`."""
    found = [one for path in sorted(folder().glob("*.yaml")) for one in read_file(path)]
    return {one.name: one for one in sorted(found, key=lambda one: ("design" not in one.tags, one.name))}


def named(name: str, target: str | None = None) -> list[Experiment]:
    """One by its name; of a file all, one for each of its targets, or the one at a target. Raises `UsageError`."""
    found = read_file(Path(name)) if name.endswith((".yaml", ".yml", ".json")) else [experiment(name)]
    if target is None:
        return found
    chosen = [one for one in found if one.target == target]
    if not chosen:
        there = ", ".join(one.target for one in found if one.target) or "no target to choose"
        raise UsageError(f"{name} cannot be done at {target}; there is {there}")
    return chosen


def command_of(one: Experiment) -> list[str]:
    """The words by which `zjops chaos run` is told of an experiment, and of no other."""
    if one.path.resolve().parent == folder().resolve():
        return [one.name]
    return [str(one.path), *(["--target", one.target] if one.target else [])]


def experiment(name: str) -> Experiment:
    """One by its name. Raises `UsageError`."""
    known = experiments()
    if name not in known:
        near = [one for one in known if name in one] or list(known)
        raise UsageError(f"there is no experiment {name}; there are {', '.join(near)}")
    return known[name]
