"""`python -m simulator VERB`: the platform's own program; every answer is a JSON line.

up --home DIR      run the platform in front until Ctrl-C or `down`
down --home DIR    stop it
status --home DIR  what runs, as JSON
export --home DIR  the consistent export of a platform that need not run
devnet --home DIR  the development chain alone, until it is told to stop or its parent ends
simulate --out DIR play a synthetic month in virtual time, or make a log of any volume
role NAME          one role process, started by the supervisor
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from zjops.domain.errors import UsageError, ZjopsError

INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _simulate(verbs)
    for verb in ("up", "down", "status", "export", "devnet", "role"):
        command = verbs.add_parser(verb)
        command.add_argument("--home", type=Path, required=True, help="the folder that holds all state")
        command.add_argument("--jsonl", action="store_true", help="accepted for clarity: lines are JSON anyway")
        if verb == "up":
            command.add_argument("--workers", type=int, default=1, help="worker processes")
            command.add_argument("--apis", type=int, default=1, help="API processes on one socket")
            command.add_argument("--api-port", type=int, help="exactly this port, or refuse")
            command.add_argument("--spread", action="store_true", help="a process for every role")
            command.add_argument("--world", metavar="DAYS", help="begin with a synthetic month that ends now: 30d")
            command.add_argument("--world-tenants", type=int, help="how many tenants it has; 40")
            command.add_argument("--world-seed", type=int, help="the same seed, tenants and jobs again; 7")
            command.add_argument("--traffic", metavar="RATE", help="submit jobs all the time, such as 5/s")
        if verb in ("up", "devnet"):
            command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
        if verb == "devnet":
            command.add_argument("--parent", type=int, help="the process with which it ends")
        if verb == "export":
            command.add_argument("--output", type=Path, help="write there, not to the standard output")
        if verb == "role":
            command.add_argument("name")
            command.add_argument("--roles", required=True)
            command.add_argument("--parent", type=int, required=True)
            command.add_argument("--fd", type=int)
            command.add_argument("--processors", default="", help="those of the platform, separated by commas")
    return parser


def _simulate(verbs: Any) -> None:
    """Its options are plain here: the verb's module loads the whole platform."""
    command = verbs.add_parser("simulate")
    command.add_argument("--out", type=Path, required=True, help="a folder that is empty or not there yet")
    command.add_argument("--days", type=int, default=30)
    command.add_argument("--tenants", type=int, default=200)
    command.add_argument("--seed", type=int, default=7)
    command.add_argument("--from", dest="first_day", metavar="DATE", help="the first day (UTC)")
    command.add_argument("--until-ms", type=int, help="instead of --from: the moment at which the last day ends")
    command.add_argument("--jobs", type=int, help="about so many jobs in all")
    command.add_argument("--volume", metavar="EVENTS", help="no platform, only a log of so many events by arithmetic")
    command.add_argument("--store", action="store_true", help="with the store from which a live platform goes on")
    command.add_argument("--parent", type=int, help="the process with which it ends")
    command.add_argument("--jsonl", action="store_true", help="accepted for clarity: lines are JSON anyway")


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit status."""
    args = _parser().parse_args(argv)
    try:
        if args.verb == "simulate":
            from simulator.world.verb import simulate

            return simulate(args)
        home = args.home.expanduser().absolute()
        if args.verb == "role":
            from simulator.process import run_roles
            from simulator.process_death import die_with_parent

            die_with_parent(args.parent)
            processors = map(int, filter(None, args.processors.split(",")))
            return run_roles(args.name, args.roles.split(","), home, fd=args.fd, processors=frozenset(processors))
        from simulator.supervisor import verbs

        if args.verb == "up":
            return verbs.up(home, args, _pairs(args.set))
        if args.verb == "devnet":
            return verbs.devnet(home, _pairs(args.set), args.parent)
        return verbs.VERBS[args.verb](home, args)
    except ZjopsError as exc:
        from simulator.supervisor.verbs import tell_error

        tell_error(exc)
        return exc.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = dict(item.partition("=")[::2] for item in given)
    if any("=" not in item for item in given):
        raise UsageError("a setting is written name=value, for example --set batch_max_age_s=2")
    return pairs


if __name__ == "__main__":
    sys.exit(main())
