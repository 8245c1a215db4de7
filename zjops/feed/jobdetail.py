"""One job as the platform tells it now, with its deliveries, and its proof checked against the chain."""

from __future__ import annotations

from contextlib import closing
from typing import Any, NamedTuple

import msgspec

from zjops.client.admin import BASE
from zjops.client.http import Http, decode
from zjops.config import Context
from zjops.domain.errors import Problem, UsageError
from zjops.domain.merkle import keccak256
from zjops.domain.text import shortened
from zjops.domain.wire import ProofView
from zjops.domain.wire_jobdetail import AdminJobDetail
from zjops.feed.messages import Verdict
from zjops.feed.polling import admin_of, connect


class _Exact(msgspec.Struct):
    """Of the answer, the result as its very bytes."""

    job: _ExactJob


class _ExactJob(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()


class Asked(NamedTuple):
    """A job as the platform tells it, and the exact bytes of its result where they stand in the answer."""

    detail: AdminJobDetail
    result: bytes | None


def ask_job(context: Context, job_id: str) -> Asked | None:
    """One job of any tenant; None for one that the platform does not know. Raises `ZjopsError`."""
    with closing(admin_of(context).http) as http:
        return _asked(http, job_id)


def _asked(http: Http, job_id: str) -> Asked | None:
    try:
        content = http.request("GET", f"{BASE}/jobs/{job_id}").content
    except Problem as exc:
        if exc.kind.status == 404:
            return None
        raise
    raw = decode(content, _Exact).job.result
    return Asked(decode(content, AdminJobDetail), bytes(raw) or None)


def job_detail(context: Context, job_id: str) -> dict[str, Any] | None:
    """The same as plain values by their names on the wire. Raises `ZjopsError`."""
    asked = ask_job(context, job_id)
    return None if asked is None else msgspec.to_builtins(asked.detail)


def verify_job(context: Context, job_id: str) -> Verdict:
    """Fetch a job's proof, derive everything again, and compare with the chain. Raises `ZjopsError`."""
    from zjops.client.chain import ChainReader
    from zjops.verify import verify_digest

    asked = ask_job(context, job_id)
    if asked is None:
        return Verdict(False, "the platform does not know this job any more")
    proof, told = asked.detail.proof, asked.detail.result_keccak256
    if proof is None or told is None:
        return Verdict(False, f"there is no proof yet: the job is {asked.detail.job.status}")
    digest = keccak256(asked.result) if asked.result is not None else _digest(told)
    with closing(connect("")) as http:
        chain = ChainReader(context, http)
        checks = verify_digest(proof, digest, context, chain)
    wrong = [check for check in checks if not check.ok]
    if wrong:
        return Verdict(False, "REFUSED: " + "; ".join(f"{check.name}: {check.detail}" for check in wrong))
    final = next(check.detail for check in checks if check.name == "final")
    return Verdict(True, _words(proof, final) + ("" if asked.result is not None else _BY_WORD))


_BY_WORD = "; the result's digest is the platform's word, its bytes: zjops jobs verify"


def _words(proof: ProofView, final: str) -> str:
    leaf, batch = proof.leaf.sequence - proof.batch.first_sequence, proof.batch
    return f"verified: leaf {leaf} of batch {batch.id} is under root {shortened(batch.root)}, in {final}"


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as exc:
        raise UsageError(f"the platform's digest of the result is no hex ({text[:20]!r})") from exc
