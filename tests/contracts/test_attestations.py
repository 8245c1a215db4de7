"""A tenant's signature counts in its one canonical form, from its one signer, for one result, chain and contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from tests.contracts.world import NOBODY, TENANT, World, attested, deploy, typed_data, word
from zjops.domain.merkle import keccak256

KEY = word("job")
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TYPEHASH = "4e0c9f66210bb8f4cdf51d1fdaa69e91ff71c1c683a00cc676b47825db02e4c9"
REFUSED = f"InvalidAttestation({TENANT.address.lower()})"
# The whole code of two wallets: one answers every signature with ERC-1271's magic value, the other with nothing.
YES, NO = "631626ba7e60e01b5f5260205ff3", "5f5ffd"


def _high_s(signature: bytes) -> bytes:
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def _compact(signature: bytes) -> bytes:
    parity = (signature[64] - 27) << 255
    return signature[:32] + (int.from_bytes(signature[32:64], "big") | parity).to_bytes(32, "big")


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "the other s of the pair": _high_s,
    "v as 0 or 1": lambda s: s[:64] + bytes([s[64] - 27]),
    "64 bytes of ERC-2098": _compact,
    "the wrong v": lambda s: s[:64] + bytes([55 - s[64]]),
    "zeros": lambda s: b"\0" * 65,
    "zeros with a proper v": lambda s: b"\0" * 64 + b"\x1b",
    "nothing": lambda s: b"",
    "a byte more": lambda s: s + b"\0",
    "r beyond the curve": lambda s: b"\xff" * 32 + s[32:],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_in_another_form_is_refused(world: World, form: str) -> None:
    message = world.message(KEY)
    signature = world.signed(message)
    assert world.refused_operator(world.attested(message, FORMS[form](signature))) == REFUSED
    world.operate(world.attested(message, signature))


@pytest.mark.parametrize(
    "field", ["jobId", "tenant", "resultHash", "status", "completedAt", "deadline"]
)  # fmt: skip
def test_a_signature_over_another_result_is_refused(world: World, field: str) -> None:
    message = world.message(KEY)
    other = {"jobId": word("x"), "tenant": world.stranger, "resultHash": word("x"), "status": 2, "completedAt": 1,
             "deadline": message["deadline"] + 1}  # fmt: skip
    signature = world.signed(message | {field: other[field]})
    assert world.refused_operator(world.attested(message, signature)) == REFUSED


@pytest.mark.parametrize(
    "domain", [{"chainId": 1}, {"verifyingContract": "0x" + "11" * 20}, {"name": "JobRegistry"}, {"version": "2"}]
)
def test_a_signature_for_another_domain_is_refused(world: World, domain: dict[str, Any]) -> None:
    message = world.message(KEY)
    assert world.refused_operator(world.attested(message, world.signed(message, **domain))) == REFUSED


def test_a_signature_counts_once_and_in_one_registry(world: World) -> None:
    message = world.message(KEY)
    signature = world.signed(message)
    world.operate(world.attested(message, signature))
    assert world.refused_operator(world.attested(message, signature)) == f"JobAlreadyStored({KEY.hex()})"
    beside = deploy(world.web3, world.web3.eth.accounts)
    assert beside.refused_operator(beside.attested(message, signature)) == REFUSED


def test_another_signer_is_refused_even_a_registered_one(world: World) -> None:
    message, other = world.message(KEY), Account.from_key(word("another tenant"))
    data = typed_data(world.web3.eth.chain_id, world.registry.address, message)
    world.send(world.call.grantRole(keccak256(b"TENANT_ROLE"), other.address), world.admin)
    signature = bytes(other.sign_typed_data(full_message=data).signature)
    assert world.refused_operator(world.attested(message, signature)) == REFUSED


def test_the_prefixed_message_of_the_first_design_is_no_attestation(world: World) -> None:
    message = world.message(KEY)
    digest = world.call.attestationDigest(*message.values()).call()
    signature = bytes(TENANT.sign_message(encode_defunct(digest)).signature)
    assert world.refused_operator(world.attested(message, signature)) == REFUSED


def test_nobody_attests_nothing_even_if_registered(world: World) -> None:
    """`ecrecover` gives the zero address for what is no signature (C47)."""
    world.send(world.call.grantRole(keccak256(b"TENANT_ROLE"), NOBODY), world.admin)
    call = world.attested(world.message(KEY, tenant=NOBODY), b"\0" * 65)
    assert world.refused_operator(call) == "ZeroAddress()"


def test_what_is_signed_is_what_a_wallet_shows(world: World) -> None:
    message = world.message(KEY)
    shown = encode_typed_data(full_message=typed_data(world.web3.eth.chain_id, world.registry.address, message))
    digest = keccak256(b"\x19" + shown.version + shown.header + shown.body)
    assert world.call.attestationDigest(*message.values()).call() == digest
    assert world.call.JOB_RESULT_TYPEHASH().call().hex() == TYPEHASH


def test_the_tenant_is_told(world: World) -> None:
    receipt = world.operate(attested(world, KEY))
    address = bytes.fromhex(TENANT.address[2:]).rjust(32, b"\0")
    topic = keccak256(b"JobAttested(bytes32,address)")
    assert [[bytes(t) for t in log["topics"]] for log in receipt["logs"]][1:] == [[topic, KEY, address]]


@pytest.mark.parametrize(("code", "accepted"), [(YES, True), (NO, False)], ids=["yes", "no"])
def test_a_tenant_may_be_a_contract_that_is_asked(world: World, code: str, accepted: bool) -> None:
    size = len(code) // 2
    made = f"60{size:02x}600c60003960{size:02x}6000f3{code}"
    sent = world.web3.eth.send_transaction({"from": world.stranger, "data": "0x" + made, "gas": 500_000})  # type: ignore[typeddict-item]
    wallet = world.web3.eth.wait_for_transaction_receipt(sent)["contractAddress"]
    world.send(world.call.grantRole(keccak256(b"TENANT_ROLE"), wallet), world.admin)
    call = world.attested(world.message(KEY, tenant=wallet), b"as the wallet likes it")
    if accepted:
        world.operate(call)
    else:
        assert world.refused_operator(call) == f"InvalidAttestation({str(wallet).lower()})"
