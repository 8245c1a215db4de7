"""The child process that runs job code: reads requests from its standard input, answers on its standard output."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO

import msgspec

from simulator.process_death import die_with_parent
from simulator.worker.frames import Reply, Request, canonical
from simulator.worker.handlers import HANDLERS
from simulator.worker.handlers.base import ParameterFault


def _send(out: IO[bytes], reply: Reply) -> None:
    data = msgspec.json.encode(reply)
    out.write(len(data).to_bytes(4, "big") + data)
    out.flush()


def _held() -> int:
    """Bytes of data that this process holds now. The peak that getrusage tells is the parent's, kept across exec."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _limit(extra: int) -> None:
    """Allow this many bytes beyond what the child itself holds."""
    with contextlib.suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (_held() + extra, hard))


def _answer(request: Request, out: IO[bytes]) -> Reply:
    told = 0

    def progress(percent: int) -> None:
        nonlocal told
        if percent >= told + 10:
            told = percent
            _send(out, Reply(progress=percent))

    try:
        _limit(request.memory_bytes)
        handler = HANDLERS[request.job_type][request.parameters["algorithm"]]
        return Reply(result=msgspec.Raw(canonical(handler.run(request.parameters, progress))))
    except ParameterFault as exc:
        return Reply(client_fault=str(exc))
    except MemoryError:
        return Reply(crash_code="out_of_memory", message="The job needed more memory than its type may use.")
    except Exception as exc:
        return Reply(crash_code="internal", message=f"{type(exc).__name__} in the job's code")


def main() -> None:
    """Serve one job after another until the pipe closes."""
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Job code that prints must not break the protocol: the real output is kept aside.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    source = sys.stdin.buffer
    while len(head := source.read(4)) == 4:
        request = msgspec.json.decode(source.read(int.from_bytes(head, "big")), type=Request)
        _send(out, _answer(request, out))


if __name__ == "__main__":
    main()
