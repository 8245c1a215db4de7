"""jobs proof and jobs verify: a bundle that needs nobody's word, and its checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from zjops.cli.exits import BROKEN
from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Tenant
from zjops.cli.output import Format, Out
from zjops.client.jobs import Jobs
from zjops.config import Context, resolve
from zjops.domain.bundle import Bundle, bundle_of, read_bundle
from zjops.domain.chains import ASSUMED, parse_finality, profile_of, usual_finality
from zjops.domain.errors import UsageError
from zjops.domain.merkle import keccak256
from zjops.verify import Check, verify_digest, verify_offline

JOB = "job_"


def proof(
    job_id: Annotated[str, typer.Argument(help="The job, job_…")],
    with_result: Annotated[bool, typer.Option("--result/--no-result", help="With the bytes, or their digest.")] = True,
    tenant: Tenant = None, home: Home = None, context: ContextName = None,
) -> None:  # fmt: skip
    """Print a bundle as JSON: leaf, path, batch, chain, contract, transaction, usage, salt and result."""
    found = resolve(context, home)
    client = Jobs(found, found.client(tenant))
    made = bundle_of(
        client.proof(job_id), client.result(job_id), code_hash=found.code_hash, finality=found.finality,
        with_result=with_result,
    )  # fmt: skip
    print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())


class _Claim(NamedTuple):
    """What is to be checked: a proof, and the Keccak-256 of the result."""

    proof: Bundle
    served_keccak: bytes


def verify(
    what: Annotated[str | None, typer.Argument(metavar="[JOB|BUNDLE]", help="A job, job_…, or a bundle.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A bundle or proof, in place of the argument.")] = None,
    result_file: Annotated[Path | None, typer.Option("--result", help="The result's bytes, before all others.")] = None,
    root: Annotated[str | None, typer.Option(help="Offline, against this root.")] = None,
    rpc: Annotated[str | None, typer.Option(help="Any node, in place of the context's.")] = None,
    contract: Annotated[str | None, typer.Option(help="With --rpc: the registry's address.")] = None,
    chain_id: Annotated[int | None, typer.Option(help="With --rpc: which chain it must be.")] = None,
    finality: Annotated[
        str | None, typer.Option(help="With --rpc: depth:N, safe or finalized; the chain's own rule by default.")
    ] = None,
    tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Derive everything again and compare; exit 4 when anything differs, 3 when the chain is away."""
    out = Out(output, json, quiet)
    against = _given(rpc, contract, chain_id, finality, root)
    known = against if root is not None or against is not None else resolve(context, home)
    claim = _claim(_named(what, file), result_file, lambda: _client(known, context, home, tenant))
    if root is not None:
        out.say(f"offline, against root {root}")
        _tell(out, claim, verify_offline(claim.proof, claim.served_keccak, root), {"root": root})
        return
    assert known is not None
    _tell(out, claim, _online(out, claim, known), {
        "chain_id": known.chain_id, "contract": known.contract, "code_hash": known.code_hash
    })  # fmt: skip


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
        name="of the command line", api_url="", token_url="", issuer="", rpc_url=rpc, contract=contract,
        chain_id=chain_id, finality="" if finality is None else parse_finality(finality).text,
    )  # fmt: skip


def _client(known: Context | None, context: str | None, home: Path | None, tenant: str | None) -> Jobs:
    """Whom to ask for what a file does not hold."""
    found = known if known is not None and known.api_url else resolve(context, home)
    return Jobs(found, found.client(tenant))


def _named(what: str | None, file: Path | None) -> str | Path:
    if (what is None) == (file is None):
        raise UsageError("name a job or a bundle, one of them")
    if file is not None:
        return file
    assert what is not None
    return what if what.startswith(JOB) and not Path(what).exists() else Path(what)


def _claim(named: str | Path, result_file: Path | None, client: Any) -> _Claim:
    try:
        if isinstance(named, Path):
            bundle, asked = read_bundle(named.read_bytes(), str(named)), None
        else:
            asked = client()
            bundle = msgspec.convert(msgspec.to_builtins(asked.proof(named)), Bundle)
        if result_file is not None:
            return _Claim(bundle, keccak256(result_file.read_bytes()))
    except OSError as exc:
        raise UsageError(f"{exc.filename} cannot be read ({exc.strerror})") from exc
    if bundle.result is not None:
        return _Claim(bundle, bundle.result.digest())
    return _Claim(bundle, keccak256((asked or client()).result(bundle.job_id)))


def _online(out: Out, claim: _Claim, known: Context) -> list[Check]:
    from zjops.client.chain import ChainReader

    code, chain = known.code_hash or "as compiled here", ChainReader(known)
    ruled = known if known.finality else _usually(out, known, chain.chain_id())
    out.say(
        f"against chain {known.chain_id or claim.proof.chain_id}, contract {known.contract}, code {code}, "
        f"final by {ruled.finality} (from context {known.name})"
    )
    return verify_digest(claim.proof, claim.served_keccak, ruled, chain)


def _usually(out: Out, known: Context, served: int) -> Context:
    """The context with the rule of its chain, where nobody named one."""
    chain_id = served if known.chain_id is None else known.chain_id
    if profile_of(chain_id) is None:
        out.say(f"note: chain {chain_id} is not known here, {ASSUMED} is assumed; name its rule with --finality")
    return msgspec.structs.replace(known, finality=usual_finality(chain_id))


def _tell(out: Out, claim: _Claim, checks: list[Check], trusted: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [msgspec.to_builtins(check) for check in checks]
    ok, job = all(check.ok for check in checks), claim.proof.job_id
    if out.format is Format.JSON:
        out.record("zjops.verify/1", {"ok": ok, "job_id": job} | trusted | {"checks": rows})
    else:
        out.rows("zjops.verify/1", rows)
    out.say(f"{job}: {'verified' if ok else 'REFUSED'}")
    if not ok:
        raise typer.Exit(BROKEN)
