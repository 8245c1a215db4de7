"""A proof bundle: one file from which anybody can check a job, with nothing but a node of the chain or a root."""

from __future__ import annotations

import base64
import binascii

import msgspec

from zjops.domain.chains import parse_finality
from zjops.domain.errors import UsageError
from zjops.domain.merkle import keccak256
from zjops.domain.wire import ProofView, Wire

SCHEMA = "zjops.bundle/1"
READ = (SCHEMA, "zjops.proof/1")


class BundledResult(Wire, frozen=True, kw_only=True):
    """The result as the API serves it: its Keccak-256, and its exact bytes unless they were left out."""

    keccak256: str
    base64: str | None = None

    def digest(self) -> bytes:
        """Keccak-256 of the result, from its bytes where they are. Raises `UsageError`."""
        if self.base64 is not None:
            return keccak256(self.content())
        try:
            found = bytes.fromhex(self.keccak256.removeprefix("0x"))
        except ValueError:
            found = b""
        if len(found) != 32:
            raise UsageError("the bundle's keccak256 of the result is not 32 bytes of hex")
        return found

    def content(self) -> bytes:
        """The bytes. Raises `UsageError` when they are not base64."""
        try:
            return base64.b64decode(self.base64 or "", validate=True)
        except (binascii.Error, ValueError) as exc:
            raise UsageError(f"the bundle's result is not base64 ({exc})") from exc


class Bundle(ProofView, frozen=True, kw_only=True):
    """A proof with the result and the hash of the contract's code.

    Without them it is a proof alone, which is read too: whoever checks then brings the result.
    """

    schema: str = SCHEMA
    code_hash: str | None = None
    finality: str | None = None
    result: BundledResult | None = None


def bundle_of(
    proof: ProofView, result: bytes, *, code_hash: str | None, finality: str | None, with_result: bool
) -> Bundle:
    """A bundle from what the API handed out."""
    told = BundledResult(
        keccak256="0x" + keccak256(result).hex(),
        base64=base64.b64encode(result).decode() if with_result else None,
    )
    fields = {name: getattr(proof, name) for name in proof.__struct_fields__ if name != "schema"}
    return Bundle(**fields, code_hash=code_hash, finality=finality, result=told)


class _Named(msgspec.Struct):
    """Any document of this project."""

    schema: str | None = None


def read_bundle(content: bytes, name: str) -> Bundle:
    """A bundle or a proof from a file's content. Raises `UsageError`, also for one of another version."""
    try:
        schema = msgspec.json.decode(content, type=_Named).schema
        if schema not in READ:
            raise UsageError(
                f"{name} is not a proof that is known here: its schema is {schema}, not {' or '.join(READ)}"
            )
        found = msgspec.json.decode(content, type=Bundle)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{name} is not a proof: {exc}") from exc
    try:
        if found.finality is not None:
            parse_finality(found.finality)
    except UsageError as exc:
        raise UsageError(f"{name}: {exc}") from exc
    return found
