"""jobs proof and jobs verify: a bundle that needs nobody's word, and its checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from zjops.cli.exits import BROKEN
from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Tenant
from zjops.cli.output import Format, Out
from zjops.cli.text import one_line, shortened
from zjops.client.jobs import Jobs
from zjops.config import Context, resolve
from zjops.domain.bundle import Bundle, bundle_of, read_bundle
from zjops.domain.chains import ASSUMED, parse_finality, profile_of, usual_finality
from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.merkle import keccak256
from zjops.verify import Check, bundle_checks, verify_digest, verify_offline

JOB = "job_"
STDIN = "-"
WAIT_MOST_S = 3600.0
SHOWN = 60
"""So many characters of a result are shown beside the verdict."""
Wait = Annotated[bool, typer.Option("--wait", help="Until the job is final on chain.")]


def proof(
    job_id: Annotated[str, typer.Argument(help="The job, job_…")],
    with_result: Annotated[bool, typer.Option("--result/--no-result", help="With the bytes, or their digest.")] = True,
    wait: Wait = False, tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.JSON, json: Json = False,
) -> None:  # fmt: skip
    """Print a bundle as JSON: leaf, path, batch, chain, contract, transaction, usage, salt and result."""
    out = Out(output, json)
    if out.format is not Format.JSON:
        raise UsageError(f"a bundle is JSON, not {out.format}")
    found = resolve(context, home)
    client = _client(found, tenant, job_id if wait else None)
    made = bundle_of(
        client.proof(job_id), client.result(job_id), code_hash=found.code_hash, finality=found.finality,
        with_result=with_result,
    )  # fmt: skip
    out.document(made)


class _Claim(NamedTuple):
    """What is to be checked: a proof, the Keccak-256 of the result, and its bytes where they are at hand."""

    proof: Bundle
    served_keccak: bytes
    served: bytes | None = None


def verify(
    what: Annotated[
        str | None, typer.Argument(metavar="[JOB|BUNDLE]", help="A job, job_…, a bundle's file, or - for stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A bundle or proof, in place of the argument.")] = None,
    result_file: Annotated[Path | None, typer.Option("--result", help="The result's bytes, before all others.")] = None,
    root: Annotated[str | None, typer.Option(help="A bundle offline, against this root.")] = None,
    rpc: Annotated[str | None, typer.Option(help="Any node, in place of the context's.")] = None,
    contract: Annotated[str | None, typer.Option(help="With --rpc: the registry's address.")] = None,
    chain_id: Annotated[int | None, typer.Option(help="With --rpc: which chain it must be.")] = None,
    finality: Annotated[
        str | None, typer.Option(help="With --rpc: depth:N, safe or finalized; the chain's own rule by default.")
    ] = None,
    wait: Wait = False, tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Derive everything again and compare; exit 4 when anything differs, 3 when the chain is away."""
    out, named = Out(output, json, quiet), _named(what, file)
    against = _given(rpc, contract, chain_id, finality, root)
    if isinstance(named, Path) and wait:
        raise UsageError("--wait goes with a job: a bundle is of one that is final already")
    if root is not None:
        claim = _offline_claim(named, result_file)
        out.say(f"offline, against root {root}")
        checks = verify_offline(claim.proof, claim.served_keccak, root) + bundle_checks(claim.proof, None)
        _tell(out, claim, checks, {"root": root}, "chain, contract, transaction, code, finality and batch.id")
        return
    known = against or resolve(context, home)

    def platform() -> Jobs:
        found = known if known.api_url else resolve(context, home)
        return _client(found, tenant, named if wait and isinstance(named, str) else None)

    # A file and a node are enough: no platform is asked for what the file lacks.
    claim = _claim(named, result_file, None if against is not None and isinstance(named, Path) else platform)
    checks, trusted = _online(out, claim, known)
    _tell(out, claim, checks, trusted, "finality and batch.id, which are the platform's own word")


def _given(
    rpc: str | None, contract: str | None, chain_id: int | None, finality: str | None, root: str | None
) -> Context | None:  # fmt: skip
    """The node that the command line names, as a context; its finality may be empty. Raises `UsageError` for half."""
    if rpc is None and contract is None and chain_id is None:
        if finality is not None:
            raise UsageError("--finality goes with --rpc; a context has its own, and offline nothing is final")
        return None
    if root is not None:
        raise UsageError("--root is checked offline; leave --rpc, --contract and --chain-id out, or --root")
    if rpc is None or contract is None:
        raise UsageError("name both the node and the registry: --rpc URL --contract 0x…")
    return Context(
        name="", api_url="", token_url="", issuer="", rpc_url=rpc, contract=contract,
        chain_id=chain_id, finality="" if finality is None else parse_finality(finality).text,
    )  # fmt: skip


def _client(context: Context, tenant: str | None, until_final: str | None) -> Jobs:
    """Whom to ask for proof and result, once the job is final where that is to be waited for."""
    client = Jobs(context, context.client(tenant))
    if until_final is not None:
        for _ in client.follow([until_final], final=True, within_s=WAIT_MOST_S):
            pass
    return client


def _named(what: str | None, file: Path | None) -> str | Path:
    if (what is None) == (file is None):
        raise UsageError("name a job or a bundle, one of them")
    if file is not None:
        return file
    assert what is not None
    return what if what.startswith(JOB) and not Path(what).exists() else Path(what)


def _read(path: Path) -> bytes:
    """A file's content, or the standard input's. Raises `UsageError`."""
    try:
        return sys.stdin.buffer.read() if str(path) == STDIN else path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror})") from exc


