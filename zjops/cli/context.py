"""context: which platform the toolkit speaks to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output
from zjops.cli.output import Format, Out
from zjops.config import (
    LOCAL,
    Context,
    config_folder,
    context_in_use,
    contexts_file,
    find_home,
    local_context,
    named_context,
    named_contexts,
    resolve,
)
from zjops.domain.chains import profile_of
from zjops.domain.errors import UnreachableError, UsageError

context = typer.Typer()
SECRET = "********"  # noqa: S105 - what is shown in place of one


def _masked(value: Any) -> Any:
    """The same with every secret covered."""
    if isinstance(value, dict):
        return {
            name: SECRET
            if item and ("secret" in name or "password" in name or name == "control_token")
            else _masked(item)
            for name, item in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list) else value


@context.command("list", help="Every context; the star marks the one in use.\n\nExample: zjops context list")
def list_(home: Home = None, output: Output = Format.TABLE, json: Json = False) -> None:
    """Local and named contexts."""
    used = os.environ.get("ZJOPS_CONTEXT") or context_in_use() or LOCAL
    try:
        local = local_context(find_home(home))
        rows = [{"name": LOCAL, "api": local.api_url, "state": "up"}]
    except UnreachableError:
        rows = [{"name": LOCAL, "api": f"(folder {find_home(home)})", "state": "down"}]
    rows += [{"name": n, "api": c.api_url, "state": "named"} for n, c in named_contexts().items()]
    marked = [{"in use": "*" if row["name"] == used else ""} | row for row in rows]
    Out(output, json).rows("zjops.contexts/1", marked)


@context.command(help="One context, secrets covered.\n\nExample: zjops context show")
def show(name: ContextName = None, home: Home = None, output: Output = Format.TABLE, json: Json = False) -> None:
    """What the toolkit knows of a platform; `chain` is the profile of its chain id."""
    found = resolve(name, home, alive=False)
    profile = profile_of(found.chain_id)
    chain = f"{profile.name}: EVM {profile.evm}, {profile.finality} ({profile.note})" if profile else "not known"
    # Said even where it is what nothing said would mean.
    shown = msgspec.to_builtins(found) | {"finality": found.finality, "chain": chain}
    Out(output, json).record("zjops.context/1", _masked(shown))


@context.command(help="Choose the context that counts from now on.\n\nExample: zjops context use staging")
def use(name: Annotated[str, typer.Argument(help="A name of the list.")]) -> None:
    """Remember a choice."""
    if name != LOCAL and name not in named_contexts():
        raise UsageError(f"there is no context {name}; see them with: zjops context list")
    config_folder().mkdir(parents=True, exist_ok=True)
    (config_folder() / "current").write_text(name + "\n")


@context.command(help="Write a context from a JSON file.\n\nExample: zjops context add staging --file staging.json")
def add(
    name: Annotated[str, typer.Argument()],
    file: Annotated[Path, typer.Option("--file", help="The context as JSON, with the members that show prints.")],
) -> None:
    """Keep a context for later."""
    try:
        table = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        for shown in ("schema", "chain"):
            table.pop(shown, None)
        made = named_context(name, table)
    except (OSError, msgspec.MsgspecError, UsageError) as exc:
        raise UsageError(f"{file}: {exc}") from exc
    if name == LOCAL:
        raise UsageError("local is made by zjops up; choose another name")
    _write(named_contexts() | {name: made})


@context.command(help="Forget a context.\n\nExample: zjops context remove staging")
def remove(name: Annotated[str, typer.Argument()]) -> None:
    """Take a context out of the file."""
    known = named_contexts()
    if name not in known:
        raise UsageError(f"there is no context {name}")
    del known[name]
    _write(known)


def _write(contexts: dict[str, Context]) -> None:
    """Replace the file, mode 600."""
    path = contexts_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {n: {k: v for k, v in msgspec.to_builtins(c).items() if k != "name"} for n, c in contexts.items()}
    beside = path.with_suffix(".part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode({"contexts": tables}), indent=2))
    beside.replace(path)


groups = {"context": context}
