"""events: see them flow, and have those of the log published again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.config import resolve
from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.events import EVENTS, OPS, EventType, OpsKind

events = typer.Typer()
Stream = Annotated[str, typer.Option("--stream", help=f"{EVENTS} or {OPS}.")]
Since = Annotated[str | None, typer.Option("--since", help="From this moment on, RFC 3339.")]
From = Annotated[int | None, typer.Option("--from-sequence", help="From this number of --stream on.", min=1)]
KINDS = {EVENTS: tuple(kind.value for kind in EventType), OPS: tuple(kind.value for kind in OpsKind)}
"""What can be told, by stream."""
Kind = Annotated[
    str | None, typer.Option("--type", help=f"Only {', '.join(KINDS[EVENTS])}; of {OPS}: {', '.join(KINDS[OPS])}.")
]
Lines = Annotated[bool, typer.Option("--json", help="As always: an event is a line of JSON.", show_default=False)]
JobOption = Annotated[str | None, typer.Option("--job", help="Only of this job.")]


@events.command(help="Publish events of the log again, below replay.NAME.\n\n"
                     "Example: zjops events replay --name repair --from-sequence 1 --reason 'lost'")  # fmt: skip
def replay(
    reason: Annotated[str, typer.Option("--reason", help="Goes into the audit log.")],
    since: Since = None, from_sequence: From = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to this moment, RFC 3339.")] = None,
    to_sequence: Annotated[int | None, typer.Option("--to-sequence", help="Up to this number.", min=1)] = None,
    stream: Stream = EVENTS, type_: Kind = None, job: JobOption = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Part of its subject; a fresh one by default.")] = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Once more, byte for byte: a consumer that knows the id of an event keeps one. The log stays as it is."""
    from zjops.client.admin import Admin

    if (since is None) == (from_sequence is None):
        raise UsageError("say where to begin, by --since or by --from-sequence, one of them")
    if stream in KINDS:
        _check_kind(type_, [stream])
    _check_range(from_sequence, to_sequence, since, until)
    asked = {"reason": reason, "stream": stream, "name": name, "fromSequence": from_sequence, "since": since,
             "toSequence": to_sequence, "until": until, "type": type_, "jobId": job, "tenant": tenant}  # fmt: skip
    out, sent, read = Out(output, json, quiet), 0, 0
    for part in Admin(resolve(context, home)).replay({k: v for k, v in asked.items() if v is not None}):
        sent, read, found = sent + part.replayed, read + part.read, part
        out.say(f"{sent} events sent on {part.subject}, {read} read" + (", more follow" if part.next else ""))
    out.record("zjops.replay/1", {
        "name": found.name, "subject": found.subject, "stream": found.stream, "replayed": sent, "read": read,
        "toSequence": found.to_sequence,
    })  # fmt: skip


@events.command(help="Follow events as JSON lines.\n\nExample: zjops events tail --stream EVENTS --type completed")
def tail(
    stream: Annotated[str | None, typer.Option("--stream", help=f"{EVENTS} or {OPS}; both by default.")] = None,
    replay_name: Annotated[str | None, typer.Option("--replay", help="A replay of this name, not the log.")] = None,
    since: Since = None, from_sequence: From = None, type_: Kind = None, job: JobOption = None,
    count: Annotated[int | None, typer.Option("--count", help="End after so many.", min=1)] = None,
    home: Home = None, context: ContextName = None, json: Lines = True, quiet: Quiet = False,
) -> None:  # fmt: skip
    """What is new, or from a place on, until Ctrl-C; also through a restart of the broker. Always JSON lines."""
    import asyncio

    from zjops.client.events import Start, Tail

    if replay_name and (stream or since or from_sequence):
        raise UsageError("a replay is heard from now on: --replay goes with neither --stream nor a place to begin")
    if stream not in (None, EVENTS, OPS) or (since and from_sequence) or (from_sequence and stream is None):
        raise UsageError(f"--stream is {EVENTS} or {OPS}, --from-sequence needs it and goes without --since")
    _check_kind(type_, [stream] if stream else [EVENTS, OPS])
    out = Out(quiet=quiet)
    what = f" to what replay {replay_name} publishes from now on" if replay_name else ""
    found = Tail(resolve(context, home), listening=lambda: out.say(f"listening{what}; stop with Ctrl-C"))
    start = Start(from_sequence, None if since is None else _moment(since))
    heard = found.replay(replay_name) if replay_name else found.streams([stream] if stream else [EVENTS, OPS], start)
    asyncio.run(_print(heard, type_, job, count))


def _check_kind(kind: str | None, streams: Sequence[str]) -> None:
    """Refuse what would be waited for without end. Raises `UsageError`."""
    known = [name for stream in streams for name in KINDS[stream]]
    if kind is not None and kind not in known:
        raise UsageError(f"--type {kind} is never told on {' or '.join(streams)}; there are {', '.join(known)}")


def _check_range(first: int | None, last: int | None, since: str | None, until: str | None) -> None:
    """Refuse a range that holds nothing. Raises `UsageError`."""
    if first is not None and last is not None and last < first:
        raise UsageError(f"--to-sequence {last} lies before --from-sequence {first}")
    begin, end = (
        None if text is None else _moment(text, name) for text, name in ((since, "--since"), (until, "--until"))
    )
    if begin is not None and end is not None and end < begin:
        raise UsageError(f"--until {until} lies before --since {since}")


async def _print(heard: AsyncIterator[Any], kind: str | None, job: str | None, count: int | None) -> None:
    out, left = Out(Format.JSONL), count
    async for event in heard:
        if kind is not None and event.subject.rpartition(".")[2] != kind:
            continue
        if job is not None and _subject(event.data) != job:
            continue
        place = {"stream": event.stream, "sequence": event.sequence} if event.stream else {}
        out.line("zjops.event/1", place | {"subject": event.subject, "event": msgspec.Raw(event.data)})
        left = None if left is None else left - 1
        if left == 0:
            return


def _subject(data: bytes) -> str | None:
    try:
        subject: str | None = msgspec.json.decode(data, type=dict[str, Any]).get("subject")
    except msgspec.MsgspecError:
        return None
    return subject


def _moment(text: str, name: str = "--since") -> int:
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"{name}: {exc}") from exc


groups = {"events": events}
