"""notebook: analyses of a log, in JupyterLab on this machine alone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

import zjops
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, log_folder
from zjops.cli.output import Format, Out
from zjops.config import find_home
from zjops.domain.errors import UnreachableError, UsageError

FOLDER = "notebooks"
SEE = "see them with: zjops notebook --list"
QUIET_LAB = (
    # Nothing is fetched from elsewhere: neither news nor updates nor extensions.
    "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly", "--ServerApp.ip=127.0.0.1", "--ServerApp.answer_yes=True",
)  # fmt: skip


def shipped() -> list[Path]:
    """The notebooks of this checkout, in order. Raises `UsageError` where there is none."""
    found = sorted((Path(zjops.__file__).parents[1] / FOLDER).glob("[0-9]*.ipynb"))
    if not found:
        raise UsageError("the notebooks are in the source, not in the installed package; run this from a checkout")
    return found


def choose(name: str | None, known: Sequence[Path]) -> list[Path]:
    """The notebook of a name or a part of one, or all. Raises `UsageError` when it is none or several."""
    if name is None:
        return list(known)
    wanted = name.removesuffix(".ipynb").replace("-", "_").lower()
    exact = [path for path in known if path.stem.lower() == wanted]
    found = exact or [path for path in known if wanted in path.stem.lower()]
    if len(found) != 1:
        what = "is no notebook" if not found else f"may be {', '.join(path.stem for path in found)}"
        raise UsageError(f"{name} {what}; {SEE}")
    return found


def about(path: Path) -> dict[str, str]:
    """A notebook's name, title and first sentence."""
    book = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    text = "".join(book["cells"][0]["source"])
    title, _, rest = text.partition("\n")
    first = rest.strip().partition("\n\n")[0].replace("\n", " ").partition(". ")[0].rstrip(".")
    return {"name": path.stem, "title": title.removeprefix("# "), "about": f"{first}."}


def copy_to(folder: Path, chosen: Sequence[Path], fresh: bool, out: Out) -> list[Path]:
    """Copies to work in; one that is there already is kept, or with `fresh` set aside as `.bak`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for path in chosen:
        target = folder / path.name
        if target.exists() and fresh:
            target.replace(target.with_suffix(".ipynb.bak"))
            out.say(f"{target.name} is the shipped one again; yours is {target.name}.bak")
        if not target.exists():
            shutil.copyfile(path, target)
        elif target.read_bytes() != path.read_bytes():
            out.say(f"{target.name} is yours, as you left it; --fresh takes the shipped one again")
        made.append(target)
    return made


def lab_command(folder: Path, chosen: Sequence[Path], port: int | None, browser: bool) -> list[str]:
    """JupyterLab on loopback, with nothing that asks the network."""
    command = [sys.executable, "-m", "jupyterlab", *QUIET_LAB, f"--ServerApp.root_dir={folder}"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"] if port is not None else []
    command += [] if browser else ["--no-browser"]
    command += ["--allow-root"] if os.geteuid() == 0 else []
    return [*command, str(chosen[0])] if len(chosen) == 1 else command


def notebook(
    name: Annotated[str | None, typer.Argument(help="A notebook or a part of its name; all by default.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the notebooks, start nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Take the shipped ones again, set yours aside.")] = False,
    small: Annotated[bool, typer.Option("--small", help="On the small synthetic log of the shipped outputs.")] = False,
    port: Annotated[int | None, typer.Option(help="Exactly this port, or refuse.", min=1, max=65535)] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it, or only say where it is.")] = True,
    log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Open copies of the notebooks on the context's log; Ctrl-C ends it."""
    out, chosen = Out(output, json, quiet), choose(name, shipped())
    if listing:
        out.rows("zjops.notebooks/1", [about(path) for path in chosen])
        return
    if importlib.util.find_spec("jupyterlab") is None:
        raise UsageError("JupyterLab is not installed here; install it with: make notebooks")
    read = _log(log, home, context, small, out)
    folder = find_home(home) / FOLDER
    copies = copy_to(folder, chosen, fresh, out)
    out.say(f"on the log in {read}, with copies in {folder}; Ctrl-C ends it")
    _run(lab_command(folder, copies, port, browser), folder, os.environ | {"ZJOPS_LOG": str(read)})


def _log(log: Path | None, home: Path | None, context: str | None, small: bool, out: Out) -> Path:
    """The log that the notebooks read. Raises `UnreachableError` when it is not there."""
    if small:
        from zjops.analytics.notebook import small_log

        out.say("the small synthetic log; it is played when it is asked for first")
        return Path(small_log())
    found = log_folder(context, home, log).expanduser().absolute()
    if not found.is_dir():
        raise UnreachableError(f"there is no log in {found}; name one with --log, or try: zjops notebook --small")
    return found


def _run(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    """Stay until it ends; whatever ends us ends it. Raises `UsageError` when it ends by itself with an error."""
    lab = subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL)
    former = signal.signal(signal.SIGTERM, lambda *_: lab.terminate())
    try:
        code = lab.wait()
    except KeyboardInterrupt:
        # The terminal has told JupyterLab too, which asks nobody and stops its kernels.
        lab.send_signal(signal.SIGINT)
        lab.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, former)
    if code > 0:
        raise UsageError(f"JupyterLab ended with {code}; what it said stands above")


commands = {"notebook": notebook}
