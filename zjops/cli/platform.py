"""up, down, status, env, exec: the platform on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zjops.cli.exits import FINE, UNREACHABLE
from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Tenant
from zjops.cli.output import Format, Out
from zjops.cli.progress import Progress
from zjops.client.platform import Platform, Said, stop_platform
from zjops.config import Context, find_home, local_context, resolve
from zjops.domain.errors import UnreachableError, UsageError, ZjopsError
from zjops.domain.runfile import RUN_FILE
from zjops.domain.synthetic import synthetic_part

ASK_WITHIN_S = 5.0
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the platform.")]


def _announce(out: Out, bar: Progress | None = None) -> Any:
    def heard(said: Said) -> None:
        if said.event == "progress":
            if bar is not None:
                bar.reached(said.share or 0.0, f"{said.jobs or 0:,} jobs", said.seconds or 0.0)
            return
        if bar is not None:
            bar.end()
        if said.event == "restarted":
            out.say(f"{said.name} ended ({said.exit}) and was started again, {said.restarts} times by now")
        elif said.event == "note":
            out.say(f"{said.name + ': ' if said.name else ''}{said.message}")
        elif said.event == "ready":
            out.say(f"  {said.name} is ready")

    return heard


def _block(context: Context, seconds: float, out: Out) -> None:
    """Everything that someone needs to begin."""
    control = local_context(Path(context.home or "."))
    rows = [
        ("API", context.api_url), ("tokens", context.token_url), ("chain (JSON-RPC)", context.rpc_url or ""),
        ("contract", f"{context.contract} on chain {context.chain_id}"), ("NATS", f"{context.nats_url}"),
        ("control", control.control_url or ""), ("event log", f"{context.log_dir} (zjops query)"),
        ("process logs", f"{context.log_dir}/app, {context.home}/process-logs"),
        ("secrets", f"{context.home}/{RUN_FILE} (readable by you alone)"),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    out.text("\n".join(f"{name:<{width}}  {value}" for name, value in rows))
    out.text("")
    known = [(c.tenant, c.plan, c.client_id) for c in context.clients]
    out.rows("zjops.clients/1", [{"tenant": t, "plan": p, "client id": c} for t, p, c in known])
    out.text(f"\nready in {seconds:.1f} s")


def _options(
    workers: int, apis: int, api_port: int | None, batch_seconds: float | None, chosen: list[str],
    more: Mapping[str, object] | None = None,
) -> list[str]:  # fmt: skip
    options = ["--workers", str(workers), "--apis", str(apis)]
    if api_port is not None:
        options += ["--api-port", str(api_port)]
    if batch_seconds is not None:
        options += ["--set", f"batch_max_age_s={batch_seconds}"]
    for item in chosen:
        options += ["--set", item]
    for name, value in (more or {}).items():
        options += [] if value is None else [name, str(value)]
    return options


def up(
    home: Home = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and return.")] = False,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    apis: Annotated[int, typer.Option(help="API processes on one socket.", min=1, max=64)] = 1,
    spread: Annotated[bool, typer.Option("--spread", help="A process for every role.")] = False,
    api_port: Annotated[int | None, typer.Option(help="Exactly this port, or refuse.", min=1, max=65535)] = None,
    batch_seconds: Annotated[float | None, typer.Option(help="Close a batch at this age.", min=0.1)] = None,
    chain: Annotated[str | None, typer.Option(help="The node: devnet, or anvil if it is on this machine.")] = None,
    world: Annotated[str | None, typer.Option(help="Begin with a synthetic month that ends now: 30d.")] = None,
    world_tenants: Annotated[int | None, typer.Option(help="How many tenants it has; 40.")] = None,
    world_seed: Annotated[int | None, typer.Option(help="The same seed, tenants and jobs again; 7.")] = None,
    traffic: Annotated[str | None, typer.Option(help="Submit jobs as long as it runs: 5/s, 30/m.")] = None,
    settings: Settings = None,
    quiet: Quiet = False,
) -> None:
    """Start the platform; Ctrl-C stops it."""
    folder, out = find_home(home), Out(quiet=quiet)
    chosen = [*(settings or []), *([f"chain={chain}"] if chain else [])]
    more = {"--world": world, "--world-tenants": world_tenants, "--world-seed": world_seed, "--traffic": traffic}
    options = _options(workers, apis, api_port, batch_seconds, chosen, more)
    platform, bar = Platform(folder, [*options, "--spread"] if spread else options), Progress("played", quiet=quiet)
    leave = False
    try:
        log = folder / "process-logs" / "supervisor.log" if detach else None
        seconds = platform.start(_announce(out, bar), log=log)
        leave = detach
        _block(local_context(folder), seconds, out)
        if detach:
            return
        out.say("Ctrl-C stops it")
        status = platform.follow(_announce(out))
        raise typer.Exit(UNREACHABLE if status else FINE)
    except KeyboardInterrupt:
        bar.end()
        out.say("stopping")
        raise
    except OSError as exc:
        raise UsageError(f"folder {folder}: {exc.strerror}; choose another with --home") from exc
    finally:
        bar.end()
        if not leave:
            platform.stop()


def down(home: Home = None, quiet: Quiet = False) -> None:
    """Stop the platform of this folder."""
    folder = find_home(home)
    stop_platform(folder)
    Out(quiet=quiet).say(f"the platform in {folder} is down; its data stays there")


def status(home: Home = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False) -> None:
    """Processes, readiness and faults."""
    from zjops.client.control import Control

    out, context = Out(output, json, quiet), local_context(find_home(home))
    found = Control(context).status()
    columns = ["name", "pid", "roles", "state", "ready", "restarts", "port"]
    rows = [p | {"roles": " ".join(p["roles"])} for p in found["processes"]]
    missing = [f"{p['name']} is {p['state']}" for p in found["processes"] if not p["ready"]]
    why = None if missing else _standstill(context)
    if out.format is Format.JSON:
        more = {"confirmations": why or ("unknown" if missing else "go on")}
        out.record("zjops.status/1", found | more | {"home": context.home, "api_url": context.api_url})
    else:
        out.rows("zjops.status/1", [{c: row[c] for c in columns} for row in rows])
    for fault in found["faults"]:
        out.say(f"fault {fault['id']}: {fault['fault']} on {fault['target']}")
    if why is not None:
        out.say(f"nothing is confirmed: {why}")
    made = synthetic_part(Path(context.log_dir)) if context.log_dir else None
    if made is not None:
        out.say(f"a part of the log is {made.text}")
    state = f"not ready: {', '.join(missing)}" if missing else found["state"]
    out.say(f"{state}, in {context.home}")
    if found["state"] != "ready" or missing:
        raise typer.Exit(UNREACHABLE)


def _standstill(context: Context) -> str | None:
    """Why nothing is confirmed, with the way on; None also where that cannot be known."""
    from zjops.client.admin import Admin
    from zjops.client.http import Http
    from zjops.client.oauth import ClientCredentials
    from zjops.client.standing import standstill, way_on

    if context.operator is None:
        return None
    auth = ClientCredentials(context.token_url, context.operator)
    try:
        with Http(context.api_url, auth=auth, timeout_s=ASK_WITHIN_S, tries=1) as http:
            view = Admin(context, http).relayer()
    except ZjopsError:
        return None
    why = standstill(view)
    return None if why is None else f"{why}; see {way_on(view)}"


def environment(context: Context, tenant: str | None) -> dict[str, str]:
    """What other programs need to speak to a platform."""
    from zjops.client.oauth import fetch_token

    client = context.client(tenant)
    values = {
        "ZJOPS_API_URL": context.api_url, "ZJOPS_TOKEN": fetch_token(context.token_url, client),
        "ZJOPS_TENANT": client.tenant, "ZJOPS_CONTEXT": context.name,
    }  # fmt: skip
    if context.home:
        values["ZJOPS_HOME"] = context.home
    if context.nats_url:
        login = f"{context.nats_user}:{context.nats_password}@"
        values["NATS_URL"] = context.nats_url.replace("://", f"://{login}", 1)
    if context.rpc_url:
        values["ETH_RPC_URL"] = context.rpc_url
    if context.contract:
        values["ZJOPS_CONTRACT"] = context.contract
    return values


def env(home: Home = None, context: ContextName = None, tenant: Tenant = None, json: Json = False) -> None:
    """Print `export` lines with addresses, a token of 15 minutes and credentials."""
    values = environment(resolve(context, home), tenant)
    if json:
        Out(json=True).record("zjops.env/1", values)
        return
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")


def exec_(
    ctx: typer.Context, home: Home = None, batch_seconds: Annotated[float | None, typer.Option(min=0.1)] = None,
    settings: Settings = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start the platform, run a command, stop, and end as the command ended."""
    command = [arg for arg in ctx.args if arg != "--"] if ctx.args[:1] == ["--"] else list(ctx.args)
    if not command:
        raise UsageError("name a command: zjops exec -- CMD")
    folder, out, platform = find_home(home), Out(quiet=quiet), None
    try:
        context = local_context(folder)
    except UnreachableError:
        platform = Platform(folder, _options(1, 1, None, batch_seconds, settings or []))
    try:
        if platform is not None:
            out.say(f"ready in {platform.start(_announce(out)):.1f} s")
            context = local_context(folder)
        code = _run(command, environment(context, None))
    finally:
        if platform is not None:
            platform.stop()
    raise typer.Exit(code)


def _run(command: list[str], extra: dict[str, str]) -> int:
    try:
        code = subprocess.run(command, env=os.environ | extra, check=False).returncode
    except OSError as exc:
        raise UsageError(f"{command[0]} cannot be run ({exc.strerror})") from exc
    return code if code >= 0 else 128 - code


commands = {"up": up, "down": down, "status": status, "env": env, "exec": exec_}
