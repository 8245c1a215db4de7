"""Contexts: which platform the toolkit speaks to, and how. The nearest setting wins.

`--context` and `--home`, then `$ZJOPS_CONTEXT` and `$ZJOPS_HOME`, then the context in use, then a `.zjops` folder from
here upward, then `~/.zjops`. The local context is read from `run.json`; others are written by hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from zjops.domain.chains import ASSUMED, Finality, parse_finality, usual_finality
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.runfile import ClientEntry, RunFile, read_run_file

LOCAL = "local"
FOLDER = ".zjops"
START = "start one with: zjops up"


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A platform as the toolkit knows it. What the chain must be stands here and is never asked of the API."""

    name: str = LOCAL
    api_url: str
    token_url: str
    issuer: str
    rpc_url: str | None = None
    chain_id: int | None = None
    contract: str | None = None
    code_hash: str | None = None
    finality: str = ASSUMED
    log_dir: str | None = None
    nats_url: str | None = None
    nats_user: str | None = None
    nats_password: str | None = None
    control_url: str | None = None
    control_token: str | None = None
    home: str | None = None
    operator: ClientEntry | None = None
    clients: list[ClientEntry] = []

    def client(self, tenant: str | None) -> ClientEntry:
        """The credentials of a tenant, or of the first one. Raises `UsageError`."""
        if tenant is None and self.clients:
            return self.clients[0]
        for entry in self.clients:
            if tenant in (entry.tenant, entry.client_id):
                return entry
        known = ", ".join(entry.tenant for entry in self.clients) or "none"
        raise UsageError(f"context {self.name} has no credentials of tenant {tenant}; it knows {known}")

    def widest(self) -> ClientEntry:
        """The credentials of the largest plan that is known here: probes are its. Raises `UsageError`."""
        order = ("enterprise", "pro", "starter", "free")
        if not self.clients:
            return self.client(None)
        return min(self.clients, key=lambda one: order.index(one.plan) if one.plan in order else len(order))

    def operations(self) -> ClientEntry:
        """The operator's credentials. Raises `UsageError`."""
        if self.operator is None:
            raise UsageError(f"context {self.name} has no operator credentials; add them to its entry")
        return self.operator

    def rule(self) -> Finality:
        """When a block is final here. Raises `UsageError`."""
        return parse_finality(self.finality)


def find_home(given: Path | None, environ: Mapping[str, str] = os.environ, here: Path | None = None) -> Path:
    """The folder of the local platform, which need not exist."""
    if given is not None:
        return given.expanduser().absolute()
    if environ.get("ZJOPS_HOME"):
        return Path(environ["ZJOPS_HOME"]).expanduser().absolute()
    here = here or Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return Path("~").expanduser() / FOLDER


def supervisor_alive(run: RunFile) -> bool:
    """Whether the process that wrote a run file still lives; a recycled pid is not mistaken for it."""
    import psutil

    try:
        started_at: float = psutil.Process(run.supervisor_pid).create_time()
        return abs(started_at - run.supervisor_started_at) < 1.0
    except psutil.Error:
        return False


def local_context(home: Path, *, alive: bool = True) -> Context:
    """The context of a folder's run file. Raises `UnreachableError` when it must be alive and is not."""
    run = read_run_file(home)
    if alive and not supervisor_alive(run):
        word = "was stopped" if run.state == "stopped" else "has died"
        raise UnreachableError(f"the platform in {home} {word}; {START}")
    shared = {field.name for field in msgspec.structs.fields(Context)} - {"name", "home"}
    values = {name: getattr(run, name) for name in shared if hasattr(run, name)}
    return Context(home=str(home), **values)


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where hand-written contexts live."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path("~/.config")).expanduser() / "zjops"


def contexts_file() -> Path:
    """The file of named contexts."""
    return config_folder() / "contexts.json"


def named_contexts() -> dict[str, Context]:
    """Every context of the file. Raises `UsageError` for a broken file or one that others can read."""
    path = contexts_file()
    if not path.exists():
        return {}
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{path} holds secrets and others can read it; run: chmod 600 {path}")
    try:
        tables = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, dict[str, Any]]])["contexts"]
        return {name: named_context(name, table) for name, table in tables.items()}
    except (msgspec.MsgspecError, KeyError, UsageError) as exc:
        raise UsageError(f"{path}: {exc}") from exc


def named_context(name: str, table: dict[str, Any]) -> Context:
    """A context from what somebody wrote. On a chain that is known, finality is the profile's unless it is said.

    Raises `msgspec.MsgspecError`, `UsageError`.
    """
    made = msgspec.convert(table | {"name": name}, Context)
    finality = made.finality if "finality" in table else usual_finality(made.chain_id)
    return msgspec.structs.replace(made, finality=parse_finality(finality).text)


def context_in_use() -> str | None:
    """The name that `zjops context use` chose."""
    path = config_folder() / "current"
    return path.read_text().strip() or None if path.exists() else None


def resolve(name: str | None, home: Path | None, *, alive: bool = True) -> Context:
    """The context that counts now. Raises `UsageError`, `UnreachableError`."""
    chosen = name or (None if home else os.environ.get("ZJOPS_CONTEXT") or context_in_use())
    if chosen is None or chosen == LOCAL:
        return local_context(find_home(home), alive=alive)
    known = named_contexts()
    if chosen not in known:
        raise UsageError(f"there is no context {chosen}; see them with: zjops context list")
    return known[chosen]
