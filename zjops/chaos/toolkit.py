"""Chaos Toolkit as a process: one experiment, its journal, and what its steps came to."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.chaos.experiments import Experiment
from zjops.config import Context
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UntrustedError, UsageError

JOURNAL, LOG = "journal.json", "chaos.log"
END_WITHIN_S = 15.0


class Activity(NamedTuple):
    """A step that was taken: Unix ms of begin and end, whether it succeeded, and what it came to."""

    name: str
    began_ms: int
    ended_ms: int
    ok: bool
    output: Any


class Journal(NamedTuple):
    """What Chaos Toolkit says of a run: the steady state on both sides, and every step between them."""

    steady_before: bool
    steady_after: bool
    steps: list[Activity]
    status: str

    @property
    def acted(self) -> bool:
        """Whether every step was taken and came out as it should."""
        return bool(self.steps) and all(step.ok for step in self.steps)


def require_installed() -> None:
    """Raises `UsageError` that says what to install."""
    if importlib.util.find_spec("chaostoolkit") is None:
        raise UsageError("Chaos Toolkit is not installed; install it with: make load")


class Toolkit:
    """One run of `chaos run` in a folder. Whatever becomes of it, faults end by their leases."""

    def __init__(
        self, experiment: Experiment, folder: Path, context: Context, *, lease_s: float, recover_s: float,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._argv = [
            sys.executable, "-m", "chaostoolkit", "--no-version-check", "--log-file", str(folder / "toolkit.log"),
            "--settings", str(folder / "none.yaml"), "run", "--rollback-strategy", "always", "--journal-path",
            str(folder / JOURNAL), str(experiment.path.resolve()),
        ]  # fmt: skip
        self._environ = os.environ | {
            "ZJOPS_CHAOS_LEASE_S": str(lease_s), "ZJOPS_CHAOS_RECOVER_S": str(recover_s), "NO_COLOR": "1",
            **({"ZJOPS_CHAOS_SEED": str(seed)} if seed is not None else {}),
            **({"ZJOPS_CHAOS_TARGET": experiment.target} if experiment.target else {}),
            # By its name, so that what is broken is this platform and not the one that is in use otherwise.
            "ZJOPS_CONTEXT": context.name, **({"ZJOPS_HOME": context.home} if context.home else {}),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, in a session of its own, so that Ctrl-C reaches it through us and only once."""
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._environ, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it: it plays its rollbacks first, if it listens."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill(self) -> None:
        """End it at once, as an accident would: it takes nothing back."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def journal(self) -> Journal:
        """What it wrote. Raises `UntrustedError` when it wrote nothing, with the last line that it said."""
        try:
            document: dict[str, Any] = msgspec.json.decode((self._folder / JOURNAL).read_bytes())
        except (OSError, msgspec.MsgspecError) as exc:
            said = (self._folder / LOG).read_text(errors="replace").strip().splitlines()
            raise UntrustedError(
                f"Chaos Toolkit left no journal: {said[-1] if said else exc}; see {self._folder}"
            ) from exc
        return read_journal(document)


def read_journal(document: dict[str, Any]) -> Journal:
    """The journal of Chaos Toolkit as far as it is needed here."""
    states = document.get("steady_states") or {}
    steps = [
        Activity(
            run["activity"]["name"], parse_rfc3339(_with_offset(run["start"])), parse_rfc3339(_with_offset(run["end"])),
            run["status"] == "succeeded" and run.get("tolerance_met", True), run.get("output"),
        )
        for run in document.get("run") or ()
    ]  # fmt: skip
    return Journal(_met(states.get("before")), _met(states.get("after")), steps, str(document.get("status", "unknown")))


def _met(state: dict[str, Any] | None) -> bool:
    return bool(state and state.get("steady_state_met"))


def _with_offset(text: str) -> str:
    """Chaos Toolkit writes UTC without saying so."""
    return text if text.endswith("Z") or "+" in text[10:] else f"{text}+00:00"