def _offline_claim(named: str | Path, result_file: Path | None) -> _Claim:
    if isinstance(named, str):
        raise UsageError(f"--root is checked offline: it takes a bundle; zjops jobs proof {named} > bundle.json")
    return _claim(named, result_file, None)


def _claim(named: str | Path, result_file: Path | None, platform: Callable[[], Jobs] | None) -> _Claim:
    """A bundle from a file or, for a job, from the platform. Raises `UsageError` for a result that nobody gave."""
    asked = None
    if isinstance(named, Path):
        bundle = read_bundle(_read(named), str(named))
    else:
        assert platform is not None
        asked = platform()
        bundle = msgspec.convert(msgspec.to_builtins(asked.proof(named)), Bundle)
    if result_file is not None:
        return _of_bytes(bundle, _read(result_file))
    if bundle.result is not None:
        held = bundle.result
        return _Claim(bundle, held.digest(), None if held.base64 is None else held.content())
    if asked is None and platform is None:
        raise UsageError(f"{named} holds no result; give its bytes with --result FILE")
    return _of_bytes(bundle, (asked or platform()).result(bundle.job_id))  # type: ignore[misc]


def _of_bytes(bundle: Bundle, served: bytes) -> _Claim:
    return _Claim(bundle, keccak256(served), served)


def _online(out: Out, claim: _Claim, known: Context) -> tuple[list[Check], dict[str, Any]]:
    """The checks, and what they were held against."""
    from zjops.client.chain import ChainReader

    chain = ChainReader(known)
    served, code_hash = chain.chain_id(), chain.code_hash()
    ruled = known if known.finality else _usually(out, known, served)
    out.say(
        f"against chain {known.chain_id or served}, contract {known.contract}, "
        f"code {shortened(known.code_hash or 'as compiled here')}, final by {ruled.finality} "
        f"({f'from context {known.name}' if known.name else 'as the command line says'})"
    )
    checks = verify_digest(claim.proof, claim.served_keccak, ruled, chain) + bundle_checks(claim.proof, code_hash)
    return checks, {"chain_id": served, "contract": known.contract, "code_hash": code_hash, "finality": ruled.finality}


def _usually(out: Out, known: Context, served: int) -> Context:
    """The context with the rule of its chain, where nobody named one."""
    chain_id = served if known.chain_id is None else known.chain_id
    if profile_of(chain_id) is None:
        out.say(f"note: chain {chain_id} is not known here, {ASSUMED} is assumed; name its rule with --finality")
    return msgspec.structs.replace(known, finality=usual_finality(chain_id))


def _tell(out: Out, claim: _Claim, checks: list[Check], trusted: dict[str, Any], unchecked: str) -> None:
    """Checks, what they make certain, and the verdict: on the standard output, whatever becomes of the talk."""
    rows: list[dict[str, Any]] = [msgspec.to_builtins(check) for check in checks]
    ok, told = all(check.ok for check in checks), _told(claim)
    if out.format is Format.JSON:
        out.record(
            "zjops.verify/1", {"ok": ok, "job_id": claim.proof.job_id} | trusted | {"claim": told, "checks": rows}
        )
    else:
        out.rows("zjops.verify/1", rows, people=[row | {"detail": shortened(row["detail"])} for row in rows])
    verdict = _verdict(claim, checks, told)
    out.text("\n" + verdict) if out.format is Format.TABLE else out.say(verdict)
    out.say(f"not checked: {unchecked}")
    if not ok:
        raise typer.Exit(BROKEN)


def _told(claim: _Claim) -> dict[str, Any]:
    """What the proof says of the job: true if every check holds."""
    proof, served = claim.proof, claim.served
    return {
        "tenant": proof.tenant_id, "status": proof.status, "result_bytes": None if served is None else len(served),
        "result_keccak256": "0x" + claim.served_keccak.hex(), "compute_units": proof.usage.compute_units,
        "payload_bytes": proof.usage.payload_bytes, "accepted_at": _moment(proof.usage.accepted_at_unix_ms),
        "sequence": proof.leaf.sequence, "block": proof.transaction.block_number, "transaction": proof.transaction.hash,
    }  # fmt: skip


def _moment(unix_ms: int) -> str:
    try:
        return rfc3339(unix_ms)
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"


def _verdict(claim: _Claim, checks: list[Check], told: dict[str, Any]) -> str:
    """What is certain now, or what is wrong; the last line says it in a word."""
    job, wrong = one_line(claim.proof.job_id), [check.name for check in checks if not check.ok]
    if wrong:
        return f"{job}: REFUSED, wrong: {', '.join(wrong)}"
    facts = {
        "job": f"{job} of {one_line(told['tenant'])}, {told['status']}",
        "result": _shown(claim.served) if claim.served is not None else f"Keccak-256 {told['result_keccak256']}",
        "billed": f"{told['compute_units']:,} compute units for {told['payload_bytes']:,} bytes",
        "accepted": told["accepted_at"],
        "on chain": f"number {told['sequence']}, in block {told['block']}",
    }
    return "\n".join([*(f"{name:<8}  {value}" for name, value in facts.items()), f"{job}: verified"])


def _shown(served: bytes) -> str:
    text = one_line(served[: SHOWN + 1].decode("utf-8", "backslashreplace"))
    return text if len(served) <= SHOWN else f"{text[:SHOWN]}… ({len(served):,} bytes)"
